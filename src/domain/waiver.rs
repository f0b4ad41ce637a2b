//! A finding that somebody answers for until a day, and what a validation was asked beyond its verdict.
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that a finding is about: an agent, a file, a declared resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Affected {
    /// Stable from run to run: `agent/orders`, `file//etc/agentd.toml`.
    pub resource: String,
    /// Of what was found there; another one is another finding, for which no older waiver speaks.
    pub fingerprint: String,
}

/// Lifts a gate until it expires. It never adds score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiver {
    pub id: u64,
    /// Of a check: `DB-003`.
    pub check: String,
    /// None is the whole check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Of the resource when it was waived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Who answers for it.
    pub owner: String,
    pub reason: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Timestamp,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub added_at: Timestamp,
    /// Who the daemon saw add it.
    pub added_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub revoked_at: Option<Timestamp>,
}

impl Waiver {
    /// Added, not revoked, and not yet expired.
    pub fn is_in_force(&self, at: Timestamp) -> bool {
        self.added_at <= at && at < self.expires_at && self.revoked_at.is_none()
    }
}

/// How a waiver stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    InForce,
    /// What it was for has changed since.
    Void,
    Expired,
    Revoked,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Void => "void",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// The waiver as a finding shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waived {
    pub waiver: u64,
    pub owner: String,
    pub reason: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Timestamp,
}

/// Which findings make a run exit 1 whatever its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailOn {
    /// Any that fails.
    Fail,
    /// Any that fails or warns.
    Warn,
    /// Any that fails or warns and did not in the baseline.
    New,
    /// Any that is worse than in the baseline.
    Regressed,
}

/// What the caller asked for beyond the verdict. It can only make a run stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Demands {
    /// The low end must reach it, 0–100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_under: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<FailOn>,
}

/// A report held against an earlier one; checks by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// `run 12`, or the file that it came from.
    pub against: String,
    /// Change of the low end, in points.
    pub change: f64,
    /// Fails or warns now, and was not asked or had nothing to judge then.
    pub new: Vec<String>,
    /// Worse than it was.
    pub regressed: Vec<String>,
    /// Better than it was.
    pub improved: Vec<String>,
    /// Asked then and not now.
    pub gone: Vec<String>,
}
