//! The page of the fleet: how it stands, the way back with its commands, what is wrong, and who to ask.
use super::{
    book::{Runbook, Section, Source},
    declared,
    look::known,
};
use crate::{
    cli::render::age,
    commands::status,
    daemon::App,
    deploy::{ReleaseEntry, Wish},
    domain::{
        BackupStanding, Caller, ErrorFilter, Fault, Finding, FleetVerdict, OperationState, OperationSummary,
        Outcome, ProbeStatus, ReleaseState, Report, StatusReport, WayKind, WayPlan,
    },
};
use jiff::Timestamp;

/// Of each sort; the rest is counted.
const MOST: usize = 10;
const ERRORS: u32 = 10;

pub async fn page(app: App, caller: Caller) -> Result<Runbook, Fault> {
    let (at, settings) = (app.clock.now(), app.settings.borrow().clone());
    let title = format!("the fleet of {}", settings.environment);
    let mut book = Runbook::new("fleet".into(), title, Source::Daemon, at);
    let asked = status::Request { all: false, most: MOST };
    let standing =
        known(&mut book, "how it stands", status::handle(app.clone(), caller.clone(), asked)).await;
    let last = async { Ok(app.store.last_full_report(settings.environment.clone()).await?) };
    let report = known(&mut book, "the last validation", last).await.flatten();
    if let Some(standing) = &standing {
        book.add(stands(standing, report.as_ref(), at));
        book.add(wrong(standing, report.as_ref(), at));
    }
    for kind in [WayKind::Full, WayKind::Immediate] {
        let wish = Wish { kind, to: None, backup: None, unproved: false };
        let plan = known(&mut book, "how to go back", app.ways.plan(&wish, &caller.principal)).await;
        if let Some(plan) = plan {
            book.add(way(&plan));
        }
    }
    if let Some((releases, strays)) = known(&mut book, "the releases", app.releases.list()).await {
        book.add(of_releases(&releases, &strays, at));
    }
    book.add(operations(&app.operations.list(u32::MAX), at));
    if let Some(standing) = known(&mut book, "the backups", app.backups.standing()).await {
        book.add(of_backups(&standing, at));
    }
    let errors = async {
        let rule = app.errors.rule();
        Ok(app.store.error_groups(ErrorFilter::default(), at, rule, ERRORS).await?)
    };
    if let Some(groups) = known(&mut book, "the errors", errors).await {
        let mut section = Section::new("Errors that are open");
        for group in &groups {
            let (seen, since) = (group.count, age(group.last_at, at));
            let (severity, operation) = (group.alike.severity, &group.alike.operation);
            let text = format!("{severity}, {seen} times, last {since} ago, {operation}: {}", group.message);
            section.fact(format!("error {}", group.id), text);
        }
        if groups.is_empty() {
            section.fact("errors", "none is open");
        }
        section.command("agentctl error list", "all of them; `error show ID` has their occurrences");
        book.add(section);
    }
    let file = app.config_file.as_ref().map(|file| file.as_path());
    book.add(declared::places(&settings, &app.paths, file));
    book.add(declared::people(&settings));
    book.add(commands());
    Ok(book)
}

fn stands(standing: &StatusReport, report: Option<&Report>, at: Timestamp) -> Section {
    let mut section = Section::new("How it stands");
    let word = match standing.verdict {
        FleetVerdict::Healthy => "healthy",
        FleetVerdict::Starting => "starting",
        FleetVerdict::Degraded => "degraded",
        FleetVerdict::Down => "down",
        FleetVerdict::Empty => "empty",
    };
    let daemon = &standing.daemon;
    section.fact("verdict", format!("{word}: {}", standing.because));
    let system = match (&daemon.switched_off, &daemon.limited) {
        (Some(off), _) => format!("off since {}: {}", minute(off.at), off.reason),
        (None, Some(limited)) if daemon.agent_system == "limited" => limited.to_string(),
        _ => daemon.agent_system.clone(),
    };
    let up = age(daemon.started_at, at);
    section.fact("agent system", system);
    section.fact("daemon", format!("agentd {}, pid {}, up {up}", daemon.version, daemon.pid));
    let said = report.map_or_else(
        || "never, of everything: nothing has proved that this fleet is ready".into(),
        |report| {
            let (verdict, since) = (report.verdict.as_str(), age(report.started_at, at));
            format!("run {}, {since} ago: {verdict}, {}", report.run, score(report))
        },
    );
    section.fact("last validation", said);
    section
}

