//! Targets that answer well and are not: a body that says otherwise, a stranger on the port.
use super::stage::{EVERY, PATIENCE, THRESHOLD, UNHURRIED, dependency, server, shortened, stands, watch};
use crate::{
    domain::{AgentState, ProbeState},
    readiness::{
        Found, Ground, Proof,
        check::settle,
        faults::Manner,
        proof::{poll, script_agent},
    },
};
use serde_json::{Value, json};

/// `assertion` is what the probe demands of the body; a test breaks it.
pub async fn by_body(ground: &Ground, assertion: Value) -> Found {
    let exercise = async {
        let (honest, lying) = (server(Manner::Healthy).await?, server(Manner::Lying).await?);
        let expect = json!({ "status": 200, "json": assertion });
        let probes = vec![
            dependency("honest", &honest, THRESHOLD, expect.clone()),
            dependency("lying", &lying, THRESHOLD, expect),
        ];
        let fleet = watch(ground, probes).await?;
        let honest = stands(&fleet, "honest", ProbeState::Passing, PATIENCE).await;
        let lying = stands(&fleet, "lying", ProbeState::Failing, PATIENCE).await;
        let mut proof = Proof::default();
        proof.holds(
            honest.is_some(),
            format!("200 with a healthy body {}", if honest.is_some() { "passes" } else { "does not pass" }),
        );
        // For what it says, and not for being late.
        let detail = lying.as_ref().and_then(|probe| probe.last.as_ref()).map(|last| last.detail.clone());
        proof.holds(
            detail.as_ref().is_some_and(|detail| detail.contains("critical")),
            match &detail {
                Some(detail) => format!("200 with a critical body fails: {detail}"),
                None => "200 with a critical body is taken for health".into(),
            },
        );
        fleet.finish().await;
        Ok(proof.judge("the body decided, not the status").seen(shortened()))
    };
    settle(exercise.await)
}

/// `identity` is whether the guarded probe asks whose listener answers; a test breaks it.
pub async fn by_stranger(ground: &Ground, identity: bool) -> Found {
    let exercise = async {
        let impostor = server(Manner::Healthy).await?;
        let port = impostor.address.port();
        let agent = |name: &str, identity: bool| {
            let mut agent = script_agent(name, "service", "exec sleep 600");
            agent["probe"] = json!([{
                "name": "ready",
                "role": "readiness",
                "kind": "tcp",
                "every": format!("{}ms", EVERY.as_millis()),
                "deadline": format!("{}ms", UNHURRIED.as_millis()),
                "options": { "port": port, "identity": identity },
            }]);
            agent
        };
        let agents = [agent("guarded", identity), agent("fooled", false)];
        let fleet = ground.fleet(json!({ "agent": agents }), true).await?;
        let fooled = fleet.instance("fooled", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        // It must have been looked at, and refused for what it is: by the pid of who really listens.
        let own = std::process::id().to_string();
        let last = || fleet.probes().into_iter().find(|probe| probe.target == "guarded/0")?.last;
        let by_name = poll(PATIENCE, || last().filter(|last| last.ok || last.detail.contains(&own))).await;
        let refused = by_name.or_else(last).filter(|last| !last.ok);
        let ready = fleet
            .supervisor()
            .snapshot()
            .agent("guarded")
            .is_some_and(|agent| agent.state == AgentState::Ready);
        let mut proof = Proof::default();
        proof.holds(
            fooled.is_some(),
            format!(
                "without the identity check port {port} {}",
                if fooled.is_some() {
                    "passes: the listener really answers"
                } else {
                    "does not pass: nothing is proved"
                }
            ),
        );
        let named = refused.as_ref().is_some_and(|last| last.detail.contains(&own));
        proof.holds(
            named,
            match &refused {
                Some(last) => format!("with it the probe fails: {}", last.detail),
                None => "with it the stranger on the port is taken for the agent".into(),
            },
        );
        proof.holds(
            !ready,
            format!("the agent is {}", if ready { "ready, on a stranger's answer" } else { "not ready" }),
        );
        fleet.finish().await;
        Ok(proof.judge("the stranger was told from the agent").seen(shortened()))
    };
    settle(exercise.await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::checks::tells_apart;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lie_is_caught_and_a_probe_that_reads_no_body_is_found() {
        tells_apart(by_body, json!({ "$.status": "healthy" }), [json!({})]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stranger_is_caught_and_a_probe_that_asks_no_identity_is_found() {
        tells_apart(by_stranger, true, [false]).await;
    }
}
