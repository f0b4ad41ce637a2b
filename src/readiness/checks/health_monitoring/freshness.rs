//! Has every probe of what is up looked lately? An old result is a memory.
#[cfg(test)]
use super::stage::{dependency, server, watch};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried, scratch_ground};
use crate::{
    agents::Supervisor,
    config::{ProbeSettings, Settings},
    domain::{AgentState, FleetSnapshot, Outcome, Period, ProbeRole, ProbeState, ProbeStatus},
    readiness::{Evidence, Found, proof::poll},
};
#[cfg(test)]
use futures_util::FutureExt;
use jiff::Timestamp;
use std::{collections::HashMap, time::Duration};

/// What a busy machine may add to interval and deadline.
const SLACK: Duration = Duration::from_secs(5);
/// Between looks, with the jitter of a tenth.
const JITTER: f64 = 1.1;
/// Seconds over which first looks are spread.
const SPREAD: f64 = 2.0;

pub async fn of_all(evidence: &Evidence) -> Found {
    let settings = &evidence.settings;
    let started = evidence.started.map_or_else(|| evidence.clock.now(), |started| started.at);
    let judge = || {
        let due = due(settings, &evidence.supervisor.snapshot(), started, SLACK);
        judge_freshness(&due, &evidence.monitor.snapshot(), evidence.clock.now())
    };
    // One that is only just wanted, as after a reload, has its first look within this time.
    let fresh = poll(SLACK, || Some(judge()).filter(|found| found.outcome != Outcome::Fail)).await;
    fresh.unwrap_or_else(judge)
}

/// A probe that is asked now, and how old its last result may be.
struct Due {
    target: String,
    probe: String,
    allowed: f64,
    /// How long the first may take to come.
    first: f64,
    /// Since when it is asked.
    since: Timestamp,
}

/// Those that must be asked as things stand: of what is up and past its start, and of every dependency.
fn due(settings: &Settings, fleet: &FleetSnapshot, started: Timestamp, slack: Duration) -> Vec<Due> {
    let one = |target: &str, probe: &str, every: Period, deadline: Period, since| {
        let answer = deadline.0.as_secs_f64() + slack.as_secs_f64();
        Due {
            target: target.into(),
            probe: probe.into(),
            allowed: every.0.as_secs_f64() * JITTER + answer,
            first: SPREAD + answer,
            since,
        }
    };
    let mut all = Vec::new();
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        let probes = Supervisor::probes_of(agent);
        let asked: Vec<&ProbeSettings> =
            probes.iter().filter(|probe| probe.role != ProbeRole::Startup).collect();
        let Some(status) = fleet.agent(agent.name.as_str()) else { continue };
        let settled =
            |state| matches!(state, AgentState::Ready | AgentState::Degraded | AgentState::Unhealthy);
        for instance in status.instances.iter().filter(|instance| settled(instance.state)) {
            let id = instance.id.to_string();
            let since = instance.ready_at.or(instance.started_at).unwrap_or(started);
            all.extend(asked.iter().map(|probe| one(&id, &probe.name, probe.every, probe.deadline, since)));
        }
    }
    for dependency in &settings.dependencies {
        let name = &dependency.name;
        all.push(one(name, name, dependency.every, dependency.deadline, started));
    }
    all
}

