//! The real fleet against its manifest: is every instance ready, and does it answer?
use crate::{
    domain::{AgentState, FaultKind},
    readiness::{Evidence, Found, Proof},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long an agent may take to answer; how fast it should is for PF-003 to say.
const CANARY: Duration = Duration::from_secs(5);
/// How many are asked at once.
const AT_ONCE: usize = 16;

pub async fn ready(evidence: &Evidence) -> Found {
    let fleet = evidence.fleet();
    let mut wanted = 0;
    let mut problems = Vec::new();
    let mut ready = 0;
    for agent in evidence.settings.agents.iter().filter(|agent| agent.enabled) {
        let Some(status) = fleet.agent(agent.name.as_str()) else {
            wanted += agent.replicas;
            problems.push(format!("{}: not known to the supervisor", agent.name));
            continue;
        };
        // Scaled by hand overrides the manifest; both are said where they differ.
        wanted += status.replicas;
        if status.replicas != agent.replicas {
            problems.push(format!(
                "{}: scaled by hand to {}, the manifest says {}",
                agent.name, status.replicas, agent.replicas
            ));
        }
        if status.instances.len() != status.replicas as usize {
            problems.push(format!(
                "{}: {} instances, want {}",
                agent.name,
                status.instances.len(),
                status.replicas
            ));
        }
        for instance in &status.instances {
            if instance.state == AgentState::Ready {
                ready += 1;
            } else {
                let why = instance.reason.as_deref().unwrap_or("no reason given");
                problems.push(format!("{}: {}: {why}", instance.id, instance.state.as_str()));
            }
        }
    }
    let system_off = evidence.settings.agent_system == crate::config::AgentSystem::Off;
    judge_fleet(wanted, ready, &problems, system_off)
}

fn judge_fleet(wanted: u32, ready: u32, problems: &[String], system_off: bool) -> Found {
    let counted = format!("{ready} of {wanted} instances are ready");
    let found = if system_off {
        Found::fail("the agent system is switched off: nothing runs")
    } else if wanted == 0 {
        Found::fail("the manifest enables no agent: there is no fleet to ship")
    } else if problems.is_empty() && ready == wanted {
        Found::pass(counted.clone())
    } else {
        let first = problems.first().map_or("the counts differ", String::as_str);
        Found::fail(format!("{counted}; {first}"))
    };
    let more = problems.len().saturating_sub(30);
    let found = found.seen(format!("{counted} (source: the supervisor's snapshot against the manifest)"));
    let found = found.all_seen(problems.iter().take(30).cloned());
    if more > 0 { found.seen(format!("and {more} more")) } else { found }
}

pub async fn answers(evidence: &Evidence) -> Found {
    let instances = evidence.canaries();
    let Some(first) = instances.first() else {
        return if evidence.expects_canaries() {
            Found::fail("no process agent is up")
        } else {
            Found::not_applicable("the fleet has no process agent that takes a ping")
        };
    };
    let mut stranger = first.clone();
    stranger.index = u32::MAX;
    let refused = evidence.supervisor.request(&stranger, "ping", Value::Null, CANARY).await;
    let asks = instances.iter().cloned().map(|id| async move {
        let started = Instant::now();
        let answer = evidence.supervisor.request(&id, "ping", json!({}), CANARY).await;
        // An error is an answer: the agent reads its channel and speaks the protocol.
        let answered = match &answer {
            Ok(_) => true,
            Err(fault) => fault.kind == FaultKind::Refused,
        };
        let said = answer.err().map_or_else(|| "pong".into(), |fault| fault.to_string());
        (id.to_string(), answered, started.elapsed(), said)
    });
    let asked: Vec<_> = stream::iter(asks).buffered(AT_ONCE).collect().await;
    let mut proof = Proof::default();
    proof.holds(
        refused.is_err(),
        format!(
            "{stranger}, which does not exist, {}",
            if refused.is_err() { "was refused" } else { "answered" }
        ),
    );
    for (id, answered, took, said) in &asked {
        proof.holds(*answered, format!("{id}: {said} after {:.1} ms", took.as_secs_f64() * 1e3));
    }
    proof.judge(format!("{} process instances answered", asked.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_fleet_that_is_not_what_the_manifest_says_is_found() {
        let problem = vec!["orders/1: failed: import error".to_owned()];
        assert_eq!(judge_fleet(2, 2, &[], false).outcome, Outcome::Pass);
        assert_eq!(judge_fleet(224, 111, &[], false).outcome, Outcome::Fail);
        assert_eq!(judge_fleet(2, 1, &problem, false).outcome, Outcome::Fail);
        assert_eq!(judge_fleet(2, 2, &problem, false).outcome, Outcome::Fail);
        assert_eq!(judge_fleet(0, 0, &[], false).outcome, Outcome::Fail, "an empty fleet is no pass");
        assert_eq!(judge_fleet(2, 2, &[], true).outcome, Outcome::Fail);
    }
}
