//! One check as its category's file declares it, and what it comes back with.
use super::Evidence;
use crate::domain::{Affected, Category, Fault, Finding, Outcome, Severity};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A check is this entry and a function. `E` is what it may look at; the engine does not care.
pub struct Check<E: 'static = Evidence> {
    /// Stable: `DB-003`. Never used again for another check.
    pub id: &'static str,
    pub title: &'static str,
    pub category: Category,
    /// Every exercised control is a gate: `Blocker`.
    pub severity: Severity,
    /// Relative to the other checks of its category.
    pub weight: u32,
    /// Why it matters.
    pub why: &'static str,
    /// How it is measured, the negative case included.
    pub how: &'static str,
    /// What to do when it fails.
    pub fix: &'static str,
    pub exercised: bool,
    /// It measures time or load, so it runs when the others are done, and alone.
    pub quiet: bool,
    pub run: for<'a> fn(&'a E) -> BoxFuture<'a, Found>,
}

/// What `agentctl check list|explain` shows, offline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInfo {
    pub id: String,
    pub title: String,
    pub category: Category,
    pub severity: Severity,
    pub weight: u32,
    /// Why it matters.
    pub why: String,
    /// How it is measured, the negative case included.
    pub how: String,
    /// What to do when it fails.
    pub fix: String,
    pub exercised: bool,
    /// By the operator, in the manifest.
    #[serde(default)]
    pub declared: bool,
}

/// How a check ended, the sentence that says why, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub outcome: Outcome,
    pub summary: String,
    pub evidence: Vec<String>,
    /// What it is about, where that can be named.
    pub affected: Vec<Affected>,
}

impl<E> Check<E> {
    pub fn info(&self) -> CheckInfo {
        CheckInfo {
            id: self.id.into(),
            title: self.title.into(),
            category: self.category,
            severity: self.severity,
            weight: self.weight,
            why: self.why.into(),
            how: self.how.into(),
            fix: self.fix.into(),
            exercised: self.exercised,
            declared: false,
        }
    }

    pub(super) fn finding(&self, found: Found, took: Duration) -> Finding {
        let settled = matches!(found.outcome, Outcome::Pass | Outcome::NotApplicable);
        Finding {
            id: self.id.into(),
            title: self.title.into(),
            category: self.category,
            severity: self.severity,
            weight: self.weight,
            outcome: found.outcome,
            summary: found.summary,
            evidence: found.evidence,
            hint: (!settled).then(|| self.fix.into()),
            exercised: self.exercised,
            declared: false,
            affected: found.affected,
            waived: None,
            took_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

impl Found {
    fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self { outcome, summary: summary.into(), evidence: Vec::new(), affected: Vec::new() }
    }

    pub fn pass(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Pass, summary)
    }

    pub fn warn(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Warn, summary)
    }

    pub fn fail(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Fail, summary)
    }

    /// It could not be brought to an answer. Never a pass.
    pub fn error(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Error, summary)
    }

    pub fn timeout(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Timeout, summary)
    }

    /// It was not tried, and should have been. Never a pass.
    pub fn skipped(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Skipped, summary)
    }

    /// There is nothing here for it to judge.
    pub fn not_applicable(summary: impl Into<String>) -> Self {
        Self::new(Outcome::NotApplicable, summary)
    }

    #[must_use]
    pub fn seen(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    #[must_use]
    pub fn all_seen(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.evidence.extend(lines.into_iter().map(Into::into));
        self
    }

    /// Names something that it objects to, so that a waiver may speak for that alone. `fingerprint` is of what was
    /// found there: when it changes, the waiver is void.
    #[must_use]
    pub fn about(mut self, resource: impl Into<String>, fingerprint: impl Into<String>) -> Self {
        self.affected.push(Affected { resource: resource.into(), fingerprint: fingerprint.into() });
        self
    }
}

/// What a check depends on failed: it is unmeasured, whatever it was about.
impl From<Fault> for Found {
    fn from(fault: Fault) -> Self {
        Found::error(fault.to_string())
    }
}

/// An exercise that could not be carried through is unmeasured.
pub fn settle(exercise: Result<Found, Fault>) -> Found {
    exercise.unwrap_or_else(Found::from)
}

/// What was looked for in one exercise: a sentence and whether it held. All must hold for a pass, and there must be
/// at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    lines: Vec<(bool, String)>,
}

impl Proof {
    pub fn holds(&mut self, held: bool, what: impl Into<String>) -> &mut Self {
        self.lines.push((held, what.into()));
        self
    }

    /// Has anything not held so far?
    pub fn broken(&self) -> bool {
        self.lines.iter().any(|(held, _)| !held)
    }

    /// Pass with `summary` if every line held; else fail with the first that did not.
    pub fn judge(self, summary: impl Into<String>) -> Found {
        let broken = self.lines.iter().find(|(held, _)| !held).map(|(_, what)| what.clone());
        let found = match broken {
            Some(what) => Found::fail(what),
            None if self.lines.is_empty() => Found::error("nothing was exercised"),
            None => Found::pass(summary),
        };
        found.all_seen(
            self.lines
                .into_iter()
                .map(|(held, what)| format!("{}: {what}", if held { "held" } else { "BROKEN" })),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_of_nothing_is_no_pass_and_one_broken_line_breaks_it() {
        assert_eq!(Proof::default().judge("well").outcome, Outcome::Error);
        let mut proof = Proof::default();
        proof.holds(true, "a").holds(false, "b broke").holds(true, "c");
        let found = proof.judge("well");
        assert_eq!((found.outcome, found.summary.as_str()), (Outcome::Fail, "b broke"));
        assert_eq!(found.evidence, ["held: a", "BROKEN: b broke", "held: c"]);
    }
}
