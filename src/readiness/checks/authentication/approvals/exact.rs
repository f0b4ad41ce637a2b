//! An approval lets one exact action of one asker through, once, in time, and over a restart.
#[cfg(test)]
use super::sabotage::{Manners, serve};
use super::stage::{CONFLICT, Desk, GIVER, OK, OTHER, REFUSED, asker, hour, person};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Fault, Period},
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long what is given in the last exercise can be used.
const SHORT: Period = Period::millis(800);
const LAPSES: Duration = Duration::from_secs(2);

pub async fn once(evidence: &Evidence) -> Found {
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
    let refused = |proof: &mut Proof, what: &str, status: u16| {
        proof.holds(status == REFUSED, format!("{what} was answered with {status}"));
    };
    refused(&mut proof, "an action that nobody approved", desk.act(asker(), "one").await);
    let Some(id) = desk.newest().await else {
        desk.close().await;
        proof.holds(false, "no approval was asked for");
        return Ok(proof.judge(""));
    };
    let given = desk.give(person(GIVER), id).await;
    proof.holds(given == OK, format!("somebody else's yes was answered with {given}"));
    refused(&mut proof, "the same action with another reason", desk.act(asker(), "two").await);
    refused(&mut proof, "the same action of somebody else", desk.act(person(OTHER), "one").await);
    let before = desk.effects().await;
    proof.holds(before == 0, format!("{before} of those had an effect"));
    // Given before it, used after it.
    let desk = desk.reopened().await;
    let through = desk.act(asker(), "one").await;
    let after = desk.effects().await;
    let what =
        format!("what was approved was answered with {through} after a restart, and done {after} times");
    proof.holds(through == OK && after == 1, what);
    refused(&mut proof, "the same once more", desk.act(asker(), "one").await);
    let after = desk.effects().await;
    proof.holds(after == 1, format!("one approval let {after} through"));
    desk.close().await;

    let desk = Desk::open(ground, &serve, None, SHORT).await?;
    let asked = desk.act(asker(), "one").await;
    if let (REFUSED, Some(id)) = (asked, desk.newest().await) {
        let given = desk.give(person(GIVER), id).await;
        if given == CONFLICT {
            desk.close().await;
            return Ok(Found::error(format!("this machine took longer than {SHORT} to say yes")));
        }
        let end = Instant::now() + LAPSES;
        while desk.state(id).await.as_deref() == Some("given") && Instant::now() < end {}
        refused(&mut proof, "what was approved and not done in time", desk.act(asker(), "one").await);
        let late = desk.effects().await;
        proof.holds(given == OK && late == 0, format!("of what lapsed, {late} had an effect"));
    } else {
        proof.holds(false, format!("an action that nobody approved was answered with {asked}"));
    }
    desk.close().await;
    Ok(proof.judge("an approval let one exact action of one asker through, once and in time"))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-041",
    at_work: || {
        let broken = [Manners::NeverAsks, Manners::NotBound, Manners::ForAnyAsker, Manners::UsedAgain];
        tried(exercise, serve(Manners::Sound).1, broken.map(serve)).boxed()
    },
};
