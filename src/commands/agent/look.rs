//! list and show: the fleet's snapshot as a table, one agent with all that is known of it.
use crate::{
    cli::{
        CliError, Ctl, Exit, Table, Ui, one_line,
        render::{age, join, probe_style, state_style, why},
    },
    daemon::{App, Route},
    domain::{
        AgentName, AgentStatus, Audited, Caller, ExitReport, Fault, FleetSnapshot, InstanceStatus,
        Permission, ProbeState, ProbeStatus, Separation,
    },
    protocol::{Endpoint, Verb},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListReply {
    pub schema_version: u32,
    pub at: Timestamp,
    pub agents: Vec<AgentStatus>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "agents/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = ListReply;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {
    pub name: AgentName,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowReply {
    pub schema_version: u32,
    pub at: Timestamp,
    pub agent: AgentStatus,
    pub probes: Vec<ProbeStatus>,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "agents/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ShowRequest;
    type Reply = ShowReply;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<List, _, _>(handle_list), Route::to::<Show, _, _>(handle_show)]
}

/// An agent that is not there, with the way to those that are.
pub fn no_such_agent(name: &AgentName, fleet: &FleetSnapshot) -> Fault {
    let fault = Fault::not_found(format!("cannot find agent {name}"));
    let far = |other: &AgentName| strsim::damerau_levenshtein(other.as_str(), name.as_str());
    let nearest = fleet.agents.iter().map(|agent| (far(&agent.name), &agent.name)).min();
    match nearest.filter(|(distance, _)| *distance <= (name.as_str().len() / 3).max(1)) {
        Some((_, near)) => fault.hint(format!("did you mean {near}? `agentctl agent list` shows all")),
        None => fault.hint("`agentctl agent list` shows all"),
    }
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<ListReply, Fault> {
    let agents = app.supervisor.snapshot().agents.iter().map(|agent| AgentStatus::clone(agent)).collect();
    Ok(ListReply { schema_version: 1, at: app.clock.now(), agents })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<ShowReply, Fault> {
    let fleet = app.supervisor.snapshot();
    let agent =
        fleet.agent(request.name.as_str()).ok_or_else(|| no_such_agent(&request.name, &fleet))?.clone();
    let instance = format!("{}/", agent.name);
    let mut probes = app.monitor.snapshot();
    probes.retain(|probe| probe.target.starts_with(&instance) || agent.depends_on.contains(&probe.target));
    Ok(ShowReply { schema_version: 1, at: app.clock.now(), agent, probes })
}

pub async fn list(ctl: &Ctl) -> Result<Exit, CliError> {
    let reply = ctl.client.call::<List>(&ListRequest {}).await?;
    ctl.output.print(&ctl.ui, &reply, |wide| {
        let head: &[&str] = if wide {
            &["NAME", "TIER", "KIND", "STATE", "READY", "RESTARTS", "SINCE", "PIDS", "PORTS", "OWNER", "WHY"]
        } else {
            &["NAME", "TIER", "KIND", "STATE", "READY", "RESTARTS", "SINCE", "WHY"]
        };
        let mut table = Table::new(head).figures(&[4, 5]).painted(3, &ctl.ui, state_style);
        for agent in &reply.agents {
            table.row(row(agent, reply.at, wide));
        }
        table.render(if wide { None } else { ctl.ui.width() })
    })?;
    Ok(Exit::Ok)
}

fn row(agent: &AgentStatus, now: Timestamp, wide: bool) -> Vec<String> {
    let ready = agent.instances.iter().filter(|one| one.state == crate::domain::AgentState::Ready).count();
    let restarts: u32 = agent.instances.iter().map(|one| one.restarts).sum();
    let since = agent.instances.iter().filter_map(|one| one.since).max();
    let mut row = vec![
        agent.name.to_string(),
        agent.tier.clone(),
        agent.kind.clone(),
        agent.state.as_str().to_owned(),
        format!("{ready}/{}", agent.replicas),
        restarts.to_string(),
        since.map_or_else(String::new, |since| age(since, now)),
    ];
    if wide {
        row.push(join(agent.instances.iter().filter_map(|one| one.pid)));
        row.push(join(agent.instances.iter().filter_map(|one| one.port)));
        row.push(agent.owner.clone().unwrap_or_default());
    }
    row.push(why(agent));
    row
}

pub async fn show(name: AgentName, ctl: &Ctl) -> Result<Exit, CliError> {
    let reply = ctl.client.call::<Show>(&ShowRequest { name }).await?;
    ctl.output.print(&ctl.ui, &reply, |wide| page(&reply, &ctl.ui, wide))?;
    Ok(Exit::Ok)
}

fn page(reply: &ShowReply, ui: &Ui, wide: bool) -> String {
    let width = if wide { None } else { ui.width() };
    let agent = &reply.agent;
    let mut text = format!("{}: {}", agent.name, agent.state.as_str());
    let why = why(agent);
    if !why.is_empty() {
        let _ = write!(text, " ({why})");
    }
    let _ = write!(text, "\nkind {}, tier {}, ", one_line(&agent.kind), one_line(&agent.tier));
    let _ = match agent.replicas {
        1 => writeln!(text, "1 replica"),
        replicas => writeln!(text, "{replicas} replicas"),
    };
    if let Some(owner) = &agent.owner {
        let _ = writeln!(text, "owner {}", one_line(owner));
    }
    if !agent.depends_on.is_empty() {
        let _ = writeln!(text, "depends on {}", one_line(&agent.depends_on.join(", ")));
    }
    let mut table = Table::new(&[
        "INSTANCE",
        "STATE",
        "PID",
        "PORT",
        "SINCE",
        "RESTARTS",
        "SEPARATION",
        "RELEASE",
        "LAST EXIT",
    ])
    .figures(&[2, 3, 5])
    .painted(1, ui, state_style);
    for instance in &agent.instances {
        table.row(instance_row(instance, reply.at));
    }
    let _ = write!(text, "\n{}", table.render(width));
    for instance in agent.instances.iter().filter(|instance| instance.state.needs_a_look()) {
        if let Some(hint) = instance.last_exit.as_ref().and_then(|exit| exit.hint.as_deref()) {
            let _ = writeln!(text, "\nhint for {}: {}", instance.id, one_line(hint));
        }
    }
    if !reply.probes.is_empty() {
        let mut table =
            Table::new(&["TARGET", "PROBE", "KIND", "STATE", "SINCE", "SAW"]).painted(3, ui, probe_style);
        for probe in &reply.probes {
            table.row(probe_row(probe, reply.at));
        }
        let _ = write!(text, "\n{}", table.render(width));
    }
    text
}

fn instance_row(instance: &InstanceStatus, now: Timestamp) -> [String; 9] {
    let adopted = if instance.adopted { " (adopted)" } else { "" };
    let separation = match instance.separation {
        Separation::OwnUser => "own user",
        Separation::OwnCgroup => "own cgroup",
        Separation::None => "none",
    };
    [
        instance.id.to_string(),
        format!("{}{adopted}", instance.state.as_str()),
        instance.pid.map_or_else(String::new, |pid| pid.to_string()),
        instance.port.map_or_else(String::new, |port| port.to_string()),
        instance.since.map_or_else(String::new, |since| age(since, now)),
        instance.restarts.to_string(),
        separation.to_owned(),
        instance.release.map_or_else(|| "none".into(), |release| release.to_string()),
        instance.last_exit.as_ref().map_or_else(String::new, |exit| ended(exit, now)),
    ]
}

fn ended(exit: &ExitReport, now: Timestamp) -> String {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unseen".to_owned(),
    };
    let class = exit.class.map_or_else(String::new, |class| format!(", {}", class.as_str()));
    let words = exit.last_words.as_deref().map_or_else(String::new, |words| format!(": {}", one_line(words)));
    format!("{} ago with {how}{class}{words}", age(exit.at, now))
}

fn probe_row(probe: &ProbeStatus, now: Timestamp) -> [String; 6] {
    let state = match (probe.state, &probe.blocked_by) {
        (ProbeState::Blocked, Some(by)) => format!("blocked by {by}"),
        (ProbeState::Blocked, None) => "blocked".to_owned(),
        (ProbeState::Unknown, _) => "unknown".to_owned(),
        (ProbeState::Passing, _) => "passing".to_owned(),
        (ProbeState::Failing, _) => "failing".to_owned(),
    };
    [
        probe.target.clone(),
        probe.name.clone(),
        probe.kind.clone(),
        state,
        probe.since.map_or_else(String::new, |since| age(since, now)),
        probe.last.as_ref().map_or_else(String::new, |last| last.detail.clone()),
    ]
}
