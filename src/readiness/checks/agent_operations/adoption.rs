//! The supervisor of a scratch fleet goes without a goodbye, as in a crash, and another takes its place: are the living
//! agents taken over?
use super::{ANSWERS, PATIENCE};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::AgentState,
    readiness::{Found, Ground, Proof, check::settle, scratch_fleet::script_agent, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::Duration;

/// How long it may take to answer once it has been taken over.
const ANSWER: Duration = Duration::from_secs(5);

/// `next` is what the agent runs by the settings of the next supervisor; a test changes it.
pub async fn taken_over(ground: &Ground, next: &str) -> Found {
    let exercise = async {
        let settings = |script: &str| json!({ "agent": [script_agent("heir", "process", script)] });
        let fleet = ground.fleet(settings(ANSWERS), false).await?;
        let first = fleet.instance("heir", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        let Some(first) = first else {
            return Ok(Found::error("the scratch agent did not become ready"));
        };
        let fleet = fleet.crash_and_relaunch(settings(next)).await?;
        let again = fleet.instance("heir", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        let answer = fleet.supervisor().request(&first.id, "ping", Value::Null, ANSWER).await;
        let mut proof = Proof::default();
        match &again {
            Some(now) => {
                let (was, is) = (first.pid.unwrap_or(0), now.pid.unwrap_or(-1));
                proof
                    .holds(was == is, format!("pid {was} before, pid {is} afterwards"))
                    .holds(
                        now.adopted,
                        format!("it is shown as {}", if now.adopted { "adopted" } else { "started" }),
                    )
                    .holds(survivors::alive(is), "it lives (source: /proc)");
            }
            None => {
                proof.holds(false, "it is not ready under the next supervisor");
            }
        }
        proof.holds(
            answer.is_ok(),
            match &answer {
                Ok(_) => "it answers over the channel that stayed".into(),
                Err(fault) => fault.to_string(),
            },
        );
        fleet.finish().await;
        Ok(proof.judge("a living agent was taken over by the next supervisor and answers it"))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-013",
    at_work: || {
        async {
            let changed = format!("true; {ANSWERS}");
            tried(taken_over, ANSWERS, [("an agent that is started anew", changed.as_str())]).await
        }
        .boxed()
    },
};
