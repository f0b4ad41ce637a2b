//! The vocabulary of a validation: findings, scores, the verdict. How they are computed is `readiness::score`.
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::{Affected, Checklist, Comparison, Demands, Phase, RunId, Waived, Waiver};

/// The eight categories of document 000, in print order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    ErrorHandling,
    Authentication,
    Database,
    HealthMonitoring,
    Configuration,
    AgentOperations,
    Performance,
    Security,
}

impl Category {
    pub const ALL: [Self; 8] = [
        Self::ErrorHandling,
        Self::Authentication,
        Self::Database,
        Self::HealthMonitoring,
        Self::Configuration,
        Self::AgentOperations,
        Self::Performance,
        Self::Security,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ErrorHandling => "error-handling",
            Self::Authentication => "authentication",
            Self::Database => "database",
            Self::HealthMonitoring => "health-monitoring",
            Self::Configuration => "configuration",
            Self::AgentOperations => "agent-operations",
            Self::Performance => "performance",
            Self::Security => "security",
        }
    }

    /// What the ids of its built-in checks begin with.
    pub fn letters(self) -> &'static str {
        match self {
            Self::ErrorHandling => "EH",
            Self::Authentication => "AU",
            Self::Database => "DB",
            Self::HealthMonitoring => "HM",
            Self::Configuration => "CF",
            Self::AgentOperations => "AO",
            Self::Performance => "PF",
            Self::Security => "SE",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a check ended. Points: pass 100, warn 50, fail 0. Not-applicable leaves the denominator. Skipped, error and
/// timeout are unmeasured: 0 for the low end, 100 for the high end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Warn,
    Fail,
    /// It could not be run to an answer.
    Error,
    Timeout,
    Skipped,
    NotApplicable,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
            Self::NotApplicable => "not-applicable",
        }
    }

    pub fn is_measured(self) -> bool {
        matches!(self, Self::Pass | Self::Warn | Self::Fail)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A gate: if it fails, no score helps; if it is unmeasured, the verdict is inconclusive.
    Blocker,
    Major,
    Minor,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable: `DB-003`.
    pub id: String,
    pub title: String,
    pub category: Category,
    pub severity: Severity,
    /// Relative to the other checks of its category.
    pub weight: u32,
    pub outcome: Outcome,
    /// One sentence: what decided it.
    pub summary: String,
    /// What was seen, a line each, with figures and times. Untrusted text may be in it.
    pub evidence: Vec<String>,
    /// What to do; empty when it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A control was really exercised, its negative case included.
    pub exercised: bool,
    /// By the operator, in the manifest.
    #[serde(default)]
    pub declared: bool,
    /// What it is about, where that can be named; a waiver may speak for one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affected: Vec<Affected>,
    /// Somebody answers for it: it holds up no verdict, and earns no points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
    pub took_ms: f64,
}

/// Low: everything unmeasured counts 0. High: it counts 100. Both within 0–100, low ≤ high.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CategoryScore {
    pub category: Category,
    /// Relative to the other categories; by default they add up to 100.
    pub weight: f64,
    /// None when nothing applies.
    pub score: Option<Interval>,
    /// Measured weight over applicable weight, 0–1.
    pub coverage: f64,
    pub checks: u32,
    pub passed: u32,
    /// False where a partial run left the whole category out: it leaves the denominator.
    #[serde(default = "yes")]
    pub asked: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ready,
    NotReady,
    Inconclusive,
    /// A partial run (`--only`, `--skip`) whose checks all held: it answers for them alone.
    Partial,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::NotReady => "NOT READY",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Partial => "PARTIAL",
        }
    }
}

/// Everything needed to recompute the score is in the report itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub schema_version: u32,
    pub run: RunId,
    pub environment: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    pub took_ms: f64,
    pub version: String,
    /// SHA-256 of the effective configuration.
    pub config_digest: String,
    pub bar: f64,
    pub partial: bool,
    pub verdict: Verdict,
    /// Why, worst first, a sentence each.
    pub reasons: Vec<String>,
    pub score: Interval,
    pub coverage: f64,
    pub categories: Vec<CategoryScore>,
    pub findings: Vec<Finding>,
    /// Checks that a partial run left out, by id.
    #[serde(default)]
    pub not_run: Vec<String>,
    /// The day it was judged for, if not the one it ran on: waivers and certificates that lapse until then have lapsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub as_of: Option<Timestamp>,
    /// Every waiver that was in force, and those that lapsed in the last 30 days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// What the score would be if waived findings were not counted; none without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_without_waived: Option<Interval>,
    #[serde(default)]
    pub demands: Demands,
    /// Demands that this run does not meet, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Comparison>,
    /// Present in a report of the checklist: a deploy-check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checklist: Option<Checklist>,
}

impl Report {
    /// The verdict as this kind of report calls it: a checklist says go or no-go.
    pub fn verdict_word(&self) -> &'static str {
        match (self.verdict, &self.checklist) {
            (Verdict::Ready, Some(_)) => "GO",
            (Verdict::NotReady, Some(_)) => "NO-GO",
            (verdict, _) => verdict.as_str(),
        }
    }

    /// What was run, as a list of runs and the audit trail call it.
    pub fn subject(&self) -> &'static str {
        if self.checklist.is_some() { "deploy-check" } else { "validation" }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    Running,
    Finished,
    /// The daemon died under it.
    Interrupted,
    /// Whoever asked for it called it off; there is no report.
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub run: RunId,
    pub state: RunState,
    pub started_at: Timestamp,
    pub environment: String,
    pub verdict: Option<Verdict>,
    pub score: Option<Interval>,
    pub coverage: Option<f64>,
    pub partial: bool,
    /// Of a run of the checklist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}
