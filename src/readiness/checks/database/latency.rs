//! How long queries wait and take: as the live histograms have it, and in a burst of its own.
#[cfg(test)]
use crate::{
    config::StoreSettings,
    readiness::checks::{Saboteur, tried},
    store::Flaw,
};
use crate::{
    domain::StoreStats,
    readiness::{Found, Proof},
    store::Store,
};
#[cfg(test)]
use futures_util::FutureExt;

/// The 95th percentile must be below.
const LIMIT_MS: f64 = 100.0;
const ROUNDS: usize = 9;
/// Of the rounds so many on either side are left out: a neighbour's burst.
const STRAYS: usize = 2;
const QUERIES: usize = 20;
const AT_ONCE: usize = 10;
/// Of fewer queries the live histograms tell a moment, and not a habit: this validation itself may be that moment. The
/// burst decides then.
const HABIT: u64 = 1_000;

pub async fn measured(store: &Store) -> Found {
    // Before the burst, which is in them too afterwards.
    let live = store.stats();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        match store.time_queries(QUERIES, AT_ONCE).await {
            Ok(times) => rounds.push(p95(times)),
            Err(error) => return Found::error(error.to_string()),
        }
    }
    judge(&live, &rounds)
}

/// The largest but one of twenty; none unless every query was timed.
fn p95(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    let whole = times.len() == QUERIES && times.iter().all(|time| time.is_finite());
    whole.then(|| times.get((QUERIES * 95).div_ceil(100) - 1).copied()).flatten()
}

fn judge(live: &StoreStats, rounds: &[Option<f64>]) -> Found {
    let Some(rounds) = rounds.iter().copied().collect::<Option<Vec<f64>>>().filter(|all| !all.is_empty())
    else {
        return Found::error("nothing was measured: queries of the burst are missing");
    };
    let mut sorted = rounds.clone();
    sorted.sort_by(f64::total_cmp);
    let strays = STRAYS.min((sorted.len() - 1) / 2);
    let (low, high) = (sorted[strays], sorted[sorted.len() - 1 - strays]);
    let burst = format!(
        "{} rounds of {QUERIES} queries, {AT_ONCE} at a time: 95th percentiles from {:.2} to {:.2} ms, from \
         {low:.2} to {high:.2} ms without the {strays} at either end",
        sorted.len(),
        sorted[0],
        sorted[sorted.len() - 1]
    );
    let mut proof = Proof::default();
    let mut told = Vec::new();
    for (what, seen) in [("queries", &live.query), ("waits for a reader", &live.wait)] {
        let line = format!(
            "{what}, {} since the daemon started: median {:.2}, 95th percentile {:.2}, longest {:.2} ms, limit \
             {LIMIT_MS} ms",
            seen.count, seen.p50, seen.p95, seen.max
        );
        if seen.count >= HABIT {
            proof.holds(seen.p95 < LIMIT_MS, line);
        } else {
            told.push(format!("not judged, of fewer than {HABIT}: {line}"));
        }
    }
    if low < LIMIT_MS && high >= LIMIT_MS {
        return Found::error(format!(
            "{burst}: they straddle the limit of {LIMIT_MS} ms, so nothing is decided"
        ));
    }
    proof.holds(high < LIMIT_MS, burst);
    proof
        .judge(format!("the 95th percentile of {} bursts of {QUERIES} queries is {high:.2} ms", sorted.len()))
        .all_seen(told)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-007",
    at_work: || {
        async fn exercise(ground: &crate::readiness::Ground, flaw: Option<Flaw>) -> Found {
            let (_plot, store) = super::opened(ground, &StoreSettings::default(), flaw);
            let found = measured(&store).await;
            store.close().await;
            found
        }
        tried(exercise, None, [("readers that take 120 ms more", Some(Flaw::SlowReaders))]).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Outcome, Percentiles};

    #[test]
    fn no_sample_is_no_pass_and_what_straddles_is_no_coin_toss() {
        let seen = |count, p95| Percentiles { count, p95, ..Percentiles::default() };
        let live = |query, wait| StoreStats { wait, query, ..StoreStats::default() };
        let fast = live(seen(9, 1.0), seen(9, 1.0));
        let some = |rounds: &[f64]| rounds.iter().copied().map(Some).collect::<Vec<_>>();
        let table = [
            (fast.clone(), some(&[1.0, 2.0]), Outcome::Pass),
            (fast.clone(), vec![], Outcome::Error),
            (fast.clone(), vec![Some(1.0), None], Outcome::Error),
            (fast.clone(), some(&[99.0, 101.0]), Outcome::Error),
            (fast, some(&[100.0, 120.0]), Outcome::Fail),
            (live(seen(9_000, 100.0), seen(9, 1.0)), some(&[1.0]), Outcome::Fail),
            (live(seen(9, 1.0), seen(9_000, 250.0)), some(&[1.0]), Outcome::Fail),
            (live(seen(9, 1.0), seen(9, 250.0)), some(&[1.0]), Outcome::Pass),
            (live(seen(0, 0.0), seen(0, 0.0)), some(&[1.0]), Outcome::Pass),
            (live(seen(9, 250.0), seen(9, 1.0)), some(&[200.0]), Outcome::Fail),
            (live(seen(9, 1.0), seen(9, 1.0)), some(&[1.0, 1.0, 1.0, 2.0, 500.0]), Outcome::Pass),
        ];
        for (live, rounds, outcome) in table {
            assert_eq!(judge(&live, &rounds).outcome, outcome, "{live:?} {rounds:?}");
        }
        assert_eq!(p95(vec![1.0; QUERIES - 1]), None, "a query is missing");
        assert_eq!(p95((0..20).map(f64::from).collect()), Some(18.0));
    }
}
