//! How a breaker stands, for whoever looks and for the store.
use super::Period;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Nothing is called.
    Open,
    /// Its time is up: a few calls are let through on trial.
    HalfOpen,
}

impl BreakerState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What outlives the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// Of the dependency, or of the policy.
    pub name: String,
    /// Open or closed: one on trial is open until that went well.
    pub state: BreakerState,
    /// Since when it is so.
    pub since: Timestamp,
    /// When it last opened: trials that fail open it anew.
    pub opened_at: Timestamp,
    /// The failure that opened it. Untrusted text.
    pub why: Option<String>,
    pub tripped: Option<BreakerTrip>,
    /// How often it opened by itself.
    pub opened: u64,
}

/// Held open by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerTrip {
    pub by: String,
    pub reason: String,
}

/// A breaker and the policy around it, as a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakerStatus {
    pub name: String,
    pub state: BreakerState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until calls are let through again; none if they are, or if it is held open by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_in: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tripped: Option<BreakerTrip>,
    /// Failures in a row, while it is closed.
    pub failures: u32,
    pub opened: u64,
    /// Calls under way, and calls that wait for a place.
    pub under_way: u32,
    pub waiting: u32,
    pub policy: PolicyTerms,
}

/// What the dependency is called by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyTerms {
    pub attempts: u32,
    pub backoff: String,
    pub timeout: Period,
    pub deadline: Period,
    pub retry_budget: f64,
    pub concurrency: u32,
    pub queue: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// `after 5 failures in a row, for 30s, then 1 on trial`
    pub breaker: String,
}
