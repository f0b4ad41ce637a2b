//! What bounds a call: its deadline, whatever hangs; the budget of retries, whatever fails; and the places there are.
use super::stage::{NEVER, SHORTENED, Stage};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Outcome,
    readiness::{Found, Ground, Proof, check::settle, faults::Manner, proof::poll, undisturbed::undisturbed},
    resilience::Deadline,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const WHOLE: Duration = Duration::from_millis(400);
/// A busy machine is late; a call that is not cut is far later.
const SLACK: Duration = Duration::from_millis(900);
const CALLS: usize = 200;
/// A fifth of them.
const RETRIES: usize = 40;

/// Nine attempts of 150 ms, and 400 ms for all of them.
pub fn hurried() -> Value {
    json!({
        "attempts": 9, "backoff": "10ms..10ms", "jitter": 0.0, "timeout": "150ms", "deadline": "400ms",
        "breaker": { "failures": NEVER },
    })
}

pub async fn cut(ground: &Ground, policy: Value) -> Found {
    undisturbed(|| cut_once(ground, policy.clone())).await
}

async fn cut_once(ground: &Ground, policy: Value) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let hanging = Stage::new(Manner::Silent, &policy, ground.clock()).await?;
        let began = Instant::now();
        let found = hanging.ask().await;
        let took = began.elapsed();
        proof.holds(
            took < WHOLE + SLACK && found.outcome == Outcome::Timeout,
            format!(
                "a server that never answers held the call for {} ms of 400: {}",
                took.as_millis(),
                found.summary
            ),
        );
        let hits = hanging.hits();
        proof.holds(
            (2..=3).contains(&hits),
            format!("it was tried {hits} times within that, 150 ms each, and not 9"),
        );
        let sound = Stage::new(Manner::Healthy, &policy, ground.clock()).await?;
        proof.holds(sound.passes().await, "one that answers is served on the same terms");
        Ok(proof.judge("what hangs was cut at the deadline, all attempts included").seen(SHORTENED))
    };
    settle(exercise.await)
}

pub fn thrifty() -> Value {
    json!({
        "attempts": 3, "backoff": "1ms..2ms", "timeout": "5s", "retry_budget": 0.2,
        "concurrency": 40, "queue": CALLS, "breaker": { "failures": NEVER },
    })
}

pub async fn budgeted(ground: &Ground, policy: Value) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let failing = Stage::new(Manner::Failing, &policy, ground.clock()).await?;
        let found = failing.asked_by(CALLS).await;
        let failed = found.iter().filter(|found| found.outcome == Outcome::Fail).count();
        proof.holds(failed == CALLS, format!("{failed} of {CALLS} calls failed, as they had to"));
        let retries = failing.hits().saturating_sub(CALLS);
        proof.holds(
            (1..=RETRIES).contains(&retries),
            format!("{retries} retries for {CALLS} calls, at most {RETRIES} (server's count)"),
        );
        Ok(proof.judge("retries stayed within a fifth of the calls").seen(SHORTENED))
    };
    settle(exercise.await)
}

/// Two places, and one to wait in.
pub fn narrow() -> Value {
    json!({
        "attempts": 1, "timeout": "400ms", "deadline": "4s", "concurrency": 2, "queue": 1, "breaker": { "failures": NEVER },
    })
}

pub async fn walled(ground: &Ground, policy: Value) -> Found {
    undisturbed(|| walled_once(ground, policy.clone())).await
}

async fn walled_once(ground: &Ground, policy: Value) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let stage = Stage::new(Manner::Silent, &policy, ground.clock()).await?;
        let found = stage.asked_by(5).await;
        let refused = found.iter().filter(|found| found.outcome == Outcome::Error).count();
        proof.holds(
            refused == 2,
            format!("of 5 at once {refused} were refused, want 2: two are called and one waits"),
        );
        let (hits, at_once) = (stage.hits(), stage.server.most_open());
        proof.holds(
            hits == 3 && at_once == 2,
            format!("the server was asked {hits} times, and {at_once} at the same time, want 3 and 2"),
        );
        let policy = stage.policy.clone();
        let panics = async { std::panic::resume_unwind(Box::new("on purpose")) };
        let panicked = tokio::spawn(async move {
            let _ = policy.once::<(), Never, _>(Deadline::far(), panics).await;
        });
        let panicked = panicked.await.is_err();
        let free = poll(SLACK, || (stage.policy.held() == (0, 0)).then_some(())).await.is_some();
        proof.holds(
            panicked && free,
            format!("{} places are held after failures and a panic", stage.policy.held().0),
        );
        stage.server.behave(Manner::Healthy);
        let found = stage.asked_by(3).await;
        let served = found.iter().filter(|found| found.outcome == Outcome::Pass).count();
        proof.holds(served == 3, format!("{served} of 3 were served in them afterwards"));
        Ok(proof.judge("the one too many was refused, and every place came back").seen(SHORTENED))
    };
    settle(exercise.await)
}

/// The error of a call that has none.
#[derive(Debug)]
enum Never {}

impl std::fmt::Display for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl crate::resilience::Failure for Never {
    fn failing(&self) -> crate::resilience::Failing {
        match *self {}
    }
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "EH-004",
        at_work: || {
            let with = |key: &str, value: Value| {
                let mut policy = hurried();
                policy[key] = value;
                policy
            };
            let broken = [
                ("a deadline that is not kept", with("deadline", json!("3s"))),
                ("an attempt that is not cut", with("timeout", json!("400ms"))),
            ];
            tried(cut, hurried(), broken).boxed()
        },
    },
    Saboteur {
        of: "EH-005",
        at_work: || {
            let with = |share: f64| {
                let mut policy = thrifty();
                policy["retry_budget"] = json!(share);
                policy
            };
            let broken = [("a budget of everything", with(1.0)), ("a budget of nothing", with(0.0))];
            tried(budgeted, thrifty(), broken).boxed()
        },
    },
    Saboteur {
        of: "EH-009",
        at_work: || {
            let with = |key: &str, value: u32| {
                let mut policy = narrow();
                policy[key] = json!(value);
                policy
            };
            let broken =
                [("a place too many", with("concurrency", 3)), ("a queue without an end", with("queue", 9))];
            tried(walled, narrow(), broken).boxed()
        },
    },
];
