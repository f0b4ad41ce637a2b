//! A principal that asks faster than it may.
#[cfg(test)]
use super::metered::{Manners, broken, sound};
use super::scene::{BOUNDED, OTHER, Scene, ask, crowd, figure, refused, served};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::readiness::{Evidence, Found, Ground, Proof, Serve, check::settle};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// One each half second: a slow machine is still faster.
const RATE: u32 = 2;
const BURST: usize = 20;
const ASKED: usize = 3 * BURST;

pub async fn paced(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => exercise(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to try"),
    }
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let exercise = async {
        let own = json!({ "per_second": RATE, "burst": BURST });
        let scene = Scene::new(ground, json!({ "principals": { format!("user:{BOUNDED}"): own } })).await?;
        let daemon = scene.serve(&serve, scene.store()).await;
        let clock = ground.clock();
        let began = clock.instant();
        let answers = crowd(&*daemon, BOUNDED, ASKED).await;
        let meanwhile = began.elapsed().as_millis() * u128::from(RATE) / 1000;
        let most = BURST.saturating_add(usize::try_from(meanwhile).unwrap_or(usize::MAX));
        if most >= ASKED {
            daemon.close().await;
            scene.finish().await;
            return Ok(Found::error(format!("{ASKED} requests took so long that none was too fast")));
        }
        let mut proof = Proof::default();
        let room = answers.iter().filter(|answer| served(answer)).count();
        let rest: Vec<_> = answers.iter().filter(|answer| refused(answer)).collect();
        proof.holds(
            (BURST..=most).contains(&room) && room + rest.len() == ASKED,
            format!("{room} of {ASKED} requests at once were served, of a burst of {BURST} and {RATE} a second, and {} refused", rest.len()),
        );
        let after = rest.iter().filter_map(|answer| figure(answer, "retry-after")).max();
        proof.holds(after == Some(1), format!("the refusals told to come back after {after:?} s"));
        let other = ask(&*daemon, OTHER).await;
        proof.holds(served(&other), format!("another principal was answered with {}", other.status));
        tokio::time::sleep(Duration::from_millis(1000 / u64::from(RATE) + 20)).await;
        let again = ask(&*daemon, BOUNDED).await;
        proof.holds(served(&again), format!("half a second later it was answered with {}", again.status));
        daemon.close().await;
        scene.finish().await;
        Ok(proof.judge(format!("{room} of {ASKED} at once were served, and it recovered")))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-032",
    at_work: || {
        tried(
            exercise,
            sound(),
            broken([Manners::CountsNothing, Manners::OnePurse, Manners::NoHeaders, Manners::RefusesAll]),
        )
        .boxed()
    },
};
