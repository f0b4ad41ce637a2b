//! The breaker: opens at its threshold and not before, calls nobody while it is open, lets out exactly its probes, and
//! is not tripped by a caller's own mistakes.
use super::stage::{SHORTENED, Stage};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Fault, Outcome},
    readiness::{Found, Ground, Proof, check::settle, faults::Manner, proof::poll, undisturbed::undisturbed},
    resilience::Phase,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const THRESHOLD: usize = 3;
const PROBES: usize = 2;
const OPEN_FOR: Duration = Duration::from_millis(250);
/// How long is waited for what must come; nothing is proved by this wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a caller asks wrong.
const MISTAKES: [u16; 4] = [400, 401, 404, 422];

/// Three failures, 250 ms, two on trial; each call is one attempt of at most a second.
pub fn strict() -> Value {
    json!({
        "attempts": 1, "timeout": "1s",
        "breaker": { "failures": THRESHOLD, "open_for": "250ms", "probes": PROBES },
    })
}

pub async fn opens_and_closes(ground: &Ground, policy: Value) -> Found {
    undisturbed(|| opens_and_closes_once(ground, policy.clone())).await
}

async fn opens_and_closes_once(ground: &Ground, policy: Value) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let stage = Stage::new(Manner::Failing, &policy, ground.clock()).await?;
        let phase = || stage.policy.breaker().view().phase;
        for _ in 1..THRESHOLD {
            stage.ask().await;
        }
        proof.holds(phase() == Phase::Closed, format!("{} failures leave it closed", stage.hits()));
        stage.ask().await;
        proof.holds(phase() == Phase::Open, format!("failure {} opens it", stage.hits()));
        let opened = Instant::now();
        let (before, found) = (stage.hits(), stage.ask().await);
        proof.holds(
            stage.hits() == before && found.outcome == Outcome::Error,
            format!("open, it calls nobody: {}", found.summary),
        );
        half_open(&mut proof, &stage, opened, Manner::Silent).await?;
        let opened = Instant::now();
        proof.holds(phase() == Phase::Open, "trials that fail open it again");
        half_open(&mut proof, &stage, opened, Manner::Healthy).await?;
        proof.holds(phase() == Phase::Closed, "trials that all go well close it");
        let served = stage.asked_by(3).await.iter().filter(|found| found.outcome == Outcome::Pass).count();
        proof.holds(served == 3, format!("closed, {served} of 3 calls pass"));
        Ok(proof.judge("it opened, called nobody, tried and closed as the policy says").seen(SHORTENED))
    };
    settle(exercise.await)
}

/// Waits until its time is up, then asks more often at once than it may let out.
async fn half_open(proof: &mut Proof, stage: &Stage, opened: Instant, manner: Manner) -> Result<(), Fault> {
    let due = || stage.policy.breaker().refuses().is_none().then_some(());
    if poll(PATIENCE, due).await.is_none() {
        proof.holds(false, format!("after {} ms nobody is let through on trial", OPEN_FOR.as_millis()));
        return Ok(());
    }
    let stayed = opened.elapsed();
    // It opened a moment before the time was taken.
    proof.holds(
        stayed >= OPEN_FOR / 2,
        format!("it stayed open for {} ms of {}", stayed.as_millis(), OPEN_FOR.as_millis()),
    );
    stage.server.behave(manner);
    let before = stage.hits();
    stage.asked_by(PROBES + 3).await;
    let tried = stage.hits() - before;
    let all = PROBES + 3;
    proof.holds(
        tried == PROBES,
        format!("half-open, {tried} of {all} at once were let out on trial, want {PROBES}"),
    );
    Ok(())
}

/// `mistakes` must leave it closed; a test puts failures in their place.
pub async fn blameless(ground: &Ground, mistakes: [u16; 4]) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let stage = Stage::new(Manner::Healthy, &strict(), ground.clock()).await?;
        for status in mistakes {
            stage.server.behave(Manner::Answering(status));
            for _ in 0..THRESHOLD {
                stage.ask().await;
            }
            let view = stage.policy.breaker().view();
            proof.holds(
                view.phase == Phase::Closed && view.streak == 0,
                format!("{THRESHOLD} times {status} count as {} failures", view.streak),
            );
        }
        let asked = stage.hits();
        let all = mistakes.len() * THRESHOLD;
        proof.holds(asked == all, format!("each of them was answered: {asked} of {all}"));
        stage.server.behave(Manner::Failing);
        for _ in 0..THRESHOLD {
            stage.ask().await;
        }
        let phase = stage.policy.breaker().view().phase;
        proof.holds(phase == Phase::Open, format!("{THRESHOLD} times 500 open it"));
        Ok(proof.judge("a caller's mistakes left it closed, and failures did not"))
    };
    settle(exercise.await)
}

pub async fn of_mistakes(ground: &Ground) -> Found {
    blameless(ground, MISTAKES).await
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "EH-006",
        at_work: || {
            let with = |key: &str, value: Value| {
                let mut policy = strict();
                policy["breaker"][key] = value;
                policy
            };
            let broken = [
                ("a breaker that never opens", with("failures", json!(1000))),
                ("a breaker that opens too early", with("failures", json!(2))),
                ("a breaker that does not stay open", with("open_for", json!("1ms"))),
                ("a breaker that stays open", with("open_for", json!("1h"))),
                ("a trial too many", with("probes", json!(3))),
                ("a trial too few", with("probes", json!(1))),
            ];
            tried(opens_and_closes, strict(), broken).boxed()
        },
    },
    Saboteur {
        of: "EH-007",
        at_work: || {
            let broken = [
                ("failures that are taken for mistakes", [400, 401, 404, 500]),
                ("an overrun server that is taken for one", [429, 401, 404, 422]),
            ];
            tried(blameless, MISTAKES, broken).boxed()
        },
    },
];
