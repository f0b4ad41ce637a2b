//! What a breaker knows outlives the daemon: it is read back from the store, and nobody is called meanwhile.
use super::stage::{NAME, server, settings};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::StoreSettings,
    domain::Fault,
    health::{keep_breakers, restore_breakers, terms},
    readiness::{Found, Ground, Proof, check::settle, faults::Manner},
    resilience::{Deadline, Failing, Failure, Phase, Policies, Policy, Tripped},
    store::Store,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(5);
const HELD: &str = "held";

/// What is done for it; a test leaves one out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Does {
    /// Writes each change.
    pub keeps: bool,
    /// Reads them before the first call.
    pub restores: bool,
}

impl Does {
    pub const ALL: Self = Self { keeps: true, restores: true };
}

pub async fn over_a_restart(ground: &Ground, does: Does) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let plot = ground.plot()?;
        let failing = server(Manner::Failing).await?;
        let store = ground.store(&plot, &StoreSettings::default()).await?;
        let policies = live(ground, &store, does).await?;
        let closing = CancellationToken::new();
        let keeper =
            does.keeps.then(|| tokio::spawn(keep_breakers(policies.clone(), store.clone(), closing.clone())));
        let policy = get(&policies, NAME)?;
        for _ in 0..2 {
            let _ = policy.once(Deadline::far(), ask(&failing.address)).await;
        }
        let opened = policy.breaker().view();
        proof.holds(opened.phase == Phase::Open, "two failures opened one breaker");
        let by_hand = Tripped { by: "user:0".into(), reason: "moved".into() };
        get(&policies, HELD)?.breaker().trip(by_hand.clone(), ground.clock().now());
        proof.holds(true, "another was tripped by hand");
        closing.cancel();
        if let Some(keeper) = keeper {
            let _ = tokio::time::timeout(PATIENCE, keeper).await;
        }
        store.close().await;

        // Another daemon, over the same file.
        let store = ground.store(&plot, &StoreSettings::default()).await?;
        let policies = live(ground, &store, does).await?;
        let before = failing.hits().len();
        let policy = get(&policies, NAME)?;
        let refused = policy.once(Deadline::far(), ask(&failing.address)).await.is_err();
        let asked = failing.hits().len() - before;
        proof.holds(
            refused && asked == 0,
            format!("after the store was opened again, it called the server {asked} times"),
        );
        let view = policy.breaker().view();
        // It was open for an hour, less the moment that this took.
        let left = view.again_in.unwrap_or_default();
        proof.holds(
            view.since == opened.since
                && left > Duration::from_secs(3500)
                && left <= Duration::from_secs(3600),
            format!("it is open since the same moment, for another {} s of 3600", left.as_secs()),
        );
        let held = get(&policies, HELD)?.breaker().view();
        proof.holds(
            held.tripped == Some(by_hand),
            "the one that was tripped by hand is held, by whom and why",
        );
        get(&policies, HELD)?.breaker().reset(ground.clock().now());
        let passes = get(&policies, HELD)?.breaker().admit().is_ok();
        proof.holds(passes, "and lets calls through once it is reset");
        store.close().await;
        Ok(proof.judge("open breakers were open after the restart"))
    };
    settle(exercise.await)
}

async fn live(ground: &Ground, store: &Store, does: Does) -> Result<Policies, Fault> {
    let policies = Policies::new(ground.clock());
    if does.restores {
        restore_breakers(&policies, store).await?;
    }
    let policy = json!({ "breaker": { "failures": 2, "open_for": "1h" } });
    let terms = terms(&settings(&policy)?.policy(NAME, None));
    policies.apply(BTreeMap::from([(Arc::from(NAME), terms), (Arc::from(HELD), terms)]));
    Ok(policies)
}

fn get(policies: &Policies, name: &str) -> Result<Policy, Fault> {
    policies.get(name).ok_or_else(|| Fault::internal(format!("cannot find the scratch policy {name}")))
}

/// One request, by hand; whoever does not answer 200 has failed.
async fn ask(address: &std::net::SocketAddr) -> Result<(), Down> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: proof\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(1 << 16).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match asked.await {
        Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => Ok(()),
        _ => Err(Down),
    }
}

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no good answer")
    }
}

impl Failure for Down {
    fn failing(&self) -> Failing {
        Failing::Transient { after: None }
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "EH-008",
    at_work: || {
        let broken = [
            ("changes that nobody writes down", Does { keeps: false, ..Does::ALL }),
            ("a start that reads nothing", Does { restores: false, ..Does::ALL }),
        ];
        tried(over_a_restart, Does::ALL, broken).boxed()
    },
};
