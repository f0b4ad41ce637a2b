//! Writes that fail, and rows that must not be.
use super::on_scratch;
use crate::{
    readiness::{Evidence, Found, Proof},
    store::{ConstraintFacts, RollbackFacts},
};
use futures_util::FutureExt;

pub async fn undone(evidence: &Evidence) -> Found {
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

pub async fn refused(evidence: &Evidence) -> Found {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

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

    #[tokio::test]
    async fn a_store_that_keeps_what_failed_or_takes_any_row_is_found() {
        use crate::{
            config::StoreSettings,
            resilience::Clock,
            store::{Flaw, Store, open_flawed},
        };
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        let (settings, backups) = (StoreSettings::default(), home.path().join("backups"));
        let flawed = |name, flaw| {
            open_flawed(&path(name), &backups, &settings, Clock::system(), flaw).expect("a store")
        };
        let sound = Store::open(&path("sound.db"), &backups, &settings, Clock::system()).expect("a store");
        let (keeps, takes) = (flawed("keeps.db", Flaw::NoRollback), flawed("takes.db", Flaw::NoForeignKeys));
        for (store, outcome) in [(&sound, Outcome::Pass), (&keeps, Outcome::Fail)] {
            let found = judge_rollback(&store.prove_rollback().await.expect("facts"));
            assert_eq!(found.outcome, outcome, "{found:?}");
        }
        for (store, outcome) in [(&sound, Outcome::Pass), (&takes, Outcome::Fail)] {
            let found = judge_constraints(&store.prove_constraints().await.expect("facts"));
            assert_eq!(found.outcome, outcome, "{found:?}");
        }
        for store in [sound, keeps, takes] {
            store.close().await;
        }
    }
}
