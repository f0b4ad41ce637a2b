//! Does every real agent have something that says when it is ready, and more than that it lives?
use crate::{
    agents::Supervisor,
    config::{AgentSettings, Settings},
    domain::{FleetSnapshot, ProbeRole},
    readiness::{Evidence, Found},
};
#[cfg(test)]
use crate::{
    readiness::checks::{Saboteur, Tried, scratch_ground},
    readiness::scratch_fleet::script_agent,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::Value;
use std::collections::BTreeMap;

pub async fn of_all(evidence: &Evidence) -> Found {
    judge_coverage(&covers(&evidence.settings, evidence.fleet()))
}

/// What says that an agent is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    /// A probe that asks it something.
    Probe,
    /// Its own channel, over which it answers a ping.
    Channel,
    /// Only that its process lives.
    Alive,
    None,
}

struct Covered {
    id: String,
    kind: String,
    cover: Cover,
}

/// Of each instance that is up.
fn covers(settings: &Settings, fleet: &FleetSnapshot) -> Vec<Covered> {
    let mut all = Vec::new();
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        let Some(status) = fleet.agent(agent.name.as_str()) else { continue };
        all.extend(status.instances.iter().filter(|instance| instance.state.is_up()).map(|instance| {
            Covered { id: instance.id.to_string(), kind: agent.kind.clone(), cover: cover(agent) }
        }));
    }
    all
}

fn cover(agent: &AgentSettings) -> Cover {
    let probes = Supervisor::probes_of(agent);
    let mut ready = probes.iter().filter(|probe| probe.role == ProbeRole::Readiness).peekable();
    let channel = agent.kind == "process" && agent.options.get("ping") != Some(&Value::Bool(false));
    match (channel, ready.peek().is_some()) {
        (true, _) => Cover::Channel,
        (false, false) => Cover::None,
        (false, true) if ready.any(|probe| probe.kind != "process") => Cover::Probe,
        (false, true) => Cover::Alive,
    }
}

fn judge_coverage(all: &[Covered]) -> Found {
    if all.is_empty() {
        return Found::error("no agent is up, so there was nothing to look at");
    }
    let having = |cover| all.iter().filter(move |one| one.cover == cover);
    let (bare, alive) = (having(Cover::None).count(), having(Cover::Alive).count());
    let mut found = if bare > 0 {
        Found::fail(format!("{bare} of {} instances have no readiness probe", all.len()))
    } else if alive > 0 {
        Found::warn(format!("of {alive} of {} instances all that is asked is whether they live", all.len()))
    } else {
        Found::pass(format!("all {} instances that are up are asked whether they are ready", all.len()))
    };
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for one in all {
        let (covered, of) = kinds.entry(&one.kind).or_default();
        *covered += usize::from(matches!(one.cover, Cover::Probe | Cover::Channel));
        *of += 1;
    }
    for (kind, (covered, of)) in kinds {
        found =
            found.seen(format!("kind {kind}: {covered} of {of} instances are asked whether they are ready"));
    }
    for one in having(Cover::None).chain(having(Cover::Alive)).take(30) {
        let what = match one.cover {
            Cover::None => "no readiness probe",
            _ => "its only readiness probe asks whether its process lives",
        };
        found = found.seen(format!("{}: {what}", one.id)).about(format!("agent/{}", one.id), what);
    }
    found
}

/// Real agents: one that is asked, one of which only its life is known, one that is not even asked to answer a ping.
#[cfg(test)]
async fn uncovered() -> Tried {
    use std::time::Duration;
    let (_base, ground) = scratch_ground();
    let look = async |name: &str, agent: Value| {
        let fleet = ground.fleet(serde_json::json!({ "agent": [agent] }), false).await.expect("a fleet");
        let up = fleet.instance(name, Duration::from_secs(20), |_, now| now.state.is_up()).await;
        assert!(up.is_some(), "{name} did not come up");
        let found = judge_coverage(&covers(fleet.settings(), &fleet.supervisor().snapshot()));
        fleet.finish().await;
        found
    };
    let asked = script_agent("asked", "process", "exec sleep 600");
    let alive = script_agent("alive", "service", "exec sleep 600");
    let mut mute = script_agent("mute", "process", "exec sleep 600");
    mute["options"]["ping"] = Value::Bool(false);
    Tried {
        sound: vec![look("asked", asked).await],
        broken: vec![
            ("an agent that nobody asks", look("mute", mute).await),
            ("one of which only its life is known", look("alive", alive).await),
        ],
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur { of: "HM-005", at_work: || uncovered().boxed() };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn the_least_covered_decides() {
        let one = |cover| Covered { id: "orders/0".into(), kind: "service".into(), cover };
        let judge = |covers: &[Cover]| {
            judge_coverage(&covers.iter().map(|cover| one(*cover)).collect::<Vec<_>>()).outcome
        };
        assert_eq!(judge(&[]), Outcome::Error);
        assert_eq!(judge(&[Cover::Probe, Cover::Channel]), Outcome::Pass);
        assert_eq!(judge(&[Cover::Probe, Cover::Alive]), Outcome::Warn);
        assert_eq!(judge(&[Cover::Alive, Cover::None]), Outcome::Fail);
    }
}
