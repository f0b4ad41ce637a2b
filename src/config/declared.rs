//! The checks that an operator declares for the application: what `validate` asks beside its own.
use super::Settings;
use crate::domain::{Category, Period, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Between two attempts of a check that says nothing of it.
pub(super) const RETRY_DELAY: Period = Period::secs(1);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckSettings {
    /// A name of yours, such as APP-orders-db: it stands in reports, waivers and --only.
    #[schemars(regex(pattern = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"))]
    pub id: String,
    /// What holds when it passes.
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f]{1,200}$"))]
    pub title: String,
    /// http, tcp, tls, sql, redis, command, file, env, port, process, variables, access, rate-limit, cors or git.
    pub kind: String,
    /// Which of the eight scores it counts in.
    pub category: Category,
    /// A blocker is a gate: if it fails, no score helps.
    #[serde(default = "major")]
    pub severity: Severity,
    /// Relative to the other checks of its category.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// What to do when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f]{1,500}$"))]
    pub hint: Option<String>,
    /// Why it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f]{1,500}$"))]
    pub why: Option<String>,
    /// Instead of retries: the [policy.NAME], or the dependency, by whose attempts, breaker and deadline it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How often it is asked again before an answer other than a pass counts; the evidence says so.
    #[serde(default)]
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// Between two attempts.
    #[serde(default = "second")]
    pub retry_delay: Period,
    /// How long one attempt may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Depends on the kind.
    #[serde(default = "empty_table")]
    pub options: Value,
}

impl CheckSettings {
    /// The longest that all attempts can take together.
    pub fn longest(&self, settings: &Settings) -> Duration {
        if let Some(policy) = &self.policy {
            let dependency = settings.dependencies.iter().find(|dependency| dependency.name == *policy);
            let policy = dependency.map_or_else(|| policy.clone(), |of| settings.policy_of(of));
            return settings.policy(&policy, None).deadline;
        }
        let attempts = self.timeout.0.saturating_mul(self.retries.saturating_add(1));
        attempts.saturating_add(self.retry_delay.0.saturating_mul(self.retries))
    }
}

fn major() -> Severity {
    Severity::Major
}
fn one() -> u32 {
    1
}
fn second() -> Period {
    RETRY_DELAY
}
fn timeout() -> Period {
    Period::secs(5)
}
fn empty_table() -> Value {
    Value::Object(serde_json::Map::new())
}
