//! A source that guesses, one that does not, and what the kernel says of both.
#[cfg(test)]
use super::metered::{Manners, broken, sound};
use super::scene::{BOUNDED, OTHER, Scene, figure, look, refused};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::readiness::{Evidence, Found, Ground, Proof, Serve, check::settle, undisturbed::undisturbed};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{sync::Arc, time::Duration};

const TOLERATED: usize = 4;
const FIRST: Duration = Duration::from_millis(400);
/// In the form of a key, of nobody.
const WRONG: &str = "agc_0000000000000000_0000000000000000000000000000000000000000000000000000000000000000";

pub async fn patient(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => tiring(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to try"),
    }
}

/// A stall of the machine may be as long as a wait that is tried.
async fn tiring(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    undisturbed(|| exercise(ground, serve.clone())).await
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let exercise = async {
        let failures = json!({
            "tolerated": TOLERATED, "first_wait": "400ms", "longest_wait": "1m", "forgiven_after": "1m",
        });
        let scene = Scene::new(ground, json!({ "failures": failures })).await?;
        let daemon = scene.serve(&serve, scene.store()).await;
        let mut proof = Proof::default();
        let mut looked_at = 0;
        let turned_away = loop {
            let answer = look(&*daemon, BOUNDED, Some(WRONG)).await;
            if answer.status != 401 || looked_at > 3 * TOLERATED {
                break answer;
            }
            looked_at += 1;
        };
        let waits = ground.clock().instant();
        proof.holds(
            refused(&turned_away) && looked_at == TOLERATED + 1,
            format!("after {looked_at} wrong keys the next was answered with {}", turned_away.status),
        );
        let after = figure(&turned_away, "retry-after");
        proof.holds(after == Some(1), format!("it was told to come back after {after:?} s"));
        let other = look(&*daemon, OTHER, Some(WRONG)).await.status;
        proof.holds(other == 401, format!("a wrong key of another uid was answered with {other}"));
        let known = look(&*daemon, BOUNDED, None).await.status;
        proof.holds(known == 200, format!("without a key, the first was answered with {known}"));
        tokio::time::sleep_until(waits + FIRST + Duration::from_millis(20)).await;
        // Its next wait is counted from some moment of this look, which may itself wait for the disk.
        let asked = tokio::time::Instant::now();
        let again = look(&*daemon, BOUNDED, Some(WRONG)).await.status;
        proof.holds(again == 401, format!("after its wait, its next key was answered with {again}"));
        tokio::time::sleep_until(asked + FIRST + Duration::from_millis(20)).await;
        if asked.elapsed() >= 2 * FIRST {
            daemon.close().await;
            scene.finish().await;
            return Ok(Found::error("one look took as long as the wait that it was to be followed by"));
        }
        let sooner = look(&*daemon, BOUNDED, Some(WRONG)).await;
        proof.holds(
            refused(&sooner),
            format!("after as long again, the one after that was answered with {}", sooner.status),
        );
        daemon.close().await;
        scene.finish().await;
        Ok(proof.judge(format!(
            "{looked_at} wrong keys were looked at, then it had to wait, and longer the next time"
        )))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-033",
    at_work: || {
        tried(
            tiring,
            sound(),
            broken([
                Manners::NeverTires,
                Manners::TiresOfAll,
                Manners::NeverForgives,
                Manners::TiresOfTheKernel,
                Manners::NoHeaders,
            ]),
        )
        .boxed()
    },
};
