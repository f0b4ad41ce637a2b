//! More callers at once than a quota has requests: who is served, and what every answer says.
#[cfg(test)]
use super::metered::{Manners, broken, sound};
use super::scene::{BOUNDED, OTHER, Scene, ask, crowd, figure, look, refused, served};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::readiness::{Answered, Evidence, Found, Ground, Proof, Serve, check::settle};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

const QUOTA: u64 = 120;
const ASKED: usize = 160;

pub async fn exact(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => exercise(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no router to try"),
    }
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let exercise = async {
        let own = json!({ "per_hour": QUOTA, "block": 7 });
        let quotas =
            json!({ "principals": { format!("user:{BOUNDED}"): own, format!("user:{OTHER}"): own } });
        let scene = Scene::new(ground, quotas).await?;
        let daemon = scene.serve(&serve, scene.store()).await;
        let mut proof = Proof::default();
        let answers = crowd(&*daemon, BOUNDED, ASKED).await;
        let (room, rest): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| served(answer));
        proof.holds(
            room.len() as u64 == QUOTA,
            format!("{} of {ASKED} requests at once were served, of a quota of {QUOTA}", room.len()),
        );
        proof.holds(
            rest.iter().all(|answer| refused(answer)),
            format!("the other {} were answered with {}", rest.len(), statuses(&rest)),
        );
        let left: BTreeSet<_> =
            room.iter().filter_map(|answer| figure(answer, "ratelimit-remaining")).collect();
        proof.holds(
            left.len() == room.len() && left.iter().copied().eq(0..QUOTA),
            format!("each of those served was told what is left: {} different figures", left.len()),
        );
        proof.holds(answers.iter().all(complete), "every answer told the limit and when it is whole again");
        proof.holds(
            rest.iter().all(|answer| figure(answer, "retry-after").is_some_and(|after| after > 0)),
            "every refusal told when to come back",
        );
        let other = ask(&*daemon, OTHER).await;
        let theirs = figure(&other, "ratelimit-remaining");
        proof.holds(
            served(&other) && theirs == Some(QUOTA - 1),
            format!("another principal was answered with {} and has {theirs:?} left", other.status),
        );
        let status = look(&*daemon, BOUNDED, None).await.status;
        proof.holds(status == 200, format!("a look by the one with nothing left was answered with {status}"));
        daemon.close().await;
        scene.finish().await;
        Ok(proof.judge(format!(
            "{QUOTA} of {ASKED} requests at once were served, and each was told what is left"
        )))
    };
    settle(exercise.await)
}

fn complete(answer: &Answered) -> bool {
    figure(answer, "ratelimit-limit") == Some(QUOTA)
        && figure(answer, "ratelimit-reset").is_some_and(|seconds| (1..=1800).contains(&seconds))
}

fn statuses(answers: &[&Answered]) -> String {
    let all: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
    all.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-030",
    at_work: || {
        tried(
            exercise,
            sound(),
            broken([
                Manners::CountsNothing,
                Manners::OneMore,
                Manners::OnePurse,
                Manners::NoHeaders,
                Manners::CountsLooks,
                Manners::RefusesAll,
            ]),
        )
        .boxed()
    },
};
