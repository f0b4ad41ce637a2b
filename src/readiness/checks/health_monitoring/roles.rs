//! What the roles of probes decide: a startup probe holds the others back, a liveness probe has its agent restarted.
use super::stage::{
    EVERY, PATIENCE, asked, millis, probe, server, shortened, sleeper, stands, status, told, watched,
};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, CrashClass, ProbeState},
    readiness::{Found, Ground, Proof, check::settle, faults::Manner, proof::poll, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;

/// `role` is that of the first probe, `startup` is what is expected of it; a test breaks it.
pub async fn startup_gates(ground: &Ground, role: &str) -> Found {
    let exercise = async {
        let (first, second) = (server(Manner::Failing).await?, server(Manner::Healthy).await?);
        let probes = json!([probe("up", role, &first), probe("ready", "readiness", &second)]);
        let fleet = watched(ground, [sleeper("slow", probes)], []).await?;
        let looked = asked(&first, 5).await;
        let (early, state) = (second.hits().len(), fleet.supervisor().snapshot());
        let ready = state.agent("slow").is_some_and(|agent| agent.state == AgentState::Ready);
        let mut proof = Proof::default();
        proof.holds(looked, "the startup probe was asked while it failed");
        proof.holds(
            early == 0 && !ready,
            format!(
                "before it passed the readiness probe was asked {early} times, and the agent was {}",
                if ready { "ready" } else { "not ready" }
            ),
        );
        first.behave(Manner::Healthy);
        let up = fleet.instance("slow", PATIENCE, |_, now| now.state == AgentState::Ready).await.is_some();
        proof.holds(
            up,
            format!("once it passed the agent {}", if up { "became ready" } else { "did not become ready" }),
        );
        let before = first.hits().len();
        let followed = asked(&second, 3).await;
        let more = first.hits().len() - before;
        proof.holds(
            followed && more == 0,
            format!("during three looks of the readiness probe the startup probe was asked {more} times"),
        );
        fleet.finish().await;
        Ok(proof.judge("readiness waited for the startup probe").seen(shortened()))
    };
    settle(exercise.await)
}

/// `role` is that of the probe that fails, `liveness` is what is expected of it; a test breaks it.
pub async fn liveness_restarts(ground: &Ground, role: &str) -> Found {
    let exercise = async {
        let pulse = server(Manner::Healthy).await?;
        let process = json!({
            "name": "up",
            "role": "readiness",
            "kind": "process",
            "every": millis(EVERY),
        });
        let mut agent = sleeper("stuck", json!([probe("alive", role, &pulse), process]));
        agent["restart"] = json!({ "policy": "on-failure", "backoff": "10ms..20ms", "latch": "50 in 1m" });
        let fleet = watched(ground, [agent], []).await?;
        let ready = fleet.instance("stuck", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        let alive = stands(&fleet, "stuck/0", ProbeState::Passing, PATIENCE).await;
        let Some(pid) = ready.and_then(|now| now.pid).filter(|_| alive.is_some()) else {
            return Ok(Found::fail("an agent that is well did not become ready").all_seen(told(&fleet)));
        };
        pulse.behave(Manner::Failing);
        let failing = poll(PATIENCE, || (pulse.failed() >= 3).then_some(())).await.is_some();
        let replaced = |now: &crate::domain::InstanceStatus| {
            now.pid.is_some_and(|other| other != pid) && now.restarts > 0
        };
        let restarted = fleet.instance("stuck", PATIENCE, |_, now| replaced(now)).await;
        pulse.behave(Manner::Healthy);
        // Nobody waits for a new one that never came: that would cost the check its deadline, and its answer.
        let again = restarted.is_some()
            && fleet
                .instance("stuck", PATIENCE, |_, now| replaced(now) && now.state == AgentState::Ready)
                .await
                .is_some();
        let mut proof = Proof::default();
        proof.holds(failing, format!("the probe was answered with failure {} times", pulse.failed()));
        proof.holds(
            restarted.is_some(),
            match restarted.as_ref().and_then(|now| now.pid) {
                Some(new) => format!("process {pid} was replaced by process {new}"),
                None => format!(
                    "process {pid} was left running, {:?}",
                    status(&fleet, "stuck/0").map(|p| p.state)
                ),
            },
        );
        let class = restarted.and_then(|now| now.last_exit).and_then(|exit| exit.class);
        proof.holds(
            class == Some(CrashClass::Unhealthy),
            format!("its end counts as: {}", class.map_or("nothing", CrashClass::as_str)),
        );
        proof.holds(!survivors::alive(pid) || class.is_none(), "nothing is left of the old process");
        proof.holds(
            again,
            format!("the new one {}", if again { "became ready" } else { "did not become ready" }),
        );
        fleet.finish().await;
        Ok(proof.judge("a failing liveness probe had its agent restarted").seen(shortened()))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const STARTUP: Saboteur = Saboteur {
    of: "HM-010",
    at_work: || {
        let broken = [("a probe that gates nothing", "readiness")];
        tried(startup_gates, "startup", broken).boxed()
    },
};

#[cfg(test)]
pub const LIVENESS: Saboteur = Saboteur {
    of: "HM-011",
    at_work: || {
        let broken = [("a probe that restarts nothing", "readiness")];
        tried(liveness_restarts, "liveness", broken).boxed()
    },
};
