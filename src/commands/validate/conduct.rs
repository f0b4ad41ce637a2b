//! The terminal's end: ask for a run, follow it, show what came of it; call it off when somebody asks.
use super::{
    args::{Action, Args},
    baseline,
    brief::brief,
    cancel::call_off,
    deliver::Files,
    diff, ephemeral,
    serve::{List, ListRequest, ProgressRequest, Run, Show, ShowRequest, Started, Watch},
};
use crate::{
    cli::{
        CliError, Ctl, Exit, Output, Stops, follow,
        render::{self, Watcher},
    },
    domain::Demands,
    protocol::Endpoint,
    readiness::RunRequest,
};
use std::time::Duration;

/// For the number of a run that was just asked for, so that it can be called off.
const NUMBER: Duration = Duration::from_secs(5);

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match &args.action {
        None => {
            args.files.check()?;
            let request = request(&args)?;
            if args.ephemeral {
                ephemeral::run(&args, request, ctl).await
            } else {
                validate(request, &args.files, ctl).await
            }
        }
        Some(Action::List { limit }) => {
            let list = ctl.client.call::<List>(&ListRequest { limit: *limit }).await?;
            ctl.output.print(&ctl.ui, &list, |_| render::runs(&list.runs))?;
            Ok(Exit::Ok)
        }
        Some(Action::Show { run, files }) => {
            files.check()?;
            let report = ctl.client.call::<Show>(&ShowRequest { run: *run }).await?;
            files.deliver(ctl, &report, None)
        }
        Some(Action::Diff(args)) => diff::run(args, ctl).await,
    }
}

fn request(args: &Args) -> Result<RunRequest, CliError> {
    Ok(RunRequest {
        only: args.which.only.clone(),
        skip: args.which.skip.clone(),
        as_of: args.which.as_of,
        environment: args.which.environment.clone(),
        demands: Demands { fail_under: args.fail_under, fail_on: args.fail_on },
        baseline: args.baseline.as_ref().map(baseline::read).transpose()?,
    })
}

pub(super) async fn validate(request: RunRequest, files: &Files, ctl: &Ctl) -> Result<Exit, CliError> {
    follow_run::<Run>(&request, files, ctl).await
}

/// Asks for a run of whatever kind, follows it to its report and delivers that.
pub async fn follow_run<E>(request: &E::Request, files: &Files, ctl: &Ctl) -> Result<Exit, CliError>
where
    E: Endpoint<Reply = Started>,
{
    let mut stops = Stops::listen()?;
    let starting = ctl.client.call::<E>(request);
    tokio::pin!(starting);
    let started = tokio::select! {
        started = &mut starting => started?,
        () = stops.asked() => {
            // The daemon may be about to begin it.
            return Err(match tokio::time::timeout(NUMBER, starting).await {
                Ok(Ok(started)) => call_off(started.run, ctl, &mut stops).await,
                _ => CliError::Interrupted,
            });
        }
    };
    let mut watcher = Watcher::new(&ctl.ui);
    let following = follow::<Watch>(ctl, ProgressRequest { run: started.run, after: 0 }, |progress| {
        watcher.show(progress.total, &progress.findings);
        Ok(())
    });
    let end = tokio::select! {
        end = following => Some(end),
        () = stops.asked() => None,
    };
    watcher.finish();
    let Some(end) = end else { return Err(call_off(started.run, ctl, &mut stops).await) };
    let report = end?.report.ok_or_else(|| CliError::Protocol("the last answer has no report".into()))?;
    let silent = render::exit_of(&report) == Exit::Ok && report.unmet.is_empty();
    let said = match ctl.output {
        Output::Table if ctl.ui.quiet && silent => Some(String::new()),
        Output::Table if ctl.ui.quiet => Some(brief(&report)),
        _ => None,
    };
    files.deliver(ctl, &report, said)
}
