//! One look at everything: from snapshots and /proc, nothing is asked of anybody. It blocks: not on a thread of the
//! runtime.
use super::{
    Requests,
    catalogue::{
        AGENT_CPU, AGENT_FILES, AGENT_MEMORY, AGENT_PROCESSES, AGENT_READY, AGENT_RESTARTS, Catalogued,
        DAEMON_CPU, DAEMON_FILES, DAEMON_MEMORY, DAEMON_THREADS, ERRORS, PROBE_FAILURES, PROBE_LATENCY,
        PROBE_PASSING, REQUESTS, STORE_BUSY, STORE_COMMITS, STORE_FILE, STORE_QUEUE, STORE_WRITES,
    },
};
use crate::{
    agents::{Supervisor, procfs::own_pid, used_by, used_by_fleet},
    domain::{AgentState, Distribution, FaultCategory, Labels, ProbeState, ProbeStatus, rounded},
    errors::Errors,
    health::Monitor,
    store::Store,
};
use jiff::Timestamp;
use std::collections::HashMap;

/// One series as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    pub metric: Catalogued,
    /// As text: of a large fleet there are thousands at a time.
    pub labels: String,
    pub seen: Seen,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// As it stands.
    Level(f64),
    /// A count that only rises. It began again if it fell, or if it is of another `life`.
    Total {
        value: f64,
        life: Option<u64>,
    },
    Spread(Distribution),
}

impl Sight {
    pub fn level(metric: Catalogued, labels: Labels, value: f64) -> Self {
        Self { metric, labels: labels.to_string(), seen: Seen::Level(rounded(value)) }
    }

    pub fn total(metric: Catalogued, labels: Labels, value: f64, life: Option<u64>) -> Self {
        Self { metric, labels: labels.to_string(), seen: Seen::Total { value: rounded(value), life } }
    }

    pub fn spread(metric: Catalogued, labels: Labels, spread: Distribution) -> Self {
        Self { metric, labels: labels.to_string(), seen: Seen::Spread(spread) }
    }
}

/// The rooms that are looked at.
pub struct Rooms {
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub errors: Errors,
    pub requests: Requests,
}

/// What a look must remember of the one before.
#[derive(Default)]
pub struct Memory {
    probes: HashMap<(String, String), Told>,
}

/// A probe's last word, and how often it failed in all.
struct Told {
    at: Timestamp,
    streak: u32,
    ok: bool,
    failures: u64,
}

/// Who looks.
pub trait Watch: Send + Sync + 'static {
    fn look(&self, memory: &mut Memory) -> Vec<Sight>;
}

impl Watch for Rooms {
    /// The daemon's own first: if there is no room for all series, it is the fleet's that are refused.
    fn look(&self, memory: &mut Memory) -> Vec<Sight> {
        let mut sights = Vec::new();
        daemon(&mut sights);
        self.store(&mut sights);
        for (outcome, count) in self.requests.counts() {
            sights.push(Sight::total(REQUESTS, Labels::of([("outcome", outcome)]), count as f64, None));
        }
        let recorded = self.errors.recorded();
        // Of every category: one that never came was seen not to come.
        for category in FaultCategory::ALL {
            let count = recorded.get(category).copied().unwrap_or(0);
            let labels = Labels::of([("category", category.as_str())]);
            sights.push(Sight::total(ERRORS, labels, count as f64, None));
        }
        self.agents(&mut sights);
        memory.probes(&self.monitor.snapshot(), &mut sights);
        sights
    }
}

impl Rooms {
    fn store(&self, sights: &mut Vec<Sight>) {
        let stats = self.store.stats();
        let mut level = |metric, value| sights.push(Sight::level(metric, Labels::default(), value));
        level(STORE_QUEUE, f64::from(stats.write_queue));
        level(STORE_BUSY, f64::from(stats.readers.saturating_sub(stats.readers_idle)));
        level(STORE_FILE, stats.file_bytes as f64);
        for (metric, count) in [(STORE_COMMITS, stats.commits), (STORE_WRITES, stats.writes)] {
            sights.push(Sight::total(metric, Labels::default(), count as f64, None));
        }
    }

    fn agents(&self, sights: &mut Vec<Sight>) {
        let used = used_by_fleet(self.supervisor.fleet_id());
        let (fleet, candidates) = (self.supervisor.snapshot(), self.supervisor.candidates());
        // What is asked of an agent is never answered by its candidate: that has a label of its own.
        let of_fleet = fleet.instances().map(|(_, instance)| ("agent", instance));
        for (label, instance) in of_fleet.chain(candidates.iter().map(|instance| ("candidate", instance))) {
            if instance.state == AgentState::Disabled {
                continue;
            }
            let id = instance.id.to_string();
            let labels = || Labels::of([(label, instance.id.agent.as_str()), ("instance", &id)]);
            let ready = f64::from(u8::from(instance.state == AgentState::Ready));
            sights.push(Sight::level(AGENT_READY, labels(), ready));
            let restarts = f64::from(instance.restarts);
            sights.push(Sight::total(AGENT_RESTARTS, labels(), restarts, None));
            // One that is down, or runs elsewhere, uses nothing here that could be seen.
            let Some(used) = used.get(&instance.id) else { continue };
            sights.push(Sight::level(AGENT_MEMORY, labels(), used.memory_bytes as f64));
            sights.push(Sight::total(AGENT_CPU, labels(), used.cpu_s, Some(instance.generation)));
            sights.push(Sight::level(AGENT_PROCESSES, labels(), used.processes as f64));
            if let Some(files) = used.open_files {
                sights.push(Sight::level(AGENT_FILES, labels(), files as f64));
            }
        }
    }
}

