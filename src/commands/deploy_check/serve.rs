//! The daemon's end: run the checklist, list its items and runs, show a report. A run is followed and called off as any
//! validation is.
use crate::{
    commands::validate::{Runs, Started, last_finished},
    daemon::{App, Route},
    deploy::checklist::{CheckRequest, ItemInfo, WindowInfo},
    domain::{Act, Audited, Caller, Fault, Permission, Phase, Report, RunId, RunSummary},
    protocol::{Endpoint, Verb},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Runs that one answer holds, and how far back is looked for the last of a phase.
const MOST: u32 = 1_000;

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
    /// None: of every phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
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
    /// The last of this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
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

#[derive(Debug, Serialize, Deserialize)]
pub struct WindowRequest {
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Progressed {
    pub schema_version: u32,
    #[serde(flatten)]
    pub window: WindowInfo,
}

/// How far a soak is; judges nothing.
pub(super) struct Window;
impl Endpoint for Window {
    const NAME: &'static str = "checklist/window";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = WindowRequest;
    type Reply = Progressed;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Run, _, _>(handle_run),
        Route::to::<List, _, _>(handle_items),
        Route::to::<Past, _, _>(handle_runs),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Window, _, _>(handle_window),
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
    let mut runs = of_phase(&app, request.phase).await?;
    runs.truncate(usize::try_from(request.limit).unwrap_or(usize::MAX));
    Ok(Runs { schema_version: 1, runs })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<Report, Fault> {
    let run = match request.run {
        Some(run) => run,
        None => last_finished(&of_phase(&app, request.phase).await?).ok_or_else(|| {
            Fault::not_found("cannot show a run of the checklist: none has finished yet")
                .hint("run `agentctl deploy-check`")
        })?,
    };
    app.store.report(run).await?.filter(|report| report.checklist.is_some()).ok_or_else(|| {
        Fault::not_found(format!("cannot find a report of deploy-check {run}"))
            .hint("`agentctl deploy-check list` shows the runs there are")
    })
}

async fn handle_window(app: App, _caller: Caller, request: WindowRequest) -> Result<Progressed, Fault> {
    let WindowRequest { phase, release, since } = request;
    let window = app.checklist.progress(phase, release.as_deref(), since).await?;
    Ok(Progressed { schema_version: 1, window })
}

async fn of_phase(app: &App, phase: Option<Phase>) -> Result<Vec<RunSummary>, Fault> {
    let mut runs = app.store.checklist_runs(MOST).await?;
    runs.retain(|run| phase.is_none() || run.phase == phase);
    Ok(runs)
}
