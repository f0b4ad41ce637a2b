//! An agent's own process can give no approval, do nothing that needs one, and change no policy.
#[cfg(test)]
use super::sabotage::{Manners, serve};
use super::stage::{Desk, FORBIDDEN, GIVER, NOT_FOUND, OK, REFUSED, asker, hour, person};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Fault, Identity},
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::sync::Arc;

pub async fn never(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => exercise(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to ask"),
    }
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    settle(carried_out(ground, serve).await)
}

async fn carried_out(ground: &Ground, serve: Arc<dyn Serve>) -> Result<Found, Fault> {
    let mut proof = Proof::default();
    let desk = Desk::open(ground, &serve, Some("auto"), hour()).await?;
    let Some(agent) = desk.agent().await else {
        desk.close().await;
        return Ok(Found::error("the scratch agent did not come up"));
    };
    let asked = desk.act(asker(), "one").await;
    proof.holds(asked == REFUSED, format!("an action that nobody approved was answered with {asked}"));
    let summary = if agent.uid == asker().uid {
        as_one_user(&mut proof, &desk, agent).await;
        "what needs an approval is refused to an agent of the operator's uid and to everybody else"
    } else {
        as_another_user(&mut proof, &desk, agent).await;
        "an agent's process was refused what a person's was not"
    };
    let effects = desk.effects().await;
    let wanted = usize::from(agent.uid != asker().uid);
    proof.holds(effects == wanted, format!("{effects} actions had an effect, and {wanted} were approved"));
    desk.close().await;
    Ok(proof.judge(summary))
}

/// The kernel tells it from the operator: it is refused, and the operator is not.
async fn as_another_user(proof: &mut Proof, desk: &Desk, agent: Identity) {
    let id = desk.newest().await.unwrap_or_default();
    let uid = agent.uid;
    let given = desk.give(agent, id).await;
    proof.holds(given == FORBIDDEN, format!("a yes from the agent's uid {uid} was answered with {given}"));
    let state = desk.state(id).await.unwrap_or_default();
    proof.holds(state == "pending", format!("after it the approval was {state}"));
    let own = desk.act(agent, "its own").await;
    proof.holds(own == FORBIDDEN, format!("an action of the agent itself was answered with {own}"));
    for policy in ["config/reload", "approvals/deny", "approvals/withdraw", "daemon/stop"] {
        let body = json!({ "id": id, "reason": "mine" });
        let status = desk.post(agent, policy, body).await.status;
        proof.holds(status == FORBIDDEN, format!("{policy} from the agent was answered with {status}"));
    }
    let given = desk.give(person(GIVER), id).await;
    let through = desk.act(asker(), "one").await;
    proof.holds(
        (given, through) == (OK, OK),
        format!("a person's yes was answered with {given}, and the action with {through}"),
    );
}

/// Nothing separates them: there is no approval to give, for nobody.
async fn as_one_user(proof: &mut Proof, desk: &Desk, agent: Identity) {
    let asked = desk.newest().await;
    proof.holds(asked.is_none(), format!("approvals asked for where one proves nothing: {asked:?}"));
    for who in [agent, asker(), person(GIVER)] {
        let given = desk.give(who, 1).await;
        proof.holds(
            [FORBIDDEN, NOT_FOUND, REFUSED].contains(&given),
            format!("a yes from uid {} was answered with {given}", who.uid),
        );
    }
    let again = desk.act(asker(), "one").await;
    proof.holds(again == REFUSED, format!("the action then was answered with {again}"));
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-040",
    at_work: || {
        let root = rustix::process::geteuid().is_root();
        // Only root can give an agent a uid that could be overlooked.
        let broken = if root {
            vec![Manners::AgentGives, Manners::AgentActs]
        } else {
            vec![Manners::GoodwillIsEnough]
        };
        tried(exercise, serve(Manners::Sound).1, broken.into_iter().map(serve)).boxed()
    },
};
