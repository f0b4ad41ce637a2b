//! Nobody approves what they ask for themselves, and nobody approves what nobody asked for.
#[cfg(test)]
use super::sabotage::{Manners, serve};
use super::stage::{CONFLICT, Desk, GIVER, NOT_FOUND, OK, REFUSED, asker, hour, person};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::sync::Arc;

pub async fn another(evidence: &Evidence) -> Found {
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
    let desk = Desk::open(ground, &serve, None, hour()).await?;
    for unknown in [0, 1, u64::MAX] {
        let given = desk.give(person(GIVER), unknown).await;
        proof.holds(
            given == NOT_FOUND,
            format!("a yes to approval {unknown} of none was answered with {given}"),
        );
    }
    let asked = desk.act(asker(), "one").await;
    let id = desk.newest().await.unwrap_or_default();
    let own = desk.give(asker(), id).await;
    proof.holds(
        asked == REFUSED && own == REFUSED,
        format!("a yes to what one asks for oneself was answered with {own}"),
    );
    let after = (desk.act(asker(), "one").await, desk.effects().await);
    proof.holds(after == (REFUSED, 0), format!("the action then was answered with {}", after.0));
    let given = desk.give(person(GIVER), id).await;
    proof.holds(given == OK, format!("somebody else's yes was answered with {given}"));
    let through = (desk.act(asker(), "one").await, desk.effects().await);
    proof.holds(through == (OK, 1), format!("the action then was answered with {}", through.0));

    desk.act(asker(), "two").await;
    let id = desk.newest().await.unwrap_or_default();
    let denied = desk.post(person(GIVER), "approvals/deny", json!({ "id": id, "reason": "no" })).await.status;
    let late = desk.give(person(GIVER), id).await;
    let after = (desk.act(asker(), "two").await, desk.effects().await);
    proof.holds(
        denied == OK && late == CONFLICT && after == (REFUSED, 1),
        format!("what was denied was then approved with {late} and done with {}", after.0),
    );
    desk.close().await;
    Ok(proof.judge("nobody's own yes counted, nor one to what was denied or never asked for"))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-042",
    at_work: || {
        let broken = [Manners::SelfGiven, Manners::UnknownIsFine, Manners::DenialForgotten];
        tried(exercise, serve(Manners::Sound).1, broken.map(serve)).boxed()
    },
};
