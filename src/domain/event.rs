//! Things that have happened, kept by the store in order and read by cursor.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::InstanceId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    DaemonStarted,
    DaemonStopping,
    ConfigReloaded,
    AgentStarted,
    AgentReady,
    AgentExited,
    AgentCrashLooping,
    AgentStopped,
    AgentAdopted,
    OrphanReaped,
    ProbeChanged,
    ValidationFinished,
    WaiverAdded,
    WaiverRevoked,
    BreakerOpened,
    BreakerClosed,
    OperationBegun,
    /// After a restart of agentd.
    OperationResumed,
    OperationEnded,
    /// A trigger fired: it told of it, paused, or is about to roll back.
    TriggerFired,
    /// A trigger cannot say anything, for longer than its window.
    TriggerUnmeasured,
    /// Nothing is done by itself any more: a rollback failed, was refused, or did not help.
    TriggerStopped,
    TriggersHeld,
    RolloutBegun,
    /// Its worth changed: better, same, worse.
    RolloutJudged,
    RolloutEnded,
}

/// One thing that happened. `seq` is given by the store; 0 before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    #[serde(default)]
    pub seq: u64,
    pub at: Timestamp,
    pub kind: EventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// One line, already free of secrets.
    pub text: String,
}
