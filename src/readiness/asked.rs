//! What the engine runs: a check of ours, or one that the operator declares.
use super::{Check, CheckInfo, Evidence, Found};
use crate::domain::{Finding, Outcome};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};

/// Asks all attempts of a declared check.
pub type Run<E = Evidence> = Box<dyn for<'a> Fn(&'a E) -> BoxFuture<'a, Found> + Send + Sync>;

/// A check of the operator's own, ready to be asked.
pub struct Declared<E: 'static = Evidence> {
    pub info: CheckInfo,
    /// What the operator says to do when it fails.
    pub hint: Option<String>,
    /// The longest that all its attempts take.
    pub longest: Duration,
    /// It measures time or load, so it runs when the others are done, and alone.
    pub quiet: bool,
    pub run: Run<E>,
}

pub enum Asked<E: 'static = Evidence> {
    BuiltIn(&'static Check<E>),
    Declared(Arc<Declared<E>>),
}

impl<E> Asked<E> {
    pub fn id(&self) -> &str {
        match self {
            Self::BuiltIn(check) => check.id,
            Self::Declared(check) => &check.info.id,
        }
    }

    /// Runs when the others are done, and alone.
    pub fn quiet(&self) -> bool {
        match self {
            Self::BuiltIn(check) => check.quiet,
            Self::Declared(check) => check.quiet,
        }
    }

    /// A declared check keeps to its own timeouts, which are checked with the manifest; this cuts what does not.
    pub fn deadline(&self, usual: Duration) -> Duration {
        const GRACE: Duration = Duration::from_secs(1);
        match self {
            Self::BuiltIn(_) => usual,
            Self::Declared(check) => check.longest.saturating_add(GRACE),
        }
    }

    pub fn run<'a>(&'a self, evidence: &'a E) -> BoxFuture<'a, Found> {
        match self {
            Self::BuiltIn(check) => (check.run)(evidence),
            Self::Declared(check) => (check.run)(evidence),
        }
    }

    pub fn finding(&self, found: Found, took: Duration) -> Finding {
        match self {
            Self::BuiltIn(check) => check.finding(found, took),
            Self::Declared(check) => check.finding(found, took),
        }
    }
}

impl<E> Clone for Asked<E> {
    fn clone(&self) -> Self {
        match self {
            Self::BuiltIn(check) => Self::BuiltIn(check),
            Self::Declared(check) => Self::Declared(Arc::clone(check)),
        }
    }
}

impl<E> Declared<E> {
    fn finding(&self, found: Found, took: Duration) -> Finding {
        let settled = matches!(found.outcome, Outcome::Pass | Outcome::NotApplicable);
        let info = &self.info;
        Finding {
            id: info.id.clone(),
            title: info.title.clone(),
            category: info.category,
            severity: info.severity,
            weight: info.weight,
            outcome: found.outcome,
            summary: found.summary,
            evidence: found.evidence,
            hint: self.hint.clone().filter(|_| !settled),
            exercised: false,
            declared: true,
            affected: found.affected,
            waived: None,
            took_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}
