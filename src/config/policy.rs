//! `[policy.NAME]`: how one dependency is called, what is tried again, and when it is left alone for a while.
//! What is not written has the default of its name; of names that do not ship, that of `default`.
use super::{BackoffRange, Settings};
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The policy of whatever names no other.
pub const DEFAULT_POLICY: &str = "default";
/// The share of the time between two looks after which the next may come: they are jittered by a tenth.
const BEFORE_NEXT: f64 = 0.9;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PolicySettings {
    /// The first one included. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub attempts: Option<u32>,
    /// First and longest wait between attempts. Default 1s..30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<BackoffRange>,
    /// How the wait grows. Default exponential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<BackoffGrowth>,
    /// The share of each wait that chance may take off, 0 to 1. Default 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter: Option<f64>,
    /// How long one attempt may take. Default 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How long all attempts and the waits between may take together. Default: as long as they can take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Period>,
    /// Retries are at most this share of the calls of the last minute, or ten where that is more. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub retry_budget: Option<f64>,
    /// Calls under way at once. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: Option<u32>,
    /// Calls that may wait for one of those to end. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000))]
    pub queue: Option<u32>,
    /// Attempts a second. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rate: Option<u32>,
    #[serde(skip_serializing_if = "BreakerSettings::is_empty")]
    pub breaker: BreakerSettings,
}

/// When the dependency is left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BreakerSettings {
    /// It opens after so many failures in a row; 0 leaves that rule out. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// It opens when this share of the calls in `window` failed. Default: that rule is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub rate: Option<f64>,
    /// Default 1m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// Fewer calls in `window` are no rate. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum: Option<u32>,
    /// For how long. Default 30s, or nine tenths of the `every` of the dependency that it guards where that is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for: Option<Period>,
    /// How many calls are then made on trial; all must go well. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub probes: Option<u32>,
}

impl BreakerSettings {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackoffGrowth {
    /// Always the first.
    Fixed,
    /// Once, twice, three times the first.
    Linear,
    /// Doubling.
    #[default]
    Exponential,
    /// Anywhere between the first and the longest.
    Random,
    /// Anywhere between the first and three times the one before.
    Decorrelated,
}

/// A policy with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyValues {
    pub attempts: u32,
    pub backoff: BackoffRange,
    pub growth: BackoffGrowth,
    pub jitter: f64,
    pub timeout: Duration,
    pub deadline: Duration,
    pub retry_budget: f64,
    pub concurrency: u32,
    pub queue: u32,
    pub rate: Option<u32>,
    pub failures: u32,
    pub failure_rate: Option<f64>,
    pub window: Duration,
    pub minimum: u32,
    pub open_for: Duration,
    pub probes: u32,
}

impl Settings {
    /// The policy of this name. `every` is the time between looks, where looks are what it guards: a breaker that keeps
    /// them away for longer would only make its end be seen later.
    pub fn policy(&self, name: &str, every: Option<Duration>) -> PolicyValues {
        let written = self.policies.get(name).cloned().unwrap_or_default();
        let base = match shipped(name) {
            Some(shipped) => shipped,
            None => self.policies.get(DEFAULT_POLICY).cloned().unwrap_or_default(),
        };
        written.over(base).values(every)
    }

    /// Whose settings guard a dependency: the one that it names, else the one of its own name, else that of its kind.
    pub fn policy_of(&self, dependency: &super::DependencySettings) -> String {
        if let Some(named) = &dependency.policy {
            return named.clone();
        }
        if self.is_policy(&dependency.name) {
            return dependency.name.clone();
        }
        match dependency.kind.as_str() {
            "postgres" | "redis" | "sqlite" => "database".into(),
            _ => DEFAULT_POLICY.into(),
        }
    }

    pub fn is_policy(&self, name: &str) -> bool {
        shipped(name).is_some() || self.policies.contains_key(name)
    }

