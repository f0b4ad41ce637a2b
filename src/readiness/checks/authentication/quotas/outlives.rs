//! A daemon that ends in mid-quota without a goodbye, and the one after it.
#[cfg(test)]
use super::metered::{Manners, broken, sound};
use super::scene::{BOUNDED, Scene, crowd, refused, served};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::StoreSettings,
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::sync::Arc;

const QUOTA: usize = 100;
const BLOCK: usize = 10;

pub async fn outlives(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => exercise(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to try"),
    }
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let exercise = async {
        let own = json!({ "per_hour": QUOTA, "block": BLOCK });
        let scene = Scene::new(ground, json!({ "principals": { format!("user:{BOUNDED}"): own } })).await?;
        let (plot, settings) =
            (ground.plot()?, StoreSettings { readers_max: 2, readers_min: 1, ..StoreSettings::default() });
        let mut proof = Proof::default();
        let mut total = 0;
        // Within a block, so that what is left of it may be forfeit.
        let lives = [("the first daemon", 25), ("the next one", 2 * QUOTA)];
        for (which, asked) in lives {
            let store = ground.store(&plot, &settings).await?;
            let daemon = scene.serve(&serve, store.clone()).await;
            let answers = crowd(&*daemon, BOUNDED, asked).await;
            let room = answers.iter().filter(|answer| served(answer)).count();
            let rest = answers.iter().filter(|answer| refused(answer)).count();
            total += room;
            proof.holds(
                room + rest == asked,
                format!("{which} served {room} of {asked} requests and refused {rest}"),
            );
            daemon.close().await;
            // What was acknowledged is in the file; whatever the daemon knew beside it is gone.
            store.close().await;
        }
        proof.holds(total <= QUOTA, format!("{total} were served in all, of a quota of {QUOTA}"));
        proof.holds(
            total + BLOCK >= QUOTA,
            format!("{} were forfeit, of blocks of {BLOCK}", QUOTA.saturating_sub(total)),
        );
        scene.finish().await;
        Ok(proof
            .judge(format!("{total} of {QUOTA} were served before and after a crash, in blocks of {BLOCK}")))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-031",
    at_work: || {
        tried(exercise, sound(), broken([Manners::Forgets, Manners::CountsNothing, Manners::ForfeitsAll]))
            .boxed()
    },
};