fn daemon(sights: &mut Vec<Sight>) {
    let Some(own) = used_by(own_pid()) else { return };
    let mut level = |metric, value: u64| sights.push(Sight::level(metric, Labels::default(), value as f64));
    level(DAEMON_MEMORY, own.memory_bytes);
    level(DAEMON_THREADS, own.threads);
    if let Some(files) = own.open_files {
        level(DAEMON_FILES, files);
    }
    sights.push(Sight::total(DAEMON_CPU, Labels::default(), own.cpu_s, None));
}

impl Memory {
    /// A probe that was not asked since the last look has nothing new to say of how long it takes, and one that is
    /// blocked or unknown neither passes nor fails.
    fn probes(&mut self, probes: &[ProbeStatus], sights: &mut Vec<Sight>) {
        let mut still = HashMap::with_capacity(probes.len());
        for probe in probes {
            let labels = || Labels::of([("probe", &probe.name), ("target", &probe.target)]);
            match probe.state {
                ProbeState::Passing => sights.push(Sight::level(PROBE_PASSING, labels(), 1.0)),
                ProbeState::Failing => sights.push(Sight::level(PROBE_PASSING, labels(), 0.0)),
                ProbeState::Unknown | ProbeState::Blocked => {}
            }
            let Some(last) = &probe.last else { continue };
            let key = (probe.target.clone(), probe.name.clone());
            let before = self.probes.remove(&key);
            let is_new = before.as_ref().is_none_or(|told| told.at != last.at);
            if is_new {
                sights.push(Sight::level(PROBE_LATENCY, labels(), last.took_ms));
            }
            let failures = before.as_ref().map_or(0, |told| told.failures)
                + new_failures(before.as_ref(), probe, last.ok);
            sights.push(Sight::total(PROBE_FAILURES, labels(), failures as f64, None));
            still.insert(key, Told { at: last.at, streak: probe.streak, ok: last.ok, failures });
        }
        self.probes = still;
    }
}

/// What failed between two looks at a probe, as far as its streak tells; a success between hides what failed before it.
fn new_failures(before: Option<&Told>, probe: &ProbeStatus, ok: bool) -> u64 {
    match before {
        _ if ok => 0,
        Some(told) if probe.last.as_ref().is_some_and(|last| last.at == told.at) => 0,
        Some(told) if !told.ok && probe.streak > told.streak => u64::from(probe.streak - told.streak),
        Some(_) | None => u64::from(probe.streak),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProbeResult, ProbeRole};

    fn probe(second: i64, ok: bool, streak: u32, state: ProbeState) -> ProbeStatus {
        let at = Timestamp::from_second(second).expect("a time");
        ProbeStatus {
            target: "orders/0".into(),
            name: "ready".into(),
            kind: "http".into(),
            role: ProbeRole::Readiness,
            state,
            last: Some(ProbeResult { at, ok, took_ms: 2.5, detail: String::new() }),
            streak,
            since: None,
            every_s: 5.0,
            blocked_by: None,
        }
    }

    #[test]
    fn a_probe_that_says_nothing_new_is_not_counted_again() {
        use ProbeState::{Blocked, Failing, Passing};
        let mut memory = Memory::default();
        let mut look = |probe: ProbeStatus| {
            let mut sights = Vec::new();
            memory.probes(&[probe], &mut sights);
            let of = |metric: Catalogued| {
                sights.iter().find(|sight| sight.metric == metric).map(|sight| match sight.seen {
                    Seen::Level(value) | Seen::Total { value, .. } => value,
                    Seen::Spread(_) => f64::NAN,
                })
            };
            (of(PROBE_PASSING), of(PROBE_LATENCY), of(PROBE_FAILURES))
        };
        assert_eq!(look(probe(10, true, 1, Passing)), (Some(1.0), Some(2.5), Some(0.0)));
        assert_eq!(look(probe(10, true, 1, Passing)), (Some(1.0), None, Some(0.0)));
        assert_eq!(look(probe(20, false, 2, Passing)), (Some(1.0), Some(2.5), Some(2.0)));
        assert_eq!(look(probe(30, false, 5, Failing)), (Some(0.0), Some(2.5), Some(5.0)));
        assert_eq!(look(probe(30, false, 5, Failing)), (Some(0.0), None, Some(5.0)));
        assert_eq!(
            look(probe(40, false, 1, Failing)),
            (Some(0.0), Some(2.5), Some(6.0)),
            "it passed between"
        );
        assert_eq!(look(probe(40, false, 1, Blocked)).0, None, "blocked is not failing");
    }
}
