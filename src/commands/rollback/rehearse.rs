//! Rehearse a return: begin it, follow it, say what came of it. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit, Output, Table, one_line, render},
    commands::operation::follow_operation,
    daemon::{App, Route},
    deploy::RehearsalWish,
    domain::{AgentName, Audited, ByteSize, Caller, Fault, OperationId, Permission, Rehearsal, ReleaseId},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Among so many the one that has just ended is looked for.
const NEWEST: u32 = 20;
const MOST: u32 = 1000;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Another release than the one that was stable before
    #[arg(long, value_name = "RELEASE")]
    to: Option<ReleaseId>,
    /// An agent that is not started, and so not proved; repeatable
    #[arg(long, value_name = "AGENT")]
    without: Vec<AgentName>,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    pub schema_version: u32,
    pub operation: OperationId,
}

struct Begin;
impl Endpoint for Begin {
    const NAME: &'static str = "rehearsals/begin";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    /// It starts processes, and runs what [rehearsal] declares.
    const AUDITED: Audited = Audited::Around;
    type Request = RehearsalWish;
    type Reply = Begun;

    fn object(request: &RehearsalWish) -> String {
        request.to.map_or_else(String::new, |to| format!("release/{to}"))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Rehearsals {
    pub schema_version: u32,
    pub rehearsals: Vec<Rehearsal>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "rehearsals/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Rehearsals;
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::to::<Begin, _, _>(handle_begin), Route::to::<List, _, _>(handle_list)]
}

async fn handle_begin(app: App, caller: Caller, request: RehearsalWish) -> Result<Begun, Fault> {
    let operation = app.rehearsals.begin(request, &caller.principal).await?;
    Ok(Begun { schema_version: 1, operation })
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Rehearsals, Fault> {
    Ok(Rehearsals { schema_version: 1, rehearsals: app.rehearsals.list(request.limit.min(MOST)).await? })
}

/// 0 if it passed, 1 if it did not.
pub(super) async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let Args { to, without, detach } = args;
    let begun = ctl.client.call::<Begin>(&RehearsalWish { to, without }).await?;
    if detach {
        ctl.output.print(&ctl.ui, &begun, |_| format!("{} is under way\n", begun.operation))?;
        return Ok(Exit::Ok);
    }
    let operation = follow_operation(ctl, begun.operation).await?;
    let all = ctl.client.call::<List>(&ListRequest { limit: NEWEST }).await?.rehearsals;
    // Called off, or stopped before anything was known: then the operation says why.
    let Some(rehearsal) =
        all.into_iter().find(|one| one.operation == operation.id && one.at >= operation.begun_at)
    else {
        match ctl.output {
            Output::Name => ctl.ui.data(&format!("{}\n", operation.id))?,
            output => output.print(&ctl.ui, &operation, |_| render::operation(&ctl.ui, &operation))?,
        }
        return Ok(render::exit_of_operation(&operation));
    };
    let passed = rehearsal.passed();
    let one = Rehearsals { schema_version: 1, rehearsals: vec![rehearsal] };
    match ctl.output {
        Output::Name => ctl.ui.data(&format!("{}\n", operation.id))?,
        output => output.print(&ctl.ui, &one, |_| one.rehearsals.iter().map(told).collect())?,
    }
    Ok(if passed { Exit::Ok } else { Exit::Negative })
}

pub(super) async fn list(limit: u32, ctl: &Ctl) -> Result<Exit, CliError> {
    let all = ctl.client.call::<List>(&ListRequest { limit }).await?;
    match ctl.output {
        Output::Name => {
            let names = all.rehearsals.iter().map(|one| format!("{}\n", one.operation));
            ctl.ui.data(&names.collect::<String>())?;
        }
        output => output.print(&ctl.ui, &all, |wide| listed(ctl, &all.rehearsals, wide))?,
    }
    Ok(Exit::Ok)
}

fn listed(ctl: &Ctl, all: &[Rehearsal], wide: bool) -> String {
    if all.is_empty() {
        return "no return was ever rehearsed: `agentctl rollback rehearse`\n".into();
    }
    let mut table =
        Table::new(&["ID", "RELEASE", "AT", "RESULT", "TOOK", "COPY", "AGENTS", "LEFT OUT", "WHY"])
            .figures(&[4, 5, 6]);
    for one in all {
        table.row(vec![
            one.operation.to_string(),
            one.release.to_string(),
            one.at.strftime("%Y-%m-%d %H:%MZ").to_string(),
            if one.passed() { "passed" } else { "failed" }.into(),
            one.took.to_string(),
            ByteSize(one.copy_bytes).to_string(),
            one.agents.len().to_string(),
            one.left_out.iter().map(|left| left.agent.as_str()).collect::<Vec<_>>().join(", "),
            one.problems.first().map_or_else(String::new, |why| one_line(why)),
        ]);
    }
    let mut text = table.render(ctl.ui.width().filter(|_| !wide));
    // Of the newest, what each agent said last: who looks here after a failure wants that.
    if let Some(last) = all.first().filter(|last| !last.passed()) {
        let _ = write!(text, "\n{}", told(last));
    }
    text
}

fn told(one: &Rehearsal) -> String {
    let how = match (one.passed(), one.left_out.len()) {
        (true, 0) => "came up".to_owned(),
        (true, count) => format!("came up without {count} of its agents"),
        (false, _) => "did NOT come up".to_owned(),
    };
    let mut text = match one.copy_bytes {
        // Not as it was recorded: there was nothing to make a copy for.
        0 => format!("{} was NOT started\n", one.release),
        bytes => {
            let (release, took, size) = (one.release, one.took, ByteSize(bytes));
            format!("{release} {how} on a copy of today's database ({size}), in {took}\n")
        }
    };
    let mut table = Table::new(&["AGENT", "READY", "WHAT"]).figures(&[1]);
    for agent in &one.agents {
        let ready = agent.ready_ms.map_or_else(String::new, |ms| format!("{:.1} s", ms as f64 / 1e3));
        let what = match (agent.ready_ms, agent.last_lines.is_empty()) {
            (Some(_), true) => "ready, and stayed so",
            (Some(_), false) => "was ready, and fell",
            (None, _) => "was never ready",
        };
        table.row([agent.name.to_string(), ready, what.into()]);
    }
    for left in &one.left_out {
        table.row([left.agent.to_string(), String::new(), format!("not proved: {}", one_line(&left.why))]);
    }
    text.push_str(&table.render(None));
    for problem in &one.problems {
        let _ = writeln!(text, "problem: {}", one_line(problem));
    }
    for agent in one.agents.iter().filter(|agent| !agent.last_lines.is_empty()) {
        let _ = writeln!(text, "{} said last:", agent.name);
        for line in &agent.last_lines {
            let _ = writeln!(text, "    {}", one_line(line));
        }
    }
    for sentence in &one.unproved {
        let _ = writeln!(text, "not proved: {}", one_line(sentence));
    }
    text
}
