//! One outage below is one failure: what needs a dependency that is down is not asked until it is back.
use super::stage::{
    PATIENCE, asked, dependency, probe, server, shortened, sleeper, stands, status, told, watched,
};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, ProbeState},
    readiness::{Found, Ground, Proof, check::settle, faults::Manner, proof::poll},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;

const NEEDY: &str = "needy/0";

/// `declared` is whether the agent says what it depends on; a test breaks it.
pub async fn while_down(ground: &Ground, declared: bool) -> Found {
    let exercise = async {
        let (database, own) = (server(Manner::Healthy).await?, server(Manner::Healthy).await?);
        let mut needy = sleeper("needy", json!([probe("ready", "readiness", &own)]));
        if declared {
            needy["depends_on"] = json!(["database"]);
        }
        let fleet = watched(ground, [needy], [dependency("database", &database, 2, json!({}))]).await?;
        if fleet.instance("needy", PATIENCE, |_, now| now.state == AgentState::Ready).await.is_none() {
            return Ok(Found::fail("an agent that is well did not become ready").all_seen(told(&fleet)));
        }
        // As in a real outage: first the database, and with it what every agent that needs it answers.
        database.behave(Manner::Failing);
        own.behave(Manner::Failing);
        let turned = |state| matches!(state, ProbeState::Blocked | ProbeState::Failing);
        let outage = poll(PATIENCE, || status(&fleet, NEEDY).filter(|probe| turned(probe.state))).await;
        let blocked = outage.as_ref().filter(|probe| probe.state == ProbeState::Blocked);
        let by = blocked.and_then(|probe| probe.blocked_by.clone());
        let mut proof = Proof::default();
        proof.holds(
            by.as_ref().is_some_and(|by| by.contains("database")),
            match (&by, &outage) {
                (Some(by), _) => format!("the agent's probe is blocked by {by}"),
                (None, Some(_)) => "the agent is accused of its dependency's outage".into(),
                (None, None) => "nothing was noticed of the outage".into(),
            },
        );
        let down = stands(&fleet, "database", ProbeState::Failing, PATIENCE).await.is_some();
        // A look that was under way may still come in.
        let before = own.hits().len();
        let waited = asked(&database, 4).await;
        let meanwhile = own.hits().len() - before;
        proof.holds(
            down && waited,
            format!("the dependency itself {} asked", if waited { "is still" } else { "is no longer" }),
        );
        proof.holds(
            meanwhile <= 1,
            format!("during four looks at the dependency the agent was asked {meanwhile} times"),
        );
        database.behave(Manner::Healthy);
        own.behave(Manner::Healthy);
        let back = stands(&fleet, NEEDY, ProbeState::Passing, PATIENCE).await.is_some();
        let ready = fleet.instance("needy", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        let again = back && ready.is_some();
        proof.holds(
            again,
            format!("with the dependency back the agent is {}", if again { "ready" } else { "not ready" }),
        );
        fleet.finish().await;
        Ok(proof.judge("the agent waited for its dependency and was not accused").seen(shortened()))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "HM-008",
    at_work: || tried(while_down, true, [("an agent that does not say what it depends on", false)]).boxed(),
};
