//! A ping to every `process` agent over its own channel.
use crate::{
    agents::Supervisor,
    domain::{FaultKind, InstanceId},
    readiness::{Evidence, Found, Proof},
};
#[cfg(test)]
use crate::{
    domain::AgentState,
    readiness::{
        Ground,
        checks::{Saboteur, tried},
        scratch_fleet::script_agent,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long an agent may take to answer; how fast it should is for PF-003 to say.
const DEADLINE: Duration = Duration::from_secs(5);
/// Beyond the last replica that there can be, and no candidate either.
const NOBODY: u32 = 1_000_000;
/// How many are asked at once.
const AT_ONCE: usize = 16;

pub async fn answers(evidence: &Evidence) -> Found {
    let instances = evidence.canaries();
    if instances.is_empty() {
        return if evidence.expects_canaries() {
            Found::fail("no process agent is up")
        } else {
            Found::not_applicable("the fleet has no process agent that takes a ping")
        };
    }
    asked(&evidence.supervisor, &instances, DEADLINE).await
}

async fn asked(supervisor: &Supervisor, instances: &[InstanceId], deadline: Duration) -> Found {
    let Some(first) = instances.first() else { return Found::error("nobody was asked") };
    let mut stranger = first.clone();
    stranger.index = NOBODY;
    let refused = supervisor.request(&stranger, "ping", Value::Null, deadline).await;
    let asks = instances.iter().cloned().map(|id| async move {
        let started = Instant::now();
        let answer = supervisor.request(&id, "ping", json!({}), deadline).await;
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
    let mut mute = Vec::new();
    for (id, answered, took, said) in asked {
        proof.holds(answered, format!("{id}: {said} after {:.1} ms", took.as_secs_f64() * 1e3));
        if !answered {
            mute.push((format!("agent/{id}"), said));
        }
    }
    let found = proof.judge(format!("{} process instances answered", instances.len()));
    mute.into_iter().fold(found, |found, (id, said)| found.about(id, said))
}

/// Asks two scratch agents, of which one does as `script` says.
#[cfg(test)]
async fn one_of_two(ground: &Ground, (script, deadline): (&str, Duration)) -> Found {
    let mut odd = script_agent("odd", "process", script);
    odd["options"]["ping"] = json!(script == super::ANSWERS);
    let agents = json!([script_agent("even", "process", super::ANSWERS), odd]);
    let fleet = ground.fleet(json!({ "agent": agents }), false).await.expect("a fleet");
    let both = |fleet: &crate::domain::FleetSnapshot| {
        fleet.agents.iter().all(|agent| agent.state == AgentState::Ready).then_some(())
    };
    fleet.until(super::PATIENCE, both).await.expect("both are ready");
    let ids: Vec<InstanceId> =
        fleet.supervisor().snapshot().instances().map(|(_, instance)| instance.id.clone()).collect();
    let found = asked(fleet.supervisor(), &ids, deadline).await;
    fleet.finish().await;
    found
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-002",
    at_work: || {
        let mute = "exec sleep 600";
        let rambles = "while read -r line; do echo '{\"jsonrpc\":\"2.0\",\"id\":9999,\"result\":1}'; done";
        let soon = Duration::from_millis(300);
        let broken = [
            ("an agent that lives and says nothing", (mute, soon)),
            ("an agent that answers what nobody asked", (rambles, soon)),
        ];
        tried(one_of_two, (super::ANSWERS, DEADLINE), broken).boxed()
    },
};
