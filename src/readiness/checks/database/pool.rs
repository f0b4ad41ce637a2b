//! The edge of the pool: one query more than it has readers, and readers that come to grief.
use super::{Exercise, on_scratch};
use crate::{
    config::StoreSettings,
    domain::Period,
    readiness::{Evidence, Found, Proof},
    store::PoolFacts,
};
#[cfg(test)]
use crate::{readiness::checks::Saboteur, store::Flaw};
use futures_util::FutureExt;
use std::time::Duration;

/// A scratch pool may be this impatient, so that proving exhaustion does not take the real checkout timeout.
const PATIENCE: Duration = Duration::from_millis(500);

/// Opening many readers takes longer than the proof; the edge of a pool is the same whatever its size.
const SIZE: u32 = 8;

/// How much later than a plain timer of the same patience a refusal may come: a tenth of it, and what a thread may
/// wait for its turn on a busy machine.
const LATE_MS: f64 = 75.0;

pub async fn edge(evidence: &Evidence) -> Found {
    let real = &evidence.settings.store;
    let patience = real.checkout_timeout.0.min(PATIENCE);
    let size = real.readers_max.min(SIZE);
    // All are open from the start: what is proved is the edge of the pool, not how fast it grows.
    let settings = StoreSettings {
        checkout_timeout: Period(patience),
        readers_min: size,
        readers_max: size,
        ..real.clone()
    };
    let remark = format!(
        "a scratch pool of {size} readers, the real one has up to {}; a query waits {} ms there, {} ms in the real one",
        real.readers_max,
        patience.as_millis(),
        real.checkout_timeout.0.as_millis()
    );
    on_scratch(&evidence.ground, &settings, FULL).await.seen(remark)
}

const FULL: Exercise = |store| async move { Ok(judge_pool(&store.prove_pool_exhaustion().await?)) }.boxed();

fn judge_pool(facts: &PoolFacts) -> Found {
    if !facts.all_held {
        return Found::error(format!(
            "the pool of {} could not be filled, so its edge was not met",
            facts.readers_max
        ));
    }
    let mut proof = Proof::default();
    let (after, timer) = (facts.refused_after_ms, facts.timer_ms);
    let late = facts.patience_ms / 10.0 + LATE_MS;
    match &facts.refusal {
        Some(said) => proof.holds(
            after >= facts.patience_ms * 0.9 && after <= timer + late,
            format!(
                "query {} was refused after {after:.0} ms, a plain timer of {:.0} ms took {timer:.0} ms: {said}",
                facts.readers_max + 1,
                facts.patience_ms
            ),
        ),
        None => proof.holds(
            false,
            format!("query {} was served, though every reader was held", facts.readers_max + 1),
        ),
    };
    match facts.recovered_after_ms {
        Some(ms) => proof.holds(
            ms <= facts.patience_ms,
            format!("it answered again {ms:.1} ms after the readers were let go"),
        ),
        None => proof.holds(false, "it did not answer again after the readers were let go"),
    };
    let whole = |yes: bool| if yes { "all readers are there again" } else { "readers are missing" };
    proof.holds(
        facts.whole_after_failures,
        format!("after {} failing queries {}", facts.readers_max, whole(facts.whole_after_failures)),
    );
    proof.holds(
        facts.whole_after_panics,
        format!("after {} panicking queries {}", facts.readers_max, whole(facts.whole_after_panics)),
    );
    proof.holds(
        facts.fresh_after_transactions,
        format!(
            "a reader whose query left a transaction open {}",
            if facts.fresh_after_transactions { "served no other query" } else { "came back with it" }
        ),
    );
    proof.judge("a full pool refused in time and lost no reader to failures or panics")
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-004",
    at_work: || {
        let settings = StoreSettings {
            readers_min: 3,
            readers_max: 3,
            checkout_timeout: Period::millis(300),
            ..StoreSettings::default()
        };
        let flaws = [("a pool that loses a reader at each failure", Flaw::LosesReaders)];
        super::on_flawed(settings, FULL, flaws).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_pool_that_leaks_hangs_or_serves_beyond_its_size_is_found() {
        let sound = PoolFacts {
            readers_max: 50,
            patience_ms: 400.0,
            all_held: true,
            refusal: Some("cannot read: no reader free".into()),
            refused_after_ms: 402.0,
            timer_ms: 401.0,
            recovered_after_ms: Some(0.4),
            whole_after_failures: true,
            whole_after_panics: true,
            fresh_after_transactions: true,
        };
        let judge = |change: fn(&mut PoolFacts)| {
            let mut facts = sound.clone();
            change(&mut facts);
            judge_pool(&facts).outcome
        };
        assert_eq!(judge(|_| {}), Outcome::Pass);
        assert_eq!(judge(|f| f.fresh_after_transactions = false), Outcome::Fail);
        assert_eq!(
            judge(|f| (f.timer_ms, f.refused_after_ms) = (900.0, 930.0)),
            Outcome::Pass,
            "a busy machine"
        );
        assert_eq!(judge(|f| f.all_held = false), Outcome::Error);
        assert_eq!(judge(|f| f.refusal = None), Outcome::Fail);
        assert_eq!(judge(|f| f.refused_after_ms = 600.0), Outcome::Fail, "half as much again as it may wait");
        assert_eq!(judge(|f| f.refused_after_ms = 20.0), Outcome::Fail, "it did not wait");
        assert_eq!(judge(|f| f.recovered_after_ms = None), Outcome::Fail);
        assert_eq!(judge(|f| f.recovered_after_ms = Some(500.0)), Outcome::Fail);
        assert_eq!(judge(|f| f.whole_after_failures = false), Outcome::Fail);
        assert_eq!(judge(|f| f.whole_after_panics = false), Outcome::Fail);
    }
}