fn judge_freshness(due: &[Due], probes: &[ProbeStatus], now: Timestamp) -> Found {
    if due.is_empty() {
        return Found::not_applicable(
            "nothing that is up has a probe: whether agents are covered is HM-005's",
        );
    }
    let known: HashMap<(&str, &str), &ProbeStatus> =
        probes.iter().map(|probe| ((probe.target.as_str(), probe.name.as_str()), probe)).collect();
    let (mut stale, mut blocked, mut oldest) = (Vec::new(), 0, 0.0_f64);
    for one in due {
        let probe = known.get(&(one.target.as_str(), one.probe.as_str()));
        if probe.is_some_and(|probe| probe.state == ProbeState::Blocked) {
            blocked += 1;
            continue;
        }
        let last = probe.and_then(|probe| probe.last.as_ref());
        let age = now.duration_since(last.map_or(one.since, |last| last.at)).as_secs_f64();
        oldest = oldest.max(age);
        match last {
            Some(_) if age > one.allowed => {
                stale.push((one, format!("its result is {age:.0} s old, {:.0} s are allowed", one.allowed)));
            }
            None if age > one.first => stale.push((one, format!("no result in {age:.0} s"))),
            _ => {}
        }
    }
    let fine = format!("all {} probes that are due have looked lately", due.len() - blocked);
    let mut found = match stale.first() {
        None => Found::pass(fine),
        Some((one, what)) => {
            let first = format!("{} of {}: {what}", one.probe, one.target);
            Found::fail(format!("{} of {} probes are stale; {first}", stale.len(), due.len()))
        }
    };
    found = found.seen(format!(
        "{} probes due, {blocked} blocked, the oldest result is {oldest:.0} s old (source: the monitor's snapshot)",
        due.len()
    ));
    for (one, what) in stale.iter().take(30) {
        found = found
            .seen(format!("{} of {}: {what}", one.probe, one.target))
            .about(format!("probe/{}/{}", one.target, one.probe), "stale");
    }
    found
}

/// A monitor that was stopped looks no more, and its last results grow old.
#[cfg(test)]
async fn stopped() -> Tried {
    use crate::{readiness::faults::Manner, resilience::Clock};
    const SHORT: Duration = Duration::from_millis(500);
    let (_base, ground) = scratch_ground();
    let target = server(Manner::Healthy).await.expect("a server");
    let mut hasty = dependency("planted", &target, 3, serde_json::json!({}));
    hasty["deadline"] = serde_json::json!("500ms");
    let fleet = watch(&ground, vec![hasty]).await.expect("a fleet");
    let clock = Clock::system();
    let began = clock.now();
    let judge = || {
        let due = due(fleet.settings(), &fleet.supervisor().snapshot(), began, SHORT);
        judge_freshness(&due, &fleet.probes(), clock.now())
    };
    let patience = Duration::from_secs(20);
    let wanted = |outcome| Some(judge()).filter(|found| found.outcome == outcome);
    let looked = || fleet.probes().iter().any(|probe| probe.last.is_some()).then_some(());
    poll(patience, looked).await.expect("a first look");
    let sound = poll(patience, || wanted(Outcome::Pass)).await.unwrap_or_else(judge);
    fleet.monitor().expect("a monitor").shutdown().await;
    let broken = poll(patience, || wanted(Outcome::Fail)).await.unwrap_or_else(judge);
    fleet.finish().await;
    Tried { sound: vec![sound], broken: vec![("a monitor that has stopped", broken)] }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur { of: "HM-006", at_work: || stopped().boxed() };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProbeResult;

    #[test]
    fn what_is_old_or_was_never_seen_is_stale_and_what_is_blocked_is_not() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let status = |last: Option<i64>, state| ProbeStatus {
            target: "orders/0".into(),
            name: "ready".into(),
            kind: "tcp".into(),
            role: ProbeRole::Readiness,
            state,
            last: last.map(|s| ProbeResult { at: at(s), ok: true, took_ms: 1.0, detail: String::new() }),
            streak: 1,
            since: None,
            every_s: 30.0,
            blocked_by: None,
        };
        let due = [Due {
            target: "orders/0".into(),
            probe: "ready".into(),
            allowed: 43.0,
            first: 5.0,
            since: at(1000),
        }];
        let table = [
            (vec![status(Some(1000), ProbeState::Passing)], 1043, Outcome::Pass),
            (vec![status(Some(1000), ProbeState::Passing)], 1044, Outcome::Fail),
            (vec![status(Some(1000), ProbeState::Blocked)], 9999, Outcome::Pass),
            (vec![status(None, ProbeState::Unknown)], 1004, Outcome::Pass),
            (vec![status(None, ProbeState::Unknown)], 1006, Outcome::Fail),
            (vec![], 1006, Outcome::Fail),
        ];
        for (probes, now, outcome) in table {
            let found = judge_freshness(&due, &probes, at(now));
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert_eq!(found.affected.len(), usize::from(outcome == Outcome::Fail), "{found:?}");
        }
        assert_eq!(judge_freshness(&[], &[], at(1)).outcome, Outcome::NotApplicable);
    }
}
