//! Thresholds that contradict each other: one of the two is not in force, whatever the file says.
mod bounds;

#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    config::{AgentSettings, Settings},
    domain::{ByteSize, ProbeRole},
    readiness::{Evidence, Found},
    resilience::Backoff,
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{fs, time::Duration};

/// How many are named in the evidence.
const NAMED: usize = 20;

pub async fn agree(evidence: &Evidence) -> Found {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match memory(&table) {
        Some(machine) => judge(&evidence.settings, machine),
        None => Found::error("cannot read how much memory this machine has in /proc/meminfo"),
    }
}

/// What contradicts, where it stands, and why the two cannot both be meant.
struct Contradiction {
    at: String,
    why: String,
}

fn judge(settings: &Settings, machine: u64) -> Found {
    let mut found = Vec::new();
    daemon(settings, &mut found);
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        of_agent(agent, settings, machine, &mut found);
    }
    for (at, why) in bounds::conflicts(&bounds::of(settings)) {
        found.push(Contradiction { at, why });
    }
    let (promised, sum) = promised(settings);
    let memory = format!(
        "memory limits of {promised} instances add up to {}, and this machine has {}",
        ByteSize(sum),
        ByteSize(machine)
    );
    if let Some(first) = found.first() {
        let more = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
        let summary = format!("{}: {}{more}", first.at, first.why);
        let lines = found.iter().take(NAMED).map(|found| format!("{}: {}", found.at, found.why));
        let told = Found::fail(summary).all_seen(lines).seen(memory);
        return found.into_iter().fold(told, |told, found| told.about(found.at, found.why));
    }
    if sum > machine {
        return Found::warn("the agents may together take more memory than the machine has").seen(memory);
    }
    Found::pass("no two thresholds contradict each other").seen(memory)
}

fn daemon(settings: &Settings, found: &mut Vec<Contradiction>) {
    let mut tell = |at: &str, why: String| found.push(Contradiction { at: at.into(), why });
    let (store, readiness) = (&settings.store, &settings.readiness);
    if readiness.bar <= 0.0 {
        tell("readiness.bar", "at 0 no score is ever under it".into());
    }
    if store.idle_timeout.0 > store.max_age.0 {
        let why = format!(
            "{} never comes, since a reader is closed at max_age, {}",
            store.idle_timeout, store.max_age
        );
        tell("store.idle_timeout", why);
    }
    if store.checkout_timeout.0 >= readiness.check_deadline.0 {
        let why = format!(
            "{} is not under the time a check has, {}",
            store.checkout_timeout, readiness.check_deadline
        );
        tell("store.checkout_timeout", why);
    }
}

fn of_agent(agent: &AgentSettings, settings: &Settings, machine: u64, found: &mut Vec<Contradiction>) {
    let mut tell =
        |key: &str, why: String| found.push(Contradiction { at: format!("{}/{key}", agent.name), why });
    let (latch, backoff) = (agent.restart.latch, agent.restart.backoff);
    let delays = delays(backoff.first.0, backoff.longest.0, latch.failures.saturating_sub(1));
    if delays > latch.within.0 {
        let why = format!(
            "`{latch}` is never reached: with backoff {backoff} so many failures take {:.0} s at least",
            delays.as_secs_f64()
        );
        tell("restart.latch", why);
    }
    let deadline = settings.daemon.stop_deadline;
    if agent.stop_timeout.0 > deadline.0 {
        let why = format!("{} is cut off by daemon.stop_deadline, {deadline}", agent.stop_timeout);
        tell("stop_timeout", why);
    }
    for probe in agent.probes.iter().filter(|probe| probe.role != ProbeRole::Liveness) {
        let soonest = probe.every.0.saturating_mul(probe.success_threshold.saturating_sub(1));
        if soonest > agent.start_timeout.0 {
            let why = format!(
                "{} passes in a row every {} take longer than start_timeout, {}",
                probe.success_threshold, probe.every, agent.start_timeout
            );
            tell(&format!("probe.{}", probe.name), why);
        }
    }
    if let Some(limit) = agent.limits.memory.filter(|limit| limit.0 > machine) {
        let why = format!("{limit} is more than the machine has, {}: it limits nothing", ByteSize(machine));
        tell("limits.memory", why);
    }
}

