//! The daemon's end: start a run, tell of it, list and show the kept ones.
use super::cancel::{Cancel, handle_cancel};
use crate::{
    daemon::{App, Route},
    domain::{Act, Audited, Caller, Fault, Permission, Report, RunId, RunState, RunSummary},
    protocol::{Endpoint, Followed, Verb},
    readiness::{Progress, RunRequest},
};
use serde::{Deserialize, Serialize};

/// How far back is looked for the last that finished.
const LOOKED_AT: u32 = 100;

#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    pub run: RunId,
}

pub(super) struct Run;
impl Endpoint for Run {
    const NAME: &'static str = "readiness/run";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReadinessRun;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = RunRequest;
    type Reply = Started;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ProgressRequest {
    pub run: RunId,
    #[serde(default)]
    pub after: u64,
}

pub(super) struct Watch;
impl Endpoint for Watch {
    const NAME: &'static str = "readiness/progress";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ProgressRequest;
    type Reply = Progress;
}

impl Followed for Watch {
    fn after(request: &mut ProgressRequest, cursor: u64) {
        request.after = cursor;
    }
    fn cursor(reply: &Progress) -> u64 {
        reply.cursor
    }
    fn settled(reply: &Progress) -> bool {
        reply.report.is_some()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Runs {
    pub schema_version: u32,
    pub runs: Vec<RunSummary>,
}

pub(super) struct List;
impl Endpoint for List {
    const NAME: &'static str = "readiness/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
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
    const NAME: &'static str = "readiness/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ShowRequest;
    type Reply = Report;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Run, _, _>(handle_run),
        Route::to::<Cancel, _, _>(handle_cancel),
        Route::to::<Watch, _, _>(handle_progress),
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
    ]
}

/// Of runs, the newest first: the last that has a report.
pub fn last_finished(runs: &[RunSummary]) -> Option<RunId> {
    runs.iter().find(|run| run.state == RunState::Finished).map(|run| run.run)
}

async fn handle_run(app: App, caller: Caller, request: RunRequest) -> Result<Started, Fault> {
    let act = Act::new(&caller, Run::NAME, "");
    Ok(Started { run: app.readiness.start(request, &caller, act).await? })
}

async fn handle_progress(app: App, _caller: Caller, request: ProgressRequest) -> Result<Progress, Fault> {
    app.readiness.progress(request.run, request.after).await
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Runs, Fault> {
    Ok(Runs { schema_version: 1, runs: app.store.runs(request.limit.min(1000)).await? })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<Report, Fault> {
    let run = match request.run {
        Some(run) => run,
        None => last_finished(&app.store.runs(LOOKED_AT).await?).ok_or_else(|| {
            Fault::not_found("cannot show a validation: none has finished yet")
                .hint("run `agentctl validate`")
        })?,
    };
    app.store.report(run).await?.ok_or_else(|| {
        Fault::not_found(format!("cannot find a report of validation {run}"))
            .hint("`agentctl validate list` shows the runs there are")
    })
}
