//! Is this fleet ready to ship? Runs the checks, follows them, shows the report; the verdict decides the exit code.
use crate::{
    cli::{
        CliError, Ctl, Exit, Output, follow,
        render::{self, Watcher},
    },
    daemon::{App, Route},
    domain::{Caller, Fault, Permission, Report, RunId, RunState, RunSummary},
    protocol::{Endpoint, Followed, Verb},
    readiness::{Progress, RunRequest},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Prove that the fleet is ready: run every check, score it, and exit by the verdict.
///
/// Exit codes: 0 READY (or a partial run that holds), 1 NOT READY, 3 INCONCLUSIVE.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Run only these checks or categories; the answer is then for them alone
    #[arg(long, value_name = "ID|CATEGORY", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these checks or categories out; the run is then partial
    #[arg(long, value_name = "ID|CATEGORY", value_delimiter = ',')]
    skip: Vec<String>,
    /// Judge as on that day, so that what lapses until then has lapsed: 2027-01-31 or a full timestamp
    #[arg(long, value_name = "DATE", value_parser = day)]
    as_of: Option<Timestamp>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List past runs, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show the report of a run; without a number, of the last one
    Show {
        #[arg(value_name = "RUN")]
        run: Option<RunId>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    pub run: RunId,
}

struct Run;
impl Endpoint for Run {
    const NAME: &'static str = "readiness/run";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReadinessRun;
    type Request = RunRequest;
    type Reply = Started;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ProgressRequest {
    pub run: RunId,
    #[serde(default)]
    pub after: u64,
}

struct Watch;
impl Endpoint for Watch {
    const NAME: &'static str = "readiness/progress";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
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

struct List;
impl Endpoint for List {
    const NAME: &'static str = "readiness/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    type Request = ListRequest;
    type Reply = Runs;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {
    /// None: the last that finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "readiness/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    type Request = ShowRequest;
    type Reply = Report;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Run, _, _>(handle_run),
        Route::to::<Watch, _, _>(handle_progress),
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
    ]
}

async fn handle_run(app: App, caller: Caller, request: RunRequest) -> Result<Started, Fault> {
    Ok(Started { run: app.readiness.start(request, &caller).await? })
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
        None => app
            .store
            .runs(100)
            .await?
            .iter()
            .find(|run| run.state == RunState::Finished)
            .map(|run| run.run)
            .ok_or_else(|| {
                Fault::not_found("cannot show a validation: none has finished yet")
                    .hint("run `agentctl validate`")
            })?,
    };
    app.store.report(run).await?.ok_or_else(|| {
        Fault::not_found(format!("cannot find a report of validation {run}"))
            .hint("`agentctl validate list` shows the runs there are")
    })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        None => validate(RunRequest { only: args.only, skip: args.skip, as_of: args.as_of }, ctl).await,
        Some(Action::List { limit }) => {
            let list = ctl.client.call::<List>(&ListRequest { limit }).await?;
            ctl.output.print(&ctl.ui, &list, |_| render::runs(&list.runs))?;
            Ok(Exit::Ok)
        }
        Some(Action::Show { run }) => {
            let report = ctl.client.call::<Show>(&ShowRequest { run }).await?;
            print(ctl, &report)?;
            Ok(render::exit_of(&report))
        }
    }
}

async fn validate(request: RunRequest, ctl: &Ctl) -> Result<Exit, CliError> {
    let started = ctl.client.call::<Run>(&request).await?;
    let mut watcher = Watcher::new(&ctl.ui);
    let end = follow::<Watch>(ctl, ProgressRequest { run: started.run, after: 0 }, |progress| {
        watcher.show(progress.total, &progress.findings);
        Ok(())
    })
    .await;
    watcher.finish();
    let report = end?.report.ok_or_else(|| CliError::Protocol("the last answer has no report".into()))?;
    print(ctl, &report)?;
    Ok(render::exit_of(&report))
}

/// Lists of a report are its findings.
fn print(ctl: &Ctl, report: &Report) -> Result<(), CliError> {
    match ctl.output {
        Output::Jsonl | Output::Name => ctl.output.print(&ctl.ui, &report.findings, |_| String::new()),
        _ => ctl.output.print(&ctl.ui, report, |wide| render::report(&ctl.ui, report, wide)),
    }
}

/// A date is its end: what lapses on that day has lapsed.
fn day(text: &str) -> Result<Timestamp, String> {
    let whole = text.parse::<Date>().ok().and_then(|date| date.tomorrow().ok());
    match whole.and_then(|next| next.to_zoned(TimeZone::UTC).ok()) {
        Some(next) => Ok(next.timestamp()),
        None => text.parse().map_err(|_| "neither a date like 2027-01-31 nor a timestamp".into()),
    }
}
