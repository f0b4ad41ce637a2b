//! Database: what the store promises, asked of a scratch store opened as the daemon's own is; and the daemon's own file.
use crate::{
    config::StoreSettings,
    domain::{Category, Fault, Period, Severity},
    readiness::{Check, Evidence, Found, Proof},
    store::{ConstraintFacts, DurabilityFacts, IntegrityFacts, PoolFacts, RollbackFacts, Store},
};
use futures_util::{FutureExt, future::BoxFuture};
use std::time::Duration;

/// A scratch pool may be this impatient, so that proving exhaustion does not take the real checkout timeout.
const PATIENCE: Duration = Duration::from_millis(800);

/// Opening many readers takes longer than the proof; the edge of a pool is the same whatever its size.
const SIZE: u32 = 8;

pub const CHECKS: &[Check] = &[
    Check {
        id: "DB-001",
        title: "a failed write is undone, and no other with it",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "writes share a commit; if one that fails or panics is not undone, or takes others with it, state is wrong",
        how: "four writes are handed to a scratch store together; one fails after writing, one panics; a reader must find the other two rows and no more",
        fix: "do not run this build: its writer loses or keeps the wrong rows; `agentctl version`, then report it",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| rollback(evidence).boxed(),
    },
    Check {
        id: "DB-002",
        title: "constraints refuse what they forbid",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 2,
        why: "a reference to nothing or a state that does not exist is found years later, by somebody else",
        how: "rows that break a key, a reference, a check, a type are tried on a scratch store and must be refused; one sound row must be taken",
        fix: "foreign keys or a constraint are off: restore the file from a backup made by this version",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| constraints(evidence).boxed(),
    },
    Check {
        id: "DB-003",
        title: "durability settings are in force on every connection",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "with synchronous below FULL a commit that was acknowledged can be lost with the power",
        how: "the daemon's own writer and every open reader are asked: WAL, synchronous FULL, foreign keys, readers that refuse to write, SQLite 3.51.3 or newer",
        fix: "stop whatever else opens the database file, then `agentctl daemon stop` and start again",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| durability(evidence).boxed(),
    },
    Check {
        id: "DB-004",
        title: "a full pool refuses in time and recovers",
        category: Category::Database,
        severity: Severity::Blocker,
        weight: 3,
        why: "a pool that leaks a connection at each failed query is dead after as many failures as it has connections",
        how: "all readers of a scratch pool of at most 8 are held, one more query must be refused in time; then as many queries fail, and as many panic, as there are readers, and all readers must be there again",
        fix: "raise store.readers_max, or look for what holds readers: `agentctl status` shows the pool",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| exhaustion(evidence).boxed(),
    },
    Check {
        id: "DB-005",
        title: "the database file is whole",
        category: Category::Database,
        severity: Severity::Major,
        weight: 2,
        why: "damage spreads into every backup that is made of it",
        how: "SQLite reads the daemon's own file from end to end and looks for references to nothing",
        fix: "stop the daemon and restore the newest file under backups/ in the state directory",
        exercised: false,
        deadline: None,
        quiet: false,
        run: |evidence| integrity(evidence).boxed(),
    },
];

async fn rollback(evidence: &Evidence) -> Found {
    on_scratch(evidence, evidence.settings.store.clone(), |store| {
        async move { Ok(judge_rollback(&store.prove_rollback().await?)) }.boxed()
    })
    .await
}

fn judge_rollback(facts: &RollbackFacts) -> Found {
    let mut proof = Proof::default();
    let kept = |step: &str| facts.kept.iter().any(|kept| kept == step);
    let told = |step: &str| facts.refused.iter().any(|refused| refused == step);
    for step in ["failed", "panicked"] {
        proof.holds(
            !kept(step),
            format!(
                "the row of the write that {step} is {}",
                if kept(step) { "still there" } else { "gone" }
            ),
        );
        proof.holds(
            told(step),
            format!(
                "the caller of the write that {step} was {}",
                if told(step) { "told" } else { "told that all is well" }
            ),
        );
    }
    for step in ["before", "after"] {
        let well = kept(step) && !told(step);
        proof.holds(well, format!("the write {step} them is {}", if well { "kept" } else { "lost" }));
    }
    proof
        .judge("a failing and a panicking write were undone, their neighbours kept")
        .seen(format!("the four writes shared {} transaction(s) of a scratch store", facts.transactions))
}

async fn constraints(evidence: &Evidence) -> Found {
    on_scratch(evidence, evidence.settings.store.clone(), |store| {
        async move { Ok(judge_constraints(&store.prove_constraints().await?)) }.boxed()
    })
    .await
}

