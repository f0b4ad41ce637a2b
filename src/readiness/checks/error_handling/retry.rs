//! Retries: as many, as late and of what the policy says; and not before the time that the other end asked for.
use super::stage::{NEVER, SHORTENED, Stage, millis};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Outcome,
    readiness::{Found, Ground, Proof, check::settle, faults::Manner, undisturbed::undisturbed},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::Duration;

const ATTEMPTS: usize = 5;
const FIRST: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_millis(100);
/// What the last wait would be without a cap: a busy machine is late, but not by so much.
const UNCAPPED: Duration = Duration::from_millis(400);
/// The first wait where the other end says nothing.
const SOON: Duration = Duration::from_millis(20);
const ASKED_FOR: u32 = 1;

/// Five attempts, 50 ms doubling to 100 ms.
pub fn configured() -> Value {
    json!({
        "attempts": ATTEMPTS, "backoff": "50ms..100ms", "jitter": 0.0, "timeout": "3s",
        "breaker": { "failures": NEVER },
    })
}

pub async fn as_configured(ground: &Ground, policy: Value) -> Found {
    undisturbed(|| as_configured_once(ground, policy.clone())).await
}

async fn as_configured_once(ground: &Ground, policy: Value) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let failing = Stage::new(Manner::Failing, &policy, ground.clock()).await?;
        let found = failing.ask().await;
        let (hits, gaps) = (failing.hits(), failing.gaps());
        proof.holds(
            hits == ATTEMPTS && found.outcome == Outcome::Fail,
            format!("a server that answers 500 was asked {hits} times of {ATTEMPTS}, and that is a failure"),
        );
        let wanted = [FIRST, CAP, CAP, CAP];
        let late_enough =
            gaps.len() == wanted.len() && gaps.iter().zip(wanted).all(|(gap, least)| *gap >= least);
        proof.holds(late_enough, format!("waits of {}, at least {}", millis(&gaps), millis(&wanted)));
        let capped = gaps.last().is_some_and(|last| *last < UNCAPPED);
        proof
            .holds(capped, format!("the last wait is capped: without a cap it were {}", millis(&[UNCAPPED])));
        let mending = Stage::new(Manner::Mending(2), &policy, ground.clock()).await?;
        let found = mending.ask().await;
        proof.holds(
            found.outcome == Outcome::Pass && mending.hits() == 3,
            format!(
                "one that mends was asked {} times, to the first good answer: {}",
                mending.hits(),
                found.summary
            ),
        );
        Ok(proof.judge("as many attempts, as far apart as the policy says").seen(SHORTENED))
    };
    settle(exercise.await)
}

/// `mistakes` are statuses that must not be tried again; a test puts another among them.
pub async fn only_what_may_pass(ground: &Ground, mistakes: [u16; 3]) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let policy = json!({ "attempts": 3, "backoff": "5ms..10ms", "breaker": { "failures": NEVER } });
        for status in mistakes {
            let stage = Stage::new(Manner::Answering(status), &policy, ground.clock()).await?;
            let found = stage.ask().await;
            let once = stage.hits() == 1 && found.outcome == Outcome::Fail;
            proof.holds(once, format!("{status} was asked {} times: it does not go away", stage.hits()));
        }
        for status in [503, 429] {
            let stage = Stage::new(Manner::Answering(status), &policy, ground.clock()).await?;
            stage.ask().await;
            proof.holds(stage.hits() == 3, format!("{status} was asked {} times of 3", stage.hits()));
        }
        Ok(proof.judge("only what may pass is tried again").seen(SHORTENED))
    };
    settle(exercise.await)
}

/// The server says to come again after `seconds`; a test lets it say nothing of the kind.
pub async fn when_told(ground: &Ground, seconds: u32) -> Found {
    undisturbed(|| when_told_once(ground, seconds)).await
}

async fn when_told_once(ground: &Ground, seconds: u32) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let policy = json!({ "attempts": 2, "backoff": "20ms..20ms", "jitter": 0.0, "breaker": { "failures": NEVER } });
        let overrun = Stage::new(Manner::Overrun(seconds), &policy, ground.clock()).await?;
        let passed = overrun.passes().await;
        let gaps = overrun.gaps();
        let asked_for = Duration::from_secs(ASKED_FOR.into());
        proof.holds(
            passed && gaps.len() == 1 && gaps[0] >= asked_for,
            format!("503 with `retry-after: {ASKED_FOR}` was asked again after {}", millis(&gaps)),
        );
        let silent = Stage::new(Manner::Mending(1), &policy, ground.clock()).await?;
        let passed = silent.passes().await;
        let gaps = silent.gaps();
        proof.holds(
            passed && gaps.len() == 1 && gaps[0] >= SOON && gaps[0] < asked_for,
            format!("500 that asks for nothing was asked again after {}", millis(&gaps)),
        );
        let mut hurried = policy;
        hurried["timeout"] = json!("400ms");
        hurried["deadline"] = json!("500ms");
        let overrun = Stage::new(Manner::Overrun(seconds), &hurried, ground.clock()).await?;
        let found = overrun.ask().await;
        proof.holds(
            overrun.hits() == 1 && found.outcome == Outcome::Fail,
            format!(
                "with a deadline of 500 ms it was asked {} times: that time is not there",
                overrun.hits()
            ),
        );
        Ok(proof.judge("whoever says when to come again is asked then, within the deadline").seen(SHORTENED))
    };
    settle(exercise.await)
}

pub async fn told(ground: &Ground) -> Found {
    when_told(ground, ASKED_FOR).await
}

pub async fn of_mistakes(ground: &Ground) -> Found {
    only_what_may_pass(ground, [404, 401, 501]).await
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "EH-001",
        at_work: || {
            let with = |key: &str, value: Value| {
                let mut policy = configured();
                policy[key] = value;
                policy
            };
            let broken = [
                ("one attempt too few", with("attempts", json!(4))),
                ("one attempt too many", with("attempts", json!(6))),
                ("waits that are too short", with("backoff", json!("10ms..100ms"))),
                ("waits without a cap", with("backoff", json!("50ms..10s"))),
                ("waits that do not grow", with("growth", json!("fixed"))),
                ("jitter that takes all of a wait", with("jitter", json!(1.0))),
            ];
            tried(as_configured, configured(), broken).boxed()
        },
    },
    Saboteur {
        of: "EH-002",
        at_work: || {
            let broken = [("a retry of what goes away, among what does not", [404, 503, 501])];
            tried(only_what_may_pass, [404, 401, 501], broken).boxed()
        },
    },
    Saboteur {
        of: "EH-003",
        at_work: || tried(when_told, ASKED_FOR, [("a wish to be left alone that nobody reads", 0)]).boxed(),
    },
];
