//! The daemon's end: run the checklist, list its items and runs, show a report. A run is followed and called off as any
//! validation is.
use crate::{
    commands::validate::Started,
    daemon::{App, Route},
    deploy::checklist::{CheckRequest, ItemInfo},
    domain::{Act, Audited, Caller, Fault, Permission, Report, RunId, RunState, RunSummary},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

/// How far back is looked for the last that finished.
const LOOKED_AT: u32 = 100;

pub(super) struct Run;
impl Endpoint for Run {
    const NAME: &'static str = "checklist/run";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReadinessRun;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = CheckRequest;
    type Reply = Started;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ItemsRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Items {
    pub schema_version: u32,
    pub items: Vec<ItemInfo>,
}

pub(super) struct List;
impl Endpoint for List {
    const NAME: &'static str = "checklist/items";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ItemsRequest;
    type Reply = Items;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RunsRequest {
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Runs {
    pub schema_version: u32,
    pub runs: Vec<RunSummary>,
}

pub(super) struct Past;
impl Endpoint for Past {
    const NAME: &'static str = "checklist/runs";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = RunsRequest;
    type Reply = Runs;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {
    /// None: the last that finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

pub(super) struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "checklist/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ShowRequest;
    type Reply = Report;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Run, _, _>(handle_run),
        Route::to::<List, _, _>(handle_items),
        Route::to::<Past, _, _>(handle_runs),
        Route::to::<Show, _, _>(handle_show),
    ]
}

async fn handle_run(app: App, caller: Caller, request: CheckRequest) -> Result<Started, Fault> {
    let act = Act::new(&caller, Run::NAME, "");
    Ok(Started { run: app.checklist.start(request, &caller, act).await? })
}

async fn handle_items(app: App, _caller: Caller, _request: ItemsRequest) -> Result<Items, Fault> {
    Ok(Items { schema_version: 1, items: app.checklist.items() })
}

async fn handle_runs(app: App, _caller: Caller, request: RunsRequest) -> Result<Runs, Fault> {
    Ok(Runs { schema_version: 1, runs: app.store.checklist_runs(request.limit.min(1000)).await? })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<Report, Fault> {
    let last = || async {
        let runs = app.store.checklist_runs(LOOKED_AT).await?;
        let run = runs.iter().find(|run| run.state == RunState::Finished).map(|run| run.run);
        run.ok_or_else(|| {
            Fault::not_found("cannot show a run of the checklist: none has finished yet")
                .hint("run `agentctl deploy-check`")
        })
    };
    let run = match request.run {
        Some(run) => run,
        None => last().await?,
    };
    app.store.report(run).await?.filter(|report| report.checklist.is_some()).ok_or_else(|| {
        Fault::not_found(format!("cannot find a report of deploy-check {run}"))
            .hint("`agentctl deploy-check list` shows the runs there are")
    })
}
