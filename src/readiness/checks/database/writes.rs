//! Writes that fail, and rows that must not be.
use super::Exercise;
#[cfg(test)]
use super::on_flawed;
#[cfg(test)]
use crate::{
    config::StoreSettings,
    readiness::checks::Saboteur,
    store::Flaw::{NoForeignKeys, NoRollback, NoTransaction},
};
use crate::{
    readiness::{Found, Proof},
    store::{ConstraintFacts, RollbackFacts},
};
use futures_util::FutureExt;

pub const UNDONE: Exercise =
    |store| async move { Ok(judge_rollback(&store.prove_rollback().await?)) }.boxed();

fn judge_rollback(facts: &RollbackFacts) -> Found {
    let mut proof = Proof::default();
    let kept = |step: &str| facts.kept.iter().any(|kept| kept == step);
    let told = |step: &str| facts.refused.iter().any(|refused| refused == step);
    for (step, what) in [("failed", "failed"), ("panicked", "panicked"), ("lost", "could not be committed")] {
        proof.holds(
            !kept(step),
            format!(
                "the row of the write that {what} is {}",
                if kept(step) { "still there" } else { "gone" }
            ),
        );
        proof.holds(
            told(step),
            format!(
                "the caller of the write that {what} was {}",
                if told(step) { "told" } else { "told that all is well" }
            ),
        );
    }
    for step in ["before", "after"] {
        let well = kept(step) && !told(step);
        proof.holds(well, format!("the write {step} them is {}", if well { "kept" } else { "lost" }));
    }
    let early = &facts.seen_early;
    proof.holds(
        early.is_empty(),
        if early.is_empty() {
            "a reader that looked before COMMIT saw none of them".into()
        } else {
            format!("a reader saw what was not committed: {}", early.join(", "))
        },
    );
    proof
        .judge("a failing, a panicking and a lost write were undone, their neighbours kept, and nothing seen early")
        .seen(format!("the four writes shared {} transaction(s) of a scratch store", facts.transactions))
}

pub const REFUSED: Exercise =
    |store| async move { Ok(judge_constraints(&store.prove_constraints().await?)) }.boxed();

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
pub const SABOTEUR_OF_UNDONE: Saboteur = Saboteur {
    of: "DB-001",
    at_work: || {
        let flaws = [
            ("a rollback that does nothing", NoRollback),
            ("writes that are kept one by one, before their COMMIT", NoTransaction),
        ];
        on_flawed(StoreSettings::default(), UNDONE, flaws).boxed()
    },
};

#[cfg(test)]
pub const SABOTEUR_OF_REFUSED: Saboteur = Saboteur {
    of: "DB-002",
    at_work: || {
        let flaws = [("foreign keys that are off", NoForeignKeys)];
        on_flawed(StoreSettings::default(), REFUSED, flaws).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    type Steps<'a> = &'a [&'a str];

    #[test]
    fn a_rollback_turned_into_a_commit_is_found() {
        let facts = |kept: &[&str], refused: &[&str], early: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            RollbackFacts { kept: own(kept), refused: own(refused), seen_early: own(early), transactions: 1 }
        };
        let table: [(Steps, Steps, Steps, Outcome); 8] = [
            (&["before", "after"], &["failed", "panicked", "lost"], &[], Outcome::Pass),
            (&["before", "after"], &["failed", "panicked", "lost"], &["before"], Outcome::Fail),
            (&["before", "failed", "panicked", "after"], &["failed", "panicked", "lost"], &[], Outcome::Fail),
            (&["before", "after"], &["failed", "panicked"], &[], Outcome::Fail),
            (&["before", "after", "lost"], &["failed", "panicked", "lost"], &[], Outcome::Fail),
            (&["before", "after"], &["failed", "lost"], &[], Outcome::Fail),
            (&["before"], &["failed", "panicked", "lost", "after"], &[], Outcome::Fail),
            (&[], &["before", "failed", "panicked", "lost", "after"], &[], Outcome::Fail),
        ];
        for (kept, refused, early, outcome) in table {
            let found = judge_rollback(&facts(kept, refused, early));
            assert_eq!(found.outcome, outcome, "{kept:?} {refused:?} {early:?}");
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
}