/// The shortest time in which so many restarts can follow each other.
fn delays(first: Duration, longest: Duration, restarts: u32) -> Duration {
    let backoff = Backoff::doubling(first, longest);
    let sum: Duration = (0..restarts.min(10_000)).map(|attempt| backoff.nominal(attempt)).sum();
    // Jitter takes up to a tenth off each.
    sum.mul_f64(0.9)
}

/// How many instances have a memory limit, and what the limits add up to.
fn promised(settings: &Settings) -> (u32, u64) {
    let limited = settings.agents.iter().filter(|agent| agent.enabled);
    limited.filter_map(|agent| Some((agent.replicas, agent.limits.memory?.0))).fold(
        (0, 0),
        |(count, sum), (replicas, limit)| {
            (count + replicas, sum.saturating_add(limit.saturating_mul(u64::from(replicas))))
        },
    )
}

/// `MemTotal:       24683668 kB`
fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    // In whole MiB, as people say it.
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024).map(|bytes| bytes >> 20 << 20)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-012",
    at_work: || {
        async {
            let say = |change: serde_json::Value| {
                let mut agent = serde_json::json!({
                    "name": "orders", "kind": "service", "limits": { "memory": "256MiB" },
                    "options": { "command": ["x"], "port": 8000 },
                });
                let mut whole = serde_json::json!({});
                let target = if change.get("whole").is_some() { &mut whole } else { &mut agent };
                let change = change.get("whole").cloned().unwrap_or(change);
                for (key, value) in change.as_object().expect("an object") {
                    target[key.as_str()] = value.clone();
                }
                whole["agent"] = serde_json::json!([agent]);
                judge(&serde_json::from_value(whole).expect("settings"), 1 << 30)
            };
            let latch = |latch: &str, backoff: &str| {
                say(serde_json::json!({ "restart": { "latch": latch, "backoff": backoff } }))
            };
            let expecting = |first: serde_json::Value, second: serde_json::Value| {
                let probe = |name: &str, want: serde_json::Value| {
                    serde_json::json!({ "name": name, "kind": "http",
                        "options": { "path": "/metrics", "expect": { "json": { "$.error_rate": want } } } })
                };
                say(serde_json::json!({ "probe": [probe("a", first), probe("b", second)] }))
            };
            crate::readiness::checks::Tried {
                sound: vec![
                    say(serde_json::json!({})),
                    latch("5 in 2m", "500ms..30s"),
                    expecting("< 0.01".into(), "> 0".into()),
                    expecting("< 0.01".into(), "< 0.01".into()),
                ],
                broken: vec![
                    ("a latch that backoff keeps out of reach", latch("5 in 10s", "30s..5m")),
                    ("a stop that the daemon cuts off", say(serde_json::json!({ "stop_timeout": "5m" }))),
                    ("a limit above the machine's memory", say(serde_json::json!({ "limits": { "memory": "2GiB" } }))),
                    ("limits that together exceed it", {
                        say(serde_json::json!({ "replicas": 20, "options": { "command": ["x"] } }))
                    }),
                    ("a readiness that cannot be reached in time", {
                        let probe = serde_json::json!([{ "name": "up", "kind": "tcp", "every": "30s", "success_threshold": 5 }]);
                        say(serde_json::json!({ "probe": probe, "start_timeout": "60s" }))
                    }),
                    ("a bar that nothing is under", say(serde_json::json!({ "whole": { "readiness": { "bar": 0.0 } } }))),
                    ("an idle time beyond the age", {
                        say(serde_json::json!({ "whole": { "store": { "idle_timeout": "2h" } } }))
                    }),
                    ("a checkout longer than a check", {
                        say(serde_json::json!({ "whole": { "store": { "checkout_timeout": "30s" } } }))
                    }),
                    ("an error rate under 1 % and under 0.1 %", expecting("< 0.01".into(), "< 0.001".into())),
                    ("bounds that leave nothing between them", expecting("< 0.01".into(), "> 0.5".into())),
                    ("two values for one thing", expecting("ok".into(), "well".into())),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_or_not_at_all() {
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       2051 kB\n"), Some(2 << 20));
        assert_eq!(memory("MemTotal: much\n"), None);
        assert_eq!(memory(""), None);
    }
}
