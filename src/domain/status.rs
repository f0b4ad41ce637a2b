//! The one answer to `agentctl status`.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{
    AgentState, AgentStatus, BreakerStatus, ErrorAlarm, Interval, Limited, ProbeStatus, RolloutBrief, RunId,
    Separation, StoreStats, SwitchedOff, Verdict,
};

/// The verdict line: is the fleet well right now? Never says "ready to ship": that is `validate`'s to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FleetVerdict {
    Healthy,
    Starting,
    Degraded,
    Down,
    /// Nothing to judge: no agent enabled.
    Empty,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierStatus {
    pub tier: String,
    pub agents: u32,
    pub states: BTreeMap<AgentState, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    pub version: String,
    pub pid: u32,
    pub started_at: Timestamp,
    pub uptime_s: f64,
    pub environment: String,
    pub state_dir: String,
    pub config_file: Option<String>,
    /// Resident memory of the daemon in bytes.
    pub rss_bytes: u64,
    /// The weakest separation between any agent and the operator.
    pub separation: Separation,
    /// on, limited or off
    pub agent_system: String,
    /// The switch, where it was thrown by hand or by a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_off: Option<SwitchedOff>,
    /// Whom alone it works for, where somebody limited it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastValidation {
    pub run: RunId,
    pub at: Timestamp,
    pub verdict: Verdict,
    pub score: Interval,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub schema_version: u32,
    pub at: Timestamp,
    pub verdict: FleetVerdict,
    /// One sentence: what makes it so.
    pub because: String,
    pub daemon: DaemonStatus,
    /// Instances by state, over the fleet.
    pub instances: BTreeMap<AgentState, u32>,
    pub tiers: Vec<TierStatus>,
    /// Agents that are not well; every agent when asked for all.
    pub agents: Vec<AgentStatus>,
    /// Probes passing, failing, blocked, unknown.
    pub probes: BTreeMap<String, u32>,
    /// Probes that do not pass.
    pub failing_probes: Vec<ProbeStatus>,
    /// Breakers that let no calls pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_breakers: Vec<BreakerStatus>,
    /// Candidates that are tried beside the fleet; none of them is counted above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutBrief>,
    pub store: StoreStats,
    pub last_validation: Option<LastValidation>,
    /// Errors that spike or came back; absent while there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorAlarm>,
}
