//! The part of a runbook that the manifest alone tells: where things are, who answers for what, and what an agent or a
//! dependency is meant to be.
use super::book::Section;
use crate::{
    agents::{Supervisor, layers},
    config::{AgentSettings, DependencySettings, Limits, Paths, ProbeSettings, Settings},
    domain::{AgentName, ProbeRole, RestartMode},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub fn places(settings: &Settings, paths: &Paths, config_file: Option<&Path>) -> Section {
    let mut section = Section::new("Where things are");
    let shown = |path: &Path| path.display().to_string();
    let backups = settings.backups.dir.as_deref().unwrap_or(&paths.backups);
    section
        .fact("environment", &settings.environment)
        .fact("configuration", config_file.map_or_else(|| "no file: defaults".into(), shown))
        .fact("state directory", shown(&paths.state_dir))
        .fact("socket", shown(&paths.socket))
        .fact("socket for reports", shown(&paths.report_socket))
        .fact("database", shown(&paths.database))
        .fact("the daemon's logs", shown(&paths.logs))
        .fact("agents' logs", shown(&paths.agent_logs))
        .fact("releases", shown(&paths.releases))
        .fact("backups", shown(backups))
        .fact("journals of operations", shown(&paths.operations));
    section
}

/// Every contact, and the agents that name it; an owner that is no contact too.
pub fn people(settings: &Settings) -> Section {
    let mut section = Section::new("Who to ask");
    let mut owned: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for agent in &settings.agents {
        let owner = agent.owner.as_deref().unwrap_or_default();
        owned.entry(owner).or_default().push(agent.name.as_str());
    }
    for (key, contact) in &settings.contacts {
        let owns = owned.remove(key.as_str()).unwrap_or_default().join(", ");
        let owns = if owns.is_empty() { String::new() } else { format!("; owns {owns}") };
        section.fact(key, format!("{} <{}>{owns}", contact.name, contact.email));
    }
    for (owner, agents) in owned {
        let of = if owner.is_empty() { "nobody" } else { owner };
        section.fact(of, format!("owns {}, and is no contact", agents.join(", ")));
    }
    section
}

/// What the agent is, its probes, and whom it needs.
pub fn agent(settings: &Settings, agent: &AgentSettings) -> Vec<Section> {
    vec![what(settings, agent), probes(agent), needs(settings, agent)]
}

pub fn dependency(settings: &Settings, dependency: &DependencySettings) -> Section {
    let mut section = Section::new("What it is");
    let users = settings.agents.iter().filter(|agent| agent.depends_on.contains(&dependency.name));
    section
        .fact("kind", format!("dependency, {}: agentd looks at it, and does not run it", dependency.kind))
        .fact("looked at", looked_at(dependency.every, dependency.deadline))
        .fact("counts as down", format!("after {} failures in a row", dependency.failure_threshold))
        .some("policy", dependency.policy.as_deref())
        .list("who needs it", users.map(|agent| agent.name.to_string()), "no agent")
        .fact("means", "while it is down, who needs it is blocked: one outage, and not one of each");
    section
}

fn what(settings: &Settings, agent: &AgentSettings) -> Section {
    let mut section = Section::new("What it is");
    let owner = agent.owner.as_ref().map(|owner| match settings.contacts.get(owner) {
        Some(contact) => format!("{owner}: {} <{}>", contact.name, contact.email),
        None => format!("{owner}, which is no contact"),
    });
    let option = |key: &str| agent.options.get(key).map(plain);
    section
        .fact("kind", format!("{}, tier {}, {} replicas", agent.kind, agent.tier, agent.replicas))
        .some("enabled", (!agent.enabled).then_some("no: it is never started"))
        .some("description", agent.description.as_deref())
        .fact("owner", owner.unwrap_or_else(|| "nobody".into()))
        .some("command", option("command"))
        .some("directory", option("workdir"))
        .some("address", option("url"))
        .some("port", option("port"))
        .list("exposed ports", agent.exposes.iter().map(ToString::to_string), "")
        .some("user", agent.user.as_deref())
        .some("artifact", agent.artifact.as_ref().map(|path| path.display().to_string()))
        .some("limits", limits(&agent.limits))
        .fact(
            "start and stop",
            format!("ready within {}, TERM to KILL {}", agent.start_timeout, agent.stop_timeout),
        )
        .fact("restart", restart(agent));
    section
}

fn restart(agent: &AgentSettings) -> String {
    let rule = &agent.restart;
    let when = match rule.policy {
        RestartMode::Always => "always",
        RestartMode::OnFailure => "when it failed",
        RestartMode::Never => return "never: it stays down until somebody starts it".into(),
    };
    format!("{when}, after {}; given up after {}", rule.backoff, rule.latch)
}

/// Those that nobody declared too.
fn probes(agent: &AgentSettings) -> Section {
    let mut section = Section::new("Its probes, and what their failure means");
    for probe in Supervisor::probes_of(agent) {
        let ProbeSettings { name, role, kind, every, deadline, failure_threshold, success_threshold, .. } =
            &probe;
        let (word, means) = role_of(*role);
        section.fact(
            name,
            format!(
                "{word}, {kind}, {}; fails after {failure_threshold} in a row, passes after {success_threshold}; {means}",
                looked_at(*every, *deadline)
            ),
        );
    }
    section
}

fn role_of(role: ProbeRole) -> (&'static str, &'static str) {
    match role {
        ProbeRole::Startup => {
            ("startup", "until it passes once the instance is starting, and who depends on it waits")
        }
        ProbeRole::Readiness => ("readiness", "while it fails the agent is degraded, and is not restarted"),
        ProbeRole::Liveness => ("liveness", "when it fails the instance is restarted, as `restart` says"),
    }
}

fn needs(settings: &Settings, agent: &AgentSettings) -> Section {
    let mut section = Section::new("Whom it needs, and who needs it");
    let name = agent.name.as_str();
    let direct: Vec<&AgentSettings> =
        settings.agents.iter().filter(|other| other.depends_on.iter().any(|need| need == name)).collect();
    let mut all: BTreeSet<&str> = direct.iter().map(|other| other.name.as_str()).collect();
    let mut ahead: Vec<&str> = all.iter().copied().collect();
    while let Some(next) = ahead.pop() {
        for other in settings.agents.iter().filter(|other| other.depends_on.iter().any(|need| need == next)) {
            if all.insert(other.name.as_str()) {
                ahead.push(other.name.as_str());
            }
        }
    }
    let through = all.iter().filter(|far| direct.iter().all(|near| near.name.as_str() != **far));
    section
        .list("needs", &agent.depends_on, "nothing")
        .list("needed by", direct.iter().map(|other| other.name.as_str()), "nobody")
        .list("through those, by", through, "");
    let graph: BTreeMap<AgentName, Vec<String>> =
        settings.agents.iter().map(|agent| (agent.name.clone(), agent.depends_on.clone())).collect();
    if let Ok(layers) = layers(&graph)
        && let Some(place) = layers.iter().position(|layer| layer.contains(&agent.name))
    {
        let order = format!("round {} of {}; a stop goes the other way", place + 1, layers.len());
        section.fact("order of start", order);
    }
    section
}

fn limits(limits: &Limits) -> Option<String> {
    let Limits { memory, open_files, processes } = limits;
    let all = [
        memory.map(|bytes| format!("{bytes} of memory")),
        open_files.map(|count| format!("{count} open files")),
        processes.map(|count| format!("{count} processes")),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn looked_at(every: crate::domain::Period, deadline: crate::domain::Period) -> String {
    format!("every {every}, deadline {deadline}")
}

/// A value of the options as it was meant; what looks like a secret is not in it.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(words) => words.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    crate::config::redact(&text).into_owned()
}
