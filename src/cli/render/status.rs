//! status → lines: the verdict first, then the fleet by tier, then only what needs a look.
use super::{age, state_style};
use crate::{
    cli::{
        Ui,
        table::{Table, one_line},
    },
    domain::{
        AgentState, AgentStatus, BreakerStatus, CrashClass, FleetVerdict, ProbeState, Separation,
        StatusReport,
    },
};
use std::{collections::BTreeMap, fmt::Write};

/// Agents and probes asked for before "… and N more".
pub const MOST: usize = 20;
/// Open breakers that the one line names.
const MOST_BREAKERS: usize = 3;

/// For a terminal: all that the report holds. `wide` cuts nothing and shows pids and ports too.
pub fn status(report: &StatusReport, ui: &Ui, wide: bool) -> String {
    let width = if wide { None } else { ui.width() };
    let mut text = head(report, ui);
    if !report.tiers.is_empty() {
        text.push('\n');
        text.push_str(&tiers(report).render(width));
    }
    rollouts(&mut text, report);
    agents(&mut text, report, ui, wide);
    probes(&mut text, report, width);
    foot(&mut text, report);
    text
}

fn head(report: &StatusReport, ui: &Ui) -> String {
    let (word, style) = match report.verdict {
        FleetVerdict::Healthy => ("HEALTHY", "1;32"),
        FleetVerdict::Starting => ("STARTING", "1;33"),
        FleetVerdict::Degraded => ("DEGRADED", "1;31"),
        FleetVerdict::Down => ("DOWN", "1;31"),
        FleetVerdict::Empty => ("EMPTY", "1;33"),
    };
    let daemon = &report.daemon;
    let mut text = format!("{}  {}\n", ui.paint(style, word), one_line(&report.because));
    let _ = writeln!(
        text,
        "agentd {}, pid {}, up {}, environment {}, {:.1} MiB",
        one_line(&daemon.version),
        daemon.pid,
        age(daemon.started_at, report.at),
        one_line(&daemon.environment),
        mebibytes(daemon.rss_bytes)
    );
    if let Some(off) = &daemon.switched_off {
        let by = off.by.as_ref().map_or_else(|| "nobody knows whom".into(), ToString::to_string);
        let _ = writeln!(
            text,
            "the agent system was switched off {} ago by {}: {}",
            age(off.at, report.at),
            one_line(&by),
            one_line(&off.reason)
        );
    } else if let Some(limited) = daemon.limited.as_ref().filter(|_| daemon.agent_system == "limited") {
        let said = format!("the agent system is {limited}");
        let _ = writeln!(text, "{}: {}", ui.paint("33", "warning"), one_line(&said));
    } else if daemon.agent_system != "on" {
        let _ = writeln!(text, "the agent system is {}: no agent is started", one_line(&daemon.agent_system));
    }
    if daemon.separation == Separation::None && !report.tiers.is_empty() {
        let warning = ui.paint("33", "warning");
        let _ =
            writeln!(text, "{warning}: only goodwill keeps agents from acting as you (same uid, no cgroup)");
    }
    text
}

/// A row a tier, a column a state that occurs.
fn tiers(report: &StatusReport) -> Table {
    let states: Vec<AgentState> = AgentState::ALL
        .iter()
        .copied()
        .filter(|state| report.tiers.iter().any(|tier| tier.states.contains_key(state)))
        .collect();
    let mut head = vec!["TIER".to_owned(), "AGENTS".to_owned()];
    head.extend(states.iter().map(|state| state.as_str().to_uppercase()));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&head).figures(&(1..head.len()).collect::<Vec<_>>());
    let figures = |agents: u32, counts: &BTreeMap<AgentState, u32>| {
        let count = |state| counts.get(state).map_or_else(String::new, u32::to_string);
        std::iter::once(agents.to_string()).chain(states.iter().map(count)).collect::<Vec<_>>()
    };
    let mut sum: BTreeMap<AgentState, u32> = BTreeMap::new();
    for tier in &report.tiers {
        tier.states.iter().for_each(|(state, count)| *sum.entry(*state).or_default() += count);
        table.row([vec![tier.tier.clone()], figures(tier.agents, &tier.states)].concat());
    }
    if report.tiers.len() > 1 {
        let all = report.tiers.iter().map(|tier| tier.agents).sum();
        table.row([vec!["total".to_owned()], figures(all, &sum)].concat());
    }
    table
}

/// Beside the fleet, and so beside its table.
fn rollouts(text: &mut String, report: &StatusReport) {
    for rollout in &report.rollouts {
        let _ = writeln!(
            text,
            "rollout: {} of {} is {}, tried for {}, {} against what is stable",
            rollout.instance,
            rollout.release,
            rollout.state.as_str(),
            age(rollout.since, report.at),
            rollout.worth
        );
    }
}

fn agents(text: &mut String, report: &StatusReport, ui: &Ui, wide: bool) {
    if report.agents.is_empty() {
        return;
    }
    let head: &[&str] = if wide {
        &["AGENT", "STATE", "SINCE", "RESTARTS", "PIDS", "PORTS", "WHY"]
    } else {
        &["AGENT", "STATE", "SINCE", "RESTARTS", "WHY"]
    };
    let mut table = Table::new(head).figures(&[3]).painted(1, ui, state_style);
    for agent in &report.agents {
        table.row(agent_row(agent, report, wide));
    }
    text.push('\n');
    text.push_str(&table.render(if wide { None } else { ui.width() }));
    let states = report.tiers.iter().flat_map(|tier| &tier.states);
    let not_well: u32 = states.filter(|(state, _)| state.needs_a_look()).map(|(_, count)| count).sum();
    more(text, (not_well as usize).saturating_sub(report.agents.len()), "`agentctl status --all` shows them");
}

