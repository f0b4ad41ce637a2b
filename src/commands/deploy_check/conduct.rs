//! The terminal's end: ask for a run and follow it as a validation is followed; list, show.
use super::{
    args::{Action, Args},
    attest,
    serve::{ItemsRequest, List, Past, Run, RunsRequest, Show, ShowRequest},
    wait,
};
use crate::{
    cli::{CliError, Ctl, Exit, Table},
    commands::validate::{Which, follow_run},
    deploy::checklist::{CheckRequest, ItemInfo},
    domain::{Phase, RunState, RunSummary, Verdict, moment},
};

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        None => {
            args.files.check()?;
            let Which { only, skip, as_of, environment } = args.which;
            let Args { phase, release, since, .. } = args;
            let request = CheckRequest { phase, only, skip, as_of, environment, release, since };
            if args.wait {
                return wait::judge_when_full(request, &args.files, ctl).await;
            }
            follow_run::<Run>(&request, &args.files, ctl).await
        }
        Some(Action::Items) => {
            let list = ctl.client.call::<List>(&ItemsRequest {}).await?;
            ctl.output.print(&ctl.ui, &list, |wide| items(ctl, &list.items, wide))?;
            Ok(Exit::Ok)
        }
        Some(Action::List { limit, phase }) => {
            let list = ctl.client.call::<Past>(&RunsRequest { limit, phase }).await?;
            ctl.output.print(&ctl.ui, &list, |_| runs(ctl, &list.runs))?;
            Ok(Exit::Ok)
        }
        Some(Action::Show { run, phase, files }) => {
            files.check()?;
            let report = ctl.client.call::<Show>(&ShowRequest { run, phase }).await?;
            files.deliver(ctl, &report, None)
        }
        Some(Action::Attest(args)) => attest::run(args, ctl).await,
    }
}

fn items(ctl: &Ctl, items: &[ItemInfo], wide: bool) -> String {
    if items.is_empty() {
        return "the manifest has no checklist: add [[checklist.item]]\n".into();
    }
    let mut head = vec!["ITEM", "GROUP", "PHASES", "KIND", "SEVERITY", "OWNER", "TITLE"];
    head.extend(wide.then_some("HINT"));
    let mut table = Table::new(&head);
    for item in items {
        let phases: Vec<&str> = item.phases.iter().copied().map(Phase::as_str).collect();
        let mut row = vec![
            item.id.clone(),
            item.group.to_string(),
            phases.join(","),
            item.kind.clone(),
            if item.required { "required" } else { "advised" }.into(),
            item.owner.clone().unwrap_or_else(|| "-".into()),
            item.title.clone(),
        ];
        row.extend(wide.then(|| item.hint.clone().unwrap_or_else(|| "-".into())));
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn runs(ctl: &Ctl, runs: &[RunSummary]) -> String {
    if runs.is_empty() {
        return "the checklist was never run: `agentctl deploy-check`\n".into();
    }
    let mut table = Table::new(&["RUN", "STARTED", "ENVIRONMENT", "PHASE", "VERDICT"]).figures(&[0]);
    for run in runs {
        let verdict = match (run.state, run.verdict) {
            (RunState::Finished, Some(Verdict::Ready)) => "GO",
            (RunState::Finished, Some(Verdict::NotReady)) => "NO-GO",
            (RunState::Finished, Some(verdict)) => verdict.as_str(),
            (RunState::Finished, None) => "-",
            (RunState::Running, _) => "running",
            (RunState::Interrupted, _) => "interrupted",
            (RunState::Cancelled, _) => "cancelled",
        };
        let part = if run.partial && verdict != Verdict::Partial.as_str() { " (partial)" } else { "" };
        table.row([
            run.run.to_string(),
            moment(run.started_at),
            run.environment.clone(),
            run.phase.map_or_else(|| "-".into(), |phase| phase.to_string()),
            format!("{verdict}{part}"),
        ]);
    }
    table.render(ctl.ui.width())
}