fn judge_constraints(facts: &[ConstraintFacts]) -> Found {
    if !facts.iter().any(|f| f.must_be_refused) || facts.iter().all(|f| f.must_be_refused) {
        return Found::error("it needs a row to be refused and one to be taken, and did not get both");
    }
    let mut proof = Proof::default();
    for fact in facts {
        let answer = if fact.answer.is_empty() { "it was taken" } else { &fact.answer };
        proof.holds(fact.refused == fact.must_be_refused, format!("{}: {answer}", fact.attempt));
    }
    proof.judge(format!("{} forbidden rows were refused, a sound one taken", facts.len() - 1))
}

async fn durability(evidence: &Evidence) -> Found {
    match evidence.store.prove_durability_settings().await {
        Ok(facts) => judge_durability(&facts),
        Err(error) => Found::error(error.to_string()),
    }
}

fn judge_durability(facts: &DurabilityFacts) -> Found {
    if facts.connections.len() < 2 {
        return Found::error("there was no writer and reader to ask");
    }
    let mut proof = Proof::default();
    for (index, c) in facts.connections.iter().enumerate() {
        let writer = index == 0;
        let sound = c.journal_mode.eq_ignore_ascii_case("wal")
            && c.synchronous >= 2
            && c.foreign_keys
            && c.busy_timeout_ms > 0
            && (writer || c.query_only);
        proof.holds(
            sound,
            format!(
                "{}: journal {}, synchronous {} (2 is FULL), foreign keys {}, busy timeout {} ms, {}",
                c.who,
                c.journal_mode,
                c.synchronous,
                if c.foreign_keys { "on" } else { "off" },
                c.busy_timeout_ms,
                if c.query_only { "refuses to write" } else { "may write" }
            ),
        );
    }
    let new_enough = at_least(&facts.sqlite_version, [3, 51, 3]);
    proof.holds(new_enough, format!("SQLite {}, 3.51.3 or newer is needed", facts.sqlite_version));
    proof.judge(format!("all {} open connections are durable", facts.connections.len()))
}

fn at_least(version: &str, wanted: [u32; 3]) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.as_slice() >= &wanted[..])
}

async fn exhaustion(evidence: &Evidence) -> Found {
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
    on_scratch(evidence, settings, |store| {
        async move { Ok(judge_pool(&store.prove_pool_exhaustion().await?)) }.boxed()
    })
    .await
    .seen(remark)
}