fn agent_row(agent: &AgentStatus, report: &StatusReport, wide: bool) -> Vec<String> {
    let worst = agent.instances.iter().find(|one| one.state == agent.state).or(agent.instances.first());
    let since = worst.and_then(|one| one.since).map_or_else(String::new, |since| age(since, report.at));
    let restarts: u32 = agent.instances.iter().map(|one| one.restarts).sum();
    let mut row = vec![agent.name.to_string(), agent.state.as_str().to_owned(), since, restarts.to_string()];
    if wide {
        row.push(join(agent.instances.iter().filter_map(|one| one.pid)));
        row.push(join(agent.instances.iter().filter_map(|one| one.port)));
    }
    row.push(why(agent));
    row
}

/// `8001,8002`: of each instance that has one.
pub fn join<T: ToString>(values: impl Iterator<Item = T>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

/// Reason and last words of the instance that makes the agent what it is.
pub fn why(agent: &AgentStatus) -> String {
    let Some(worst) = agent.instances.iter().find(|one| one.state == agent.state).or(agent.instances.first())
    else {
        return String::new();
    };
    // Who it is stands beside it already.
    let itself = format!("cannot start {}: ", worst.id);
    let bare = |reason: &String| one_line(reason.strip_prefix(&itself).unwrap_or(reason));
    let mut parts: Vec<String> = worst.reason.iter().map(bare).collect();
    if let Some(exit) = worst.last_exit.as_ref().filter(|_| worst.state != AgentState::Ready) {
        let told = |class: &CrashClass| parts.iter().any(|part| part.contains(class.as_str()));
        if let Some(class) = exit.class.filter(|class| *class != CrashClass::Unknown && !told(class)) {
            parts.push(class.as_str().to_owned());
        }
        if let Some(words) = exit.last_words.as_deref().map(one_line)
            && !parts.iter().any(|part| part.contains(&words))
        {
            parts.push(words);
        }
    }
    parts.join(": ")
}

fn probes(text: &mut String, report: &StatusReport, width: Option<usize>) {
    let total: u32 = report.probes.values().sum();
    if total == 0 {
        return;
    }
    let counts: Vec<String> = report
        .probes
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {}", one_line(state)))
        .collect();
    let _ = writeln!(text, "\nprobes      {}", counts.join(", "));
    let failing: Vec<_> =
        report.failing_probes.iter().filter(|probe| probe.state == ProbeState::Failing).collect();
    if failing.is_empty() {
        return;
    }
    let mut table = Table::new(&["TARGET", "PROBE", "KIND", "SINCE", "SAW"]);
    for probe in &failing {
        let since = probe.since.map_or_else(String::new, |since| age(since, report.at));
        let saw = probe.last.as_ref().map_or("", |last| last.detail.as_str());
        table.row([probe.target.as_str(), &probe.name, &probe.kind, &since, saw]);
    }
    text.push_str(&table.render(width));
    let all = report.probes.get("failing").copied().unwrap_or(0) as usize;
    more(text, all.saturating_sub(failing.len()), "`agentctl status --all` shows them");
}

fn foot(text: &mut String, report: &StatusReport) {
    if !report.open_breakers.is_empty() {
        let told = |breaker: &BreakerStatus| {
            let by = if breaker.tripped.is_some() { " by hand" } else { "" };
            format!("{} is {}{by}", one_line(&breaker.name), breaker.state.as_str())
        };
        let told: Vec<String> = report.open_breakers.iter().take(MOST_BREAKERS).map(told).collect();
        let _ = write!(text, "breakers    {}", told.join(", "));
        let hidden = report.open_breakers.len().saturating_sub(MOST_BREAKERS);
        let _ = match hidden {
            0 => writeln!(text),
            hidden => writeln!(text, " and {hidden} more: `agentctl breaker list`"),
        };
    }
    let store = &report.store;
    let _ = writeln!(
        text,
        "store       {:.1} MiB, {} of {} readers idle, p99: query {:.1} ms, commit {:.1} ms",
        mebibytes(store.file_bytes),
        store.readers_idle,
        store.readers,
        store.query.p99,
        store.commit.p99
    );
    if let Some(alarm) = &report.errors {
        let count = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let counts =
            [count(alarm.spiking, "spiking"), count(alarm.regressed, "came back after being resolved")];
        let _ = writeln!(
            text,
            "errors      {}: {} (`agentctl error show {}`)",
            counts.into_iter().flatten().collect::<Vec<_>>().join(", "),
            one_line(&alarm.message),
            alarm.worst
        );
    }
    let _ = match &report.last_validation {
        None => writeln!(text, "validation  never: `agentctl validate` runs one"),
        Some(last) => writeln!(
            text,
            "validation  {} with {:.1} to {:.1} of 100, {} ago (run {})",
            last.verdict.as_str(),
            last.score.low,
            last.score.high,
            age(last.at, report.at),
            last.run
        ),
    };
}

fn more(text: &mut String, hidden: usize, hint: &str) {
    if hidden > 0 {
        let _ = writeln!(text, "… and {hidden} more: {hint}");
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
