//! The page of one agent, or of a dependency: what the manifest says of it, and how it stands now.
use super::{
    book::{Runbook, Section, Source},
    declared,
    fleet::failing,
    look::known,
};
use crate::{
    agents::LogQuery,
    cli::render::age,
    config::{AgentSettings, DependencySettings, Settings},
    daemon::App,
    domain::{AgentStatus, ErrorFilter, Fault, InstanceId, InstanceStatus},
};
use jiff::Timestamp;

/// Lines of an instance's output.
const LINES: usize = 8;
/// Instances whose output is shown: those that are not well first.
const INSTANCES: usize = 3;
const ERRORS: u32 = 5;

pub async fn page(app: &App, settings: &Settings, declared: &AgentSettings) -> Result<Runbook, Fault> {
    let (at, name) = (app.clock.now(), &declared.name);
    let mut book = Runbook::new(format!("agent/{name}"), format!("agent {name}"), Source::Daemon, at);
    let fleet = app.supervisor.snapshot();
    let status = fleet.agent(name.as_str());
    match status {
        Some(status) => book.add(stands(status, at)),
        None => book.cannot_know("its state", "the supervisor does not know it yet"),
    }
    book.add(probes(app, |target| {
        of(target, name.as_str()) || declared.depends_on.iter().any(|need| need == target)
    }));
    errors(app, &mut book, name.as_str(), at).await;
    if let Some(status) = status {
        output(app, &mut book, status).await;
    }
    for section in declared::agent(settings, declared) {
        book.add(section);
    }
    book.add(commands(name.as_str(), status));
    Ok(book)
}

pub fn page_of_dependency(app: &App, settings: &Settings, declared: &DependencySettings) -> Runbook {
    let (at, name) = (app.clock.now(), declared.name.as_str());
    let mut book =
        Runbook::new(format!("dependency/{name}"), format!("dependency {name}"), Source::Daemon, at);
    book.add(probes(app, |target| target == name));
    book.add(declared::dependency(settings, declared));
    let mut section = Section::new("To look, and to act");
    section
        .command(format!("agentctl breaker show {name}"), "are calls let through, and since when")
        .command("agentctl status", "who is blocked by it");
    book.add(section);
    book
}

fn stands(status: &AgentStatus, at: Timestamp) -> Section {
    let mut section = Section::new("How it stands");
    section.fact("state", status.state.as_str());
    for instance in &status.instances {
        section.fact(instance.id.to_string(), of_instance(instance, at));
        if let Some(exit) = &instance.last_exit {
            let how = match (exit.code, exit.signal) {
                (Some(code), _) => format!("code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "nobody saw how".into(),
            };
            let class = exit.class.map_or_else(String::new, |class| format!(", {}", class.as_str()));
            let name = format!("{} ended", instance.id);
            section.fact(name, format!("{} ago, {how}{class}", age(exit.at, at)));
            section.some("last words", exit.last_words.as_deref()).some("hint", exit.hint.as_deref());
        }
    }
    section
}

fn of_instance(instance: &InstanceStatus, at: Timestamp) -> String {
    let mut text = instance.state.as_str().to_owned();
    let mut also = |part: Option<String>| text.extend(part.map(|part| format!(", {part}")));
    also(instance.since.map(|since| format!("for {}", age(since, at))));
    also(instance.pid.map(|pid| format!("pid {pid}")));
    also(instance.port.map(|port| format!("port {port}")));
    also((instance.restarts > 0).then(|| format!("{} restarts", instance.restarts)));
    also(instance.release.map(|release| format!("release {release}")));
    also(instance.reason.clone());
    text
}

fn probes(app: &App, wanted: impl Fn(&str) -> bool) -> Section {
    let mut section = Section::new("What its probes say");
    let at = app.clock.now();
    for probe in app.monitor.snapshot().iter().filter(|probe| wanted(&probe.target)) {
        section.fact(&probe.target, failing(probe, at));
    }
    section
}

async fn errors(app: &App, book: &mut Runbook, name: &str, at: Timestamp) {
    let filter = ErrorFilter { agent: Some(name.to_owned()), ..ErrorFilter::default() };
    let look = async { Ok(app.store.error_groups(filter, at, app.errors.rule(), ERRORS).await?) };
    let Some(groups) = known(book, "its errors", look).await else { return };
    let mut section = Section::new("Its errors that are open");
    for group in &groups {
        let (severity, count, since) = (group.alike.severity, group.count, age(group.last_at, at));
        let text = format!("{severity}, {count} times, last {since} ago: {}", group.message);
        section.fact(format!("error {}", group.id), text);
    }
    if groups.is_empty() {
        section.fact("errors", "none is open");
    }
    section.command(format!("agentctl error list --agent {name}"), "all of them");
    book.add(section);
}

async fn output(app: &App, book: &mut Runbook, status: &AgentStatus) {
    let mut instances: Vec<&InstanceStatus> = status.instances.iter().collect();
    instances.sort_by_key(|instance| !instance.state.needs_a_look());
    for instance in instances.into_iter().take(INSTANCES) {
        let look = lines(app.clone(), instance.id.clone());
        let Some(lines) = known(book, &format!("what {} printed", instance.id), look).await else { continue };
        let mut section = Section::new(format!("The last lines of {}", instance.id));
        for line in &lines {
            section.fact("said", line);
        }
        section.command(format!("agentctl agent logs {} -f", instance.id), "and what follows");
        book.add(section);
    }
}

/// What is known for a secret is not in them.
async fn lines(app: App, instance: InstanceId) -> Result<Vec<String>, Fault> {
    let redactor = app.errors.redactor().clone();
    let query = LogQuery { instance, lines: LINES };
    let (lines, _) = tokio::task::spawn_blocking(move || app.supervisor.logs(&query))
        .await
        .map_err(|panic| Fault::internal(format!("cannot read the log: {panic}")))??;
    Ok(lines.iter().map(|line| redactor.clean(line, 1000)).collect())
}

fn commands(name: &str, status: Option<&AgentStatus>) -> Section {
    let mut section = Section::new("To look, and to act");
    section.command(format!("agentctl agent show {name}"), "its instances and probes");
    if let Some(first) = status.and_then(|status| status.instances.first()) {
        section.command(format!("agentctl agent logs {} -f", first.id), "what it prints");
    }
    section
        .command(
            format!("agentctl agent restart {name}"),
            "stop and start it; returns when it is ready, or says why not",
        )
        .command(format!("agentctl agent stop {name}"), "returns when nothing of it is alive; stays down")
        .command(format!("agentctl agent start {name}"), "also after it was given up");
    section
}

/// Does this instance belong to it?
fn of(target: &str, name: &str) -> bool {
    target.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
}