fn judge_pool(facts: &PoolFacts) -> Found {
    if !facts.all_held {
        return Found::error(format!(
            "the pool of {} could not be filled, so its edge was not met",
            facts.readers_max
        ));
    }
    let mut proof = Proof::default();
    let slack = facts.patience_ms * 2.0 + 1000.0;
    let (after, limit) = (facts.refused_after_ms, slack);
    match &facts.refusal {
        Some(said) => proof.holds(
            after <= limit,
            format!("query {} was refused after {after:.0} ms: {said}", facts.readers_max + 1),
        ),
        None => proof.holds(
            false,
            format!("query {} was served, though every reader was held", facts.readers_max + 1),
        ),
    };
    match facts.recovered_after_ms {
        Some(ms) => {
            proof.holds(ms <= slack, format!("it answered again {ms:.1} ms after the readers were let go"))
        }
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
    proof.judge("a full pool refused in time and lost no reader to failures or panics")
}

async fn integrity(evidence: &Evidence) -> Found {
    match evidence.store.integrity().await {
        Ok(facts) => {
            judge_integrity(&facts).seen(format!("{} bytes read", evidence.store.stats().file_bytes))
        }
        Err(error) => Found::error(error.to_string()),
    }
}

fn judge_integrity(facts: &IntegrityFacts) -> Found {
    match (facts.damage.len(), facts.dangling) {
        (0, 0) => Found::pass("no damage, and no reference to nothing"),
        (0, rows) => Found::fail(format!("{rows} rows refer to nothing")),
        (lines, _) => Found::fail(format!("SQLite complains of {lines} things"))
            .all_seen(facts.damage.iter().take(20).cloned()),
    }
}

async fn on_scratch(
    evidence: &Evidence,
    settings: StoreSettings,
    exercise: impl FnOnce(Store) -> BoxFuture<'static, Result<Found, Fault>> + Send,
) -> Found {
    let scratch = async {
        let plot = evidence.ground.plot()?;
        let store = evidence.ground.store(&plot, &settings).await?;
        let found = exercise(store.clone()).await;
        store.close().await;
        found
    };
    scratch.await.unwrap_or_else(|fault| Found::error(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, readiness::Ground, resilience::Clock, store::ConnectionFacts};

    #[tokio::test]
    async fn a_sound_store_proves_itself() {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        let plot = ground.plot().expect("a plot");
        let settings = StoreSettings {
            readers_min: 1,
            readers_max: 3,
            checkout_timeout: Period::millis(150),
            ..StoreSettings::default()
        };
        let store = ground.store(&plot, &settings).await.expect("a store");
        let found = [
            judge_rollback(&store.prove_rollback().await.expect("facts")),
            judge_constraints(&store.prove_constraints().await.expect("facts")),
            judge_durability(&store.prove_durability_settings().await.expect("facts")),
            judge_pool(&store.prove_pool_exhaustion().await.expect("facts")),
            judge_integrity(&store.integrity().await.expect("facts")),
        ];
        for one in found {
            assert_eq!(one.outcome, Outcome::Pass, "{one:?}");
        }
        store.close().await;
    }

    #[test]
    fn a_rollback_turned_into_a_commit_is_found() {
        let facts = |kept: &[&str], refused: &[&str]| RollbackFacts {
            kept: kept.iter().map(ToString::to_string).collect(),
            refused: refused.iter().map(ToString::to_string).collect(),
            transactions: 1,
        };
        let table: &[(&[&str], &[&str], Outcome)] = &[
            (&["before", "after"], &["failed", "panicked"], Outcome::Pass),
            (&["before", "failed", "panicked", "after"], &["failed", "panicked"], Outcome::Fail),
            (&["before", "after"], &["failed"], Outcome::Fail),
            (&["before"], &["failed", "panicked", "after"], Outcome::Fail),
            (&[], &["before", "failed", "panicked", "after"], Outcome::Fail),
        ];
        for (kept, refused, outcome) in table {
            assert_eq!(judge_rollback(&facts(kept, refused)).outcome, *outcome, "{kept:?} {refused:?}");
        }
    }

    #[test]
    fn a_constraint_that_refuses_nothing_or_everything_is_found() {
        let fact = |must_be_refused, refused| ConstraintFacts {
            attempt: "a row".into(),
            must_be_refused,
            refused,
            answer: String::new(),
        };
        let table = [
            (vec![fact(true, true), fact(false, false)], Outcome::Pass),
            (vec![fact(true, false), fact(false, false)], Outcome::Fail),
            (vec![fact(true, true), fact(false, true)], Outcome::Fail),
            (vec![fact(true, true)], Outcome::Error),
            (vec![], Outcome::Error),
        ];
        for (facts, outcome) in table {
            assert_eq!(judge_constraints(&facts).outcome, outcome, "{facts:?}");
        }
    }

    #[test]
    fn one_careless_connection_is_found_among_many() {
        let sound = |who: &str| ConnectionFacts {
            who: who.into(),
            journal_mode: "wal".into(),
            synchronous: 2,
            foreign_keys: true,
            busy_timeout_ms: 5000,
            query_only: who != "writer",
        };
        let judge = |connections: Vec<ConnectionFacts>, version: &str| {
            judge_durability(&DurabilityFacts { sqlite_version: version.into(), connections }).outcome
        };
        let with = |change: fn(&mut ConnectionFacts)| {
            let mut odd = sound("reader 2");
            change(&mut odd);
            vec![sound("writer"), sound("reader 1"), odd]
        };
        assert_eq!(judge(with(|_| {}), "3.51.3"), Outcome::Pass);
        assert_eq!(judge(with(|_| {}), "3.52.0"), Outcome::Pass);
        assert_eq!(judge(with(|_| {}), "3.50.9"), Outcome::Fail);
        assert_eq!(judge(with(|_| {}), "unknown"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.synchronous = 1), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.journal_mode = "delete".into()), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.foreign_keys = false), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(with(|c| c.query_only = false), "3.51.3"), Outcome::Fail);
        assert_eq!(judge(vec![], "3.51.3"), Outcome::Error);
    }

    #[test]
    fn a_pool_that_leaks_hangs_or_serves_beyond_its_size_is_found() {
        let sound = PoolFacts {
            readers_max: 50,
            patience_ms: 400.0,
            all_held: true,
            refusal: Some("cannot read: no reader free".into()),
            refused_after_ms: 402.0,
            recovered_after_ms: Some(0.4),
            whole_after_failures: true,
            whole_after_panics: true,
        };
        let judge = |change: fn(&mut PoolFacts)| {
            let mut facts = sound.clone();
            change(&mut facts);
            judge_pool(&facts).outcome
        };
        assert_eq!(judge(|_| {}), Outcome::Pass);
        assert_eq!(judge(|f| f.all_held = false), Outcome::Error);
        assert_eq!(judge(|f| f.refusal = None), Outcome::Fail);
        assert_eq!(judge(|f| f.refused_after_ms = 60_000.0), Outcome::Fail);
        assert_eq!(judge(|f| f.recovered_after_ms = None), Outcome::Fail);
        assert_eq!(judge(|f| f.whole_after_failures = false), Outcome::Fail);
        assert_eq!(judge(|f| f.whole_after_panics = false), Outcome::Fail);
    }

    #[test]
    fn damage_is_found() {
        let judge = |damage: &[&str], dangling| {
            judge_integrity(&IntegrityFacts {
                damage: damage.iter().map(ToString::to_string).collect(),
                dangling,
            })
            .outcome
        };
        assert_eq!(
            (judge(&[], 0), judge(&["row 3 missing"], 0), judge(&[], 1)),
            (Outcome::Pass, Outcome::Fail, Outcome::Fail)
        );
    }
}
