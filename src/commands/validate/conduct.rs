//! The terminal's end: ask for a run, follow it, show what came of it.
use super::{
    args::{Action, Args},
    serve::{List, ListRequest, ProgressRequest, Run, Show, ShowRequest, Watch},
};
use crate::{
    cli::{
        CliError, Ctl, Exit, Output, follow,
        render::{self, Watcher},
    },
    domain::Report,
    readiness::RunRequest,
};

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