fn score(report: &Report) -> String {
    let (low, high) = (report.score.low, report.score.high);
    if (high - low).abs() < 0.05 { format!("score {low:.0}") } else { format!("score {low:.0} to {high:.0}") }
}

/// Each with who says so: a probe, a check, or the supervisor.
fn wrong(standing: &StatusReport, report: Option<&Report>, at: Timestamp) -> Section {
    let mut section = Section::new("What is wrong now, and who says so");
    for agent in standing.agents.iter().take(MOST) {
        let why = agent.instances.iter().find_map(|instance| instance.reason.as_deref());
        let state = agent.state.as_str();
        section.fact(
            agent.name.as_str(),
            format!("{state}: {} (the supervisor)", why.unwrap_or("no reason given")),
        );
        section.command(format!("agentctl runbook {}", agent.name), "what it is, and what to do about it");
    }
    for probe in standing.failing_probes.iter().take(MOST) {
        section.fact(&probe.target, failing(probe, at));
    }
    for breaker in &standing.open_breakers {
        let name = format!("breaker of {}", breaker.name);
        section.fact(name, breaker.why.as_deref().unwrap_or("open: no calls pass"));
    }
    let bad =
        |finding: &&Finding| matches!(finding.outcome, Outcome::Fail | Outcome::Error | Outcome::Timeout);
    let findings: Vec<&Finding> = report.iter().flat_map(|report| &report.findings).filter(bad).collect();
    for finding in findings.iter().take(MOST) {
        let text = format!("{}: {} (the last validation)", finding.outcome.as_str(), finding.summary);
        section.fact(&finding.id, text);
        section.command(format!("agentctl runbook {}", finding.id), "why it matters, and what to do");
    }
    let more = findings.len().saturating_sub(MOST);
    if more > 0 {
        section.fact("and", format!("{more} more checks: `agentctl validate show`"));
    }
    if section.facts.is_empty() {
        section.fact("wrong", "nothing that a probe, the supervisor or the last validation knows of");
    }
    section
}

pub fn failing(probe: &ProbeStatus, at: Timestamp) -> String {
    let since = probe.since.map_or_else(String::new, |since| format!(" for {}", age(since, at)));
    let saw = match (&probe.blocked_by, &probe.last) {
        (Some(by), _) => format!("blocked by {by}"),
        (None, Some(last)) => last.detail.clone(),
        (None, None) => "not looked at yet".into(),
    };
    let state = match probe.state {
        crate::domain::ProbeState::Unknown => "unknown",
        crate::domain::ProbeState::Passing => "passing",
        crate::domain::ProbeState::Failing => "failing",
        crate::domain::ProbeState::Blocked => "blocked",
    };
    format!("{state}{since}: {saw} (probe {}, {})", probe.name, probe.kind)
}

/// A way back with its steps, and the command with the release that it would go to.
fn way(plan: &WayPlan) -> Section {
    let mut section = match plan.kind {
        WayKind::Immediate => Section::new("To switch it off at once"),
        _ => Section::new("To go back to the release that was good"),
    };
    let release =
        |id: Option<crate::domain::ReleaseId>| id.map_or_else(|| "none".into(), |id| id.to_string());
    if plan.kind != WayKind::Immediate {
        section.fact("from and to", format!("{} to {}", release(plan.from), release(plan.to)));
    }
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1e3);
    let expected = plan.expected_ms().map_or_else(|| "never done here yet".into(), seconds);
    section.fact("takes", format!("{expected}; at most {}", plan.budget));
    for step in &plan.steps {
        let took = step.expected_ms.map_or_else(String::new, |ms| format!("; took {}", seconds(ms)));
        section.fact(format!("step {}", step.name), format!("{}{took}", step.title));
    }
    for (label, sentences) in [("lost", &plan.lost), ("doubt", &plan.doubts), ("against", &plan.against)] {
        for sentence in sentences {
            section.fact(label, sentence);
        }
    }
    let why = "--reason \"WHY\"";
    match (plan.kind, plan.to) {
        (WayKind::Immediate, _) => {
            section
                .command(format!("agentctl rollback run --mode immediate {why}"), "off, and proved to be off")
                .command("agentctl system on", "and on again");
        }
        (_, Some(to)) if plan.against.is_empty() => {
            section
                .command(format!("agentctl rollback plan --to {to}"), "look first: nothing is done")
                .command(
                    format!("agentctl rollback run --to {to} {why}"),
                    "go back, verified; else as it was",
                );
        }
        _ => {
            section.command("agentctl rollback plan", "would be refused now: it says why");
        }
    }
    section
}