    /// Every name that a `policy = "…"` may take.
    pub fn policy_names(&self) -> impl Iterator<Item = &str> {
        SHIPPED.iter().copied().chain(self.policies.keys().map(String::as_str))
    }
}

const SHIPPED: &[&str] = &[DEFAULT_POLICY, "database", "llm", "email", "sms", "webhook"];

/// What differs from `default` by the nature of what is called.
fn shipped(name: &str) -> Option<PolicySettings> {
    let terms = |attempts: u32, first: u64, longest: u64, timeout: u64| PolicySettings {
        attempts: Some(attempts),
        backoff: Some(BackoffRange { first: Period::millis(first), longest: Period::secs(longest) }),
        timeout: Some(Period::secs(timeout)),
        ..PolicySettings::default()
    };
    Some(match name {
        DEFAULT_POLICY => PolicySettings::default(),
        // Near, and asked by many who wait.
        "database" => PolicySettings { concurrency: Some(20), ..terms(3, 100, 2, 10) },
        // Slow to answer, and says itself when it is too much.
        "llm" => terms(3, 1000, 60, 60),
        // Nobody waits for these, and they should arrive.
        "email" => terms(5, 5000, 300, 30),
        "sms" => terms(3, 2000, 60, 15),
        "webhook" => terms(5, 1000, 60, 10),
        _ => return None,
    })
}

impl PolicySettings {
    fn over(self, base: Self) -> Self {
        let (breaker, under) = (self.breaker, base.breaker);
        Self {
            attempts: self.attempts.or(base.attempts),
            backoff: self.backoff.or(base.backoff),
            growth: self.growth.or(base.growth),
            jitter: self.jitter.or(base.jitter),
            timeout: self.timeout.or(base.timeout),
            deadline: self.deadline.or(base.deadline),
            retry_budget: self.retry_budget.or(base.retry_budget),
            concurrency: self.concurrency.or(base.concurrency),
            queue: self.queue.or(base.queue),
            rate: self.rate.or(base.rate),
            breaker: BreakerSettings {
                failures: breaker.failures.or(under.failures),
                rate: breaker.rate.or(under.rate),
                window: breaker.window.or(under.window),
                minimum: breaker.minimum.or(under.minimum),
                open_for: breaker.open_for.or(under.open_for),
                probes: breaker.probes.or(under.probes),
            },
        }
    }

    /// Defaults of document 001: three attempts from a second, 30 s each, ten at once, a breaker of 5 failures and 30 s.
    fn values(self, every: Option<Duration>) -> PolicyValues {
        const THIRTY: Period = Period::secs(30);
        let backoff = self.backoff.unwrap_or(BackoffRange { first: Period::secs(1), longest: THIRTY });
        let (attempts, timeout) = (self.attempts.unwrap_or(3), self.timeout.unwrap_or(THIRTY).0);
        // Every wait at its longest: so long it can take and no longer.
        let waits = backoff.longest.0.saturating_mul(attempts.saturating_sub(1));
        let open_for = every.map_or(THIRTY.0, |every| THIRTY.0.min(every.mul_f64(BEFORE_NEXT)));
        PolicyValues {
            attempts,
            backoff,
            growth: self.growth.unwrap_or_default(),
            jitter: self.jitter.unwrap_or(0.1),
            timeout,
            deadline: self
                .deadline
                .map_or(timeout.saturating_mul(attempts).saturating_add(waits), |deadline| deadline.0),
            retry_budget: self.retry_budget.unwrap_or(0.2),
            concurrency: self.concurrency.unwrap_or(10),
            queue: self.queue.unwrap_or(100),
            rate: self.rate,
            failures: self.breaker.failures.unwrap_or(5),
            failure_rate: self.breaker.rate,
            window: self.breaker.window.unwrap_or(Period::secs(60)).0,
            minimum: self.breaker.minimum.unwrap_or(10),
            open_for: self.breaker.open_for.map_or(open_for, |open_for| open_for.0),
            probes: self.breaker.probes.unwrap_or(1),
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
