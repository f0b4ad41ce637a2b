//! Failures that have one fingerprint, together: how many, since when, who sees to them, and how that stands.
use super::{
    AgentName, CorrelationId, FaultCategory, FaultKind, FaultSeverity, Fingerprint, InstanceId, Spike,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    str::FromStr,
};

/// Hours of the series that a group is shown with, the present one included.
pub const HOURS_SHOWN: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorState {
    Open,
    /// Somebody says that it is mended. The next occurrence makes it regressed.
    Resolved,
    /// Counted, and nobody's alarm, until the time or the number that was given has come.
    Ignored,
    /// It was resolved and came back.
    Regressed,
}

/// One of its failures, free of secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Who asked: a principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The request that it belongs to; none where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<CorrelationId>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
}

/// What all occurrences of a fingerprint have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    pub fingerprint: Fingerprint,
    pub category: FaultCategory,
    pub severity: FaultSeverity,
    pub kind: FaultKind,
    /// `agents/stop`, `agent.crash`, `probe`: what was being done.
    pub operation: String,
    pub agent: Option<AgentName>,
    pub retryable: bool,
}

/// Occurrences of one fingerprint on their way to the store: the count is exact, the samples are the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub alike: Alike,
    pub hint: Option<String>,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
    /// By the hour since 1970.
    pub hours: BTreeMap<i64, u64>,
    /// Oldest first.
    pub samples: VecDeque<Occurrence>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorGroup {
    pub id: u64,
    #[serde(flatten)]
    pub alike: Alike,
    pub state: ErrorState,
    /// Of its newest occurrence.
    pub message: String,
    pub hint: Option<String>,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
    /// The last 24 hours, oldest first; the present one, not over yet, is the last.
    pub hours: Vec<u64>,
    /// Now, against its own history.
    pub spike: Option<Spike>,
    /// Since when it has been open: first seen, or come back.
    pub opened_at: Timestamp,
    pub assignee: Option<String>,
    /// Of the last time that it was resolved.
    pub resolution: Option<Resolution>,
    pub ignored: Option<Ignored>,
    /// How often it was resolved and came back.
    pub regressions: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    pub at: Timestamp,
    pub by: String,
    pub note: String,
    /// Seconds from when it was open.
    pub took_s: u64,
}

/// With neither, until somebody reopens it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    pub until: Option<Timestamp>,
    /// At this count it is open again.
    pub until_count: Option<u64>,
    pub note: String,
}

/// Which groups; each part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorFilter {
    /// Seen at or after it.
    pub since: Option<Timestamp>,
    pub category: Option<FaultCategory>,
    /// As it is written, or up to a `/` or a `.`: `agent` for `agent.crash`.
    pub operation: Option<String>,
    pub agent: Option<String>,
    pub state: Option<ErrorState>,
    /// At least.
    pub severity: Option<FaultSeverity>,
    /// Resolved and ignored ones too.
    pub all: bool,
}

/// What failures are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatternBy {
    #[default]
    Category,
    Operation,
    Agent,
}

/// Failures that have a category, an operation or an agent in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorPattern {
    /// Empty for failures of no agent.
    pub name: String,
    pub groups: u64,
    pub count: u64,
    /// Of all failures in that time, 0 to 1.
    pub share: f64,
    /// In as long a time before it.
    pub before: u64,
}

/// What the status says of them: nothing unless there is something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorAlarm {
    pub spiking: u64,
    pub regressed: u64,
    /// The gravest of them.
    pub worst: u64,
    pub message: String,
}

impl ErrorState {
    pub const ALL: &'static [Self] = &[Self::Open, Self::Resolved, Self::Ignored, Self::Regressed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Ignored => "ignored",
            Self::Regressed => "regressed",
        }
    }

    /// Somebody should look.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Regressed)
    }
}

impl fmt::Display for ErrorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ErrorState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|state| state.as_str() == text);
        found.ok_or_else(|| "not one of open, resolved, ignored, regressed".into())
    }
}

impl ErrorGroup {
    pub fn is_alarming(&self) -> bool {
        self.state == ErrorState::Regressed || (self.state == ErrorState::Open && self.spike.is_some())
    }
}

/// The hour that a moment is in, since 1970.
pub fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3600)
}
