//! What probes say, one at a time and judged over time.
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a probe decides.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeRole {
    /// Has it come up? Asked only until the first success; the others wait for it.
    Startup,
    /// May it be given work?
    #[default]
    Readiness,
    /// Must it be restarted?
    Liveness,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    pub at: Timestamp,
    pub ok: bool,
    /// Milliseconds from asking to answer (or to giving up).
    pub took_ms: f64,
    /// What was seen: "200 in 3 ms", "connection refused", "$.status is \"critical\", want \"healthy\"". Untrusted text.
    pub detail: String,
}

/// A probe's standing after hysteresis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeState {
    /// Not asked yet, or its target is not up.
    Unknown,
    Passing,
    Failing,
    /// Not asked, because something its agent depends on is down.
    Blocked,
}

/// A probe as a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeStatus {
    /// The instance (`orders/0`) or the dependency (`orders-db`) it looks at.
    pub target: String,
    pub name: String,
    pub kind: String,
    pub role: ProbeRole,
    pub state: ProbeState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ProbeResult>,
    /// Consecutive results that agree with `last`.
    pub streak: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Seconds between looks.
    pub every_s: f64,
    /// For a blocked probe: what is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// A change of standing, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeTransition {
    pub at: Timestamp,
    pub target: String,
    pub probe: String,
    pub from: ProbeState,
    pub to: ProbeState,
    pub detail: String,
}

/// What health tells the supervisor of one instance (or, by name, of one dependency).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Every startup and readiness probe passes.
    Ready,
    /// A readiness probe fails, or is blocked.
    NotReady { reason: String },
    /// A liveness probe fails: restart it.
    Unhealthy { reason: String },
}