fn of_releases(releases: &[ReleaseEntry], strays: &[String], at: Timestamp) -> Section {
    let mut section = Section::new("Releases");
    let described = |entry: &ReleaseEntry| {
        let release = &entry.standing.release;
        let note = if release.note.is_empty() { String::new() } else { format!(": {}", release.note) };
        let missing = if entry.missing { ", its files are GONE" } else { "" };
        format!("{}, made {} ago{missing}{note}", entry.standing.state, age(release.at, at))
    };
    let mut told = |name: &str, entry: Option<&ReleaseEntry>| {
        let value = entry.map(|entry| format!("{}, {}", entry.standing.release.id, described(entry)));
        section.fact(name, value.unwrap_or_else(|| "none".into()));
    };
    told("runs", releases.iter().find(|entry| entry.current));
    told("stable", releases.iter().find(|entry| entry.standing.state == ReleaseState::Stable));
    told("newest", releases.iter().max_by_key(|entry| entry.standing.release.id));
    for stray in strays.iter().take(MOST) {
        section.fact("doubtful", stray);
    }
    section
        .command("agentctl release list", "all of them")
        .command("agentctl release diff A B", "what would be another if B took the place of A");
    section
}

/// What is under way, and what ended in between: that wants a person.
fn operations(all: &[OperationSummary], at: Timestamp) -> Section {
    let mut section = Section::new("Operations");
    let open = |one: &&OperationSummary| {
        matches!(one.state, OperationState::Running | OperationState::Unwinding | OperationState::Stopped)
    };
    let told = |one: &OperationSummary| {
        let why = one.why.as_ref().map_or_else(String::new, |why| format!(": {}", why.message));
        format!("{}, {}, begun {} ago{why}", one.title, one.state.as_str(), age(one.begun_at, at))
    };
    for one in all.iter().filter(open).take(MOST) {
        section.fact(one.id.to_string(), told(one));
        section.command(format!("agentctl operation show {}", one.id), "its steps, and how they stand");
    }
    if let Some(last) = all.first().filter(|last| !open(last)) {
        section.fact("last", format!("{}, {}", last.id, told(last)));
    }
    section
}

fn of_backups(standing: &BackupStanding, at: Timestamp) -> Section {
    let mut section = Section::new("Backups");
    let newest = standing.newest.as_ref().map(|entry| {
        let since = entry.manifest.as_ref().map_or_else(|| "?".into(), |made| age(made.at, at));
        let word = if entry.is_verified() { "verified" } else { "not verified" };
        format!("{}, {since} old, {word}", entry.id)
    });
    let drill = standing.last_drill.as_ref().map(|drill| {
        let how = drill.problems.first().map_or_else(|| "passed".into(), |why| format!("FAILED: {why}"));
        format!("{} ago, of {}: RPO {}, RTO {}, {how}", age(drill.at, at), drill.backup, drill.rpo, drill.rto)
    });
    section
        .fact("newest that is sound", newest.unwrap_or_else(|| "none: what is lost is lost".into()))
        .fact(
            "last drill",
            drill.unwrap_or_else(|| "never: nobody knows whether they can be restored".into()),
        )
        .command("agentctl backup create --note WHY", "make one now")
        .command("agentctl backup drill", "try the newest out, in scratch")
        .command("agentctl backup restore ID --to DIR", "unpack one; the running state is not touched");
    section
}

fn commands() -> Section {
    let mut section = Section::new("To look, and to act");
    section
        .command("agentctl status --watch", "how it fares, as it changes")
        .command("agentctl runbook AGENT", "one agent: what it is, its last words, what to do")
        .command("agentctl agent logs NAME -f", "what an agent prints")
        .command("agentctl agent restart NAME", "start one again")
        .command("agentctl system limited --clients PRINCIPAL --reason WHY", "let it work for a few alone")
        .command("agentctl validate", "is it ready? Nothing else says so")
        .command("agentctl daemon logs", "what agentd itself says");
    section
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
