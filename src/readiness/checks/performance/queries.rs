//! Real reads through the pool, timed.
use super::figure::{Figure, Limit};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried, scratch_ground};
use crate::{readiness::Found, store::Store};
#[cfg(test)]
use futures_util::FutureExt;
use tokio::time::Instant;

/// More than of other figures: a neighbour's burst may take several.
const ROUNDS: usize = 15;

/// How many reads a round, how many at a time, and how many milliseconds they may take.
#[derive(Clone, Copy)]
pub struct Round {
    pub count: usize,
    pub concurrent: usize,
    pub limit: f64,
}

pub const TEN: Round = Round { count: 10, concurrent: 1, limit: 100.0 };
pub const FIVE_AT_ONCE: Round = Round { count: 5, concurrent: 5, limit: 200.0 };

pub async fn timed(store: &Store, round: Round) -> Found {
    let Round { count, concurrent, limit } = round;
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        match store.time_queries(count, concurrent).await {
            // A round with fewer answers than asked for is not a round.
            Ok(times) if times.len() == count => samples.push(started.elapsed().as_secs_f64() * 1e3),
            Ok(times) => return Found::error(format!("{} of {count} queries were timed", times.len())),
            Err(error) => return Found::error(error.to_string()),
        }
    }
    let what = format!("{count} queries, {concurrent} at a time");
    Limit { what: &what, unit: "ms", below: limit, figure: Figure::Median }.judge_and_doubt(&samples)
}

/// A store that is asked so much by others that each query waits for this long.
#[cfg(test)]
async fn besieged(round: Round, wait_ms: f64) -> Tried {
    let (_base, ground) = scratch_ground();
    let plot = ground.plot().expect("a plot");
    let patient = crate::domain::Period::secs(60);
    let settings = crate::config::StoreSettings {
        readers_min: 1,
        readers_max: 1,
        checkout_timeout: patient,
        ..Default::default()
    };
    let store = ground.store(&plot, &settings).await.expect("a store");
    let sound = timed(&store, round).await;
    // More and more, until somebody who asks among them waits for long enough, whatever this machine can do.
    let mut others = tokio::task::JoinSet::new();
    let mut besiege = || {
        for _ in 0..100 {
            let store = store.clone();
            others.spawn(async move { while store.time_queries(1, 1).await.is_ok() {} });
        }
    };
    let waits =
        async || Figure::Median.read(&store.time_queries(3, 1).await.expect("timed")).expect("samples");
    while waits().await.value < wait_ms {
        besiege();
    }
    let mut broken = timed(&store, round).await;
    // On a busy machine the wait differs so much that the samples may not tell.
    for _ in 0..5 {
        if broken.outcome == crate::domain::Outcome::Fail {
            break;
        }
        besiege();
        broken = timed(&store, round).await;
    }
    others.shutdown().await;
    store.close().await;
    Tried { sound: vec![sound], broken: vec![("a store that serves too many others", broken)] }
}

#[cfg(test)]
pub const SABOTEUR_OF_TEN: Saboteur =
    Saboteur { of: "PF-001", at_work: || besieged(TEN, 4.0 * TEN.limit / TEN.count as f64).boxed() };

#[cfg(test)]
pub const SABOTEUR_OF_FIVE: Saboteur =
    Saboteur { of: "PF-002", at_work: || besieged(FIVE_AT_ONCE, 3.0 * FIVE_AT_ONCE.limit).boxed() };
