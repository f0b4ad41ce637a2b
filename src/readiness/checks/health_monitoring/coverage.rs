//! Is every real agent looked at, and lately?
use crate::{
    agents::Supervisor,
    domain::{ProbeRole, ProbeState, ProbeStatus},
    readiness::{Evidence, Found},
};
use jiff::Timestamp;
use serde_json::Value;

pub async fn of_all(evidence: &Evidence) -> Found {
    let probes = evidence.probes();
    let now = evidence.clock.now();
    let mut looks = Vec::new();
    for agent in evidence.settings.agents.iter().filter(|agent| agent.enabled) {
        let asked = Supervisor::probes_of(agent).iter().any(|probe| probe.role == ProbeRole::Readiness);
        let own_channel = agent.kind == "process" && agent.options.get("ping") != Some(&Value::Bool(false));
        let Some(status) = evidence.fleet().agent(agent.name.as_str()) else { continue };
        for instance in status.instances.iter().filter(|instance| instance.state.is_up()) {
            let id = instance.id.to_string();
            let mine = probes.iter().filter(|probe| probe.target == id && probe.role == ProbeRole::Readiness);
            looks.push(Look {
                covered: asked || own_channel,
                stale: mine.filter_map(|probe| staleness(probe, now, instance.started_at)).collect(),
                id,
            });
        }
    }
    judge_coverage(&looks)
}

struct Look {
    id: String,
    covered: bool,
    /// Probes whose last result is too old or missing, with how old.
    stale: Vec<String>,
}

/// None if it is fresh, blocked, or had no time yet.
fn staleness(probe: &ProbeStatus, now: Timestamp, started: Option<Timestamp>) -> Option<String> {
    if probe.state == ProbeState::Blocked {
        return None;
    }
    let allowed = probe.every_s * 2.2 + 10.0;
    let since = probe.last.as_ref().map(|last| last.at).or(started)?;
    let age = now.duration_since(since).as_secs_f64();
    (age > allowed).then(|| match probe.last {
        Some(_) => {
            format!("{}: its result is {age:.0} s old, it is due every {} s", probe.name, probe.every_s)
        }
        None => format!("{}: no result in {age:.0} s", probe.name),
    })
}

fn judge_coverage(looks: &[Look]) -> Found {
    if looks.is_empty() {
        return Found::error("no agent is up, so there was nothing to look at");
    }
    let uncovered: Vec<_> = looks
        .iter()
        .filter(|look| !look.covered)
        .map(|look| format!("{}: no readiness probe", look.id))
        .collect();
    let stale: Vec<_> =
        looks.iter().flat_map(|look| look.stale.iter().map(|what| format!("{}: {what}", look.id))).collect();
    let found = match (uncovered.first(), stale.first()) {
        (None, None) => {
            Found::pass(format!("all {} instances have a readiness probe with a fresh result", looks.len()))
        }
        _ => Found::fail(format!(
            "{} of {} instances have no readiness probe, {} results are stale",
            uncovered.len(),
            looks.len(),
            stale.len()
        )),
    };
    found
        .seen(format!("{} instances that are up (source: the monitor's snapshot)", looks.len()))
        .all_seen(uncovered.into_iter().chain(stale).take(30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Outcome, ProbeResult};

    #[test]
    fn an_agent_nobody_looks_at_and_an_old_result_are_found() {
        let look = |covered, stale: &[&str]| Look {
            id: "orders/0".into(),
            covered,
            stale: stale.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(judge_coverage(&[look(true, &[])]).outcome, Outcome::Pass);
        assert_eq!(judge_coverage(&[look(true, &[]), look(false, &[])]).outcome, Outcome::Fail);
        assert_eq!(judge_coverage(&[look(true, &["ready: old"])]).outcome, Outcome::Fail);
        assert_eq!(judge_coverage(&[]).outcome, Outcome::Error);

        let at = |second| Timestamp::from_second(second).expect("a time");
        let probe = |last: Option<i64>| ProbeStatus {
            target: "orders/0".into(),
            name: "ready".into(),
            kind: "tcp".into(),
            role: ProbeRole::Readiness,
            state: ProbeState::Passing,
            last: last.map(|s| ProbeResult { at: at(s), ok: true, took_ms: 1.0, detail: String::new() }),
            streak: 1,
            since: None,
            every_s: 30.0,
            blocked_by: None,
        };
        assert_eq!(staleness(&probe(Some(1000)), at(1060), None), None);
        assert!(staleness(&probe(Some(1000)), at(1100), None).is_some());
        assert!(staleness(&probe(None), at(1100), Some(at(1000))).is_some(), "never looked at");
        assert_eq!(staleness(&probe(None), at(1010), Some(at(1000))), None, "it had no time yet");
    }
}
