//! Where an agent runs as the daemon's own user, a yes proves nothing: what needs one is refused, and so is the yes.
#[cfg(test)]
use super::sabotage::{Manners, serve};
use super::stage::{Desk, GIVER, OK, REFUSED, asker, hour, person};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::sync::Arc;

pub async fn refused(evidence: &Evidence) -> Found {
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
    let desk = Desk::open(ground, &serve, Some("inherit"), hour()).await?;
    if desk.agent().await.is_none() {
        desk.close().await;
        return Ok(Found::error("the scratch agent did not come up"));
    }
    let asked = desk.act(asker(), "one").await;
    proof.holds(
        asked == REFUSED,
        format!("beside an agent of the daemon's user it was answered with {asked}"),
    );
    let newest = desk.newest().await;
    proof.holds(newest.is_none(), format!("approvals asked for there: {}", newest.unwrap_or_default()));
    if let Some(id) = newest {
        let given = desk.give(person(GIVER), id).await;
        proof.holds(given != OK, format!("a yes there was answered with {given}"));
    }
    let effects = desk.effects().await;
    proof.holds(effects == 0, format!("{effects} actions had an effect there"));
    desk.close().await;

    // The same people without that agent.
    let desk = Desk::open(ground, &serve, None, hour()).await?;
    desk.act(asker(), "one").await;
    let given = desk.give(person(GIVER), desk.newest().await.unwrap_or_default()).await;
    let through = desk.act(asker(), "one").await;
    proof.holds(
        (given, through) == (OK, OK),
        format!("without such an agent a yes was answered with {given}, and the action with {through}"),
    );
    desk.close().await;
    Ok(proof
        .judge("beside an agent of the daemon's own user no approval could be had, and without it one could"))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-043",
    at_work: || {
        tried(exercise, serve(Manners::Sound).1, [Manners::GoodwillIsEnough, Manners::NeverAsks].map(serve))
            .boxed()
    },
};
