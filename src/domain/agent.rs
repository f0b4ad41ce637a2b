//! An agent as the fleet sees it: its state, its instances, how it last ended.
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc};

use super::{AgentName, InstanceId, Principal, ReleaseId, Separation};

/// Where one instance, or an agent as a whole, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// Switched off in the manifest, or the agent system is off.
    Disabled,
    /// For a dependency.
    Waiting,
    Starting,
    Ready,
    /// Up, but some instance or a readiness probe is not well.
    Degraded,
    /// Its liveness probe fails.
    Unhealthy,
    /// Will be started again after a delay.
    BackingOff,
    /// Latched: too many failures in the window. Only an operator starts it again.
    CrashLooping,
    Stopping,
    /// By the operator's wish, or it ended well and its policy does not restart it.
    Stopped,
    /// It cannot succeed as it stands (missing program, bad configuration), or it ended and is not to be restarted.
    Failed,
}

impl AgentState {
    pub const ALL: &'static [Self] = &[
        Self::Ready,
        Self::Degraded,
        Self::Unhealthy,
        Self::Starting,
        Self::Waiting,
        Self::BackingOff,
        Self::CrashLooping,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Disabled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::BackingOff => "backing-off",
            Self::CrashLooping => "crash-looping",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Does a live process (or a reachable external agent) stand behind this state?
    pub fn is_up(self) -> bool {
        matches!(self, Self::Starting | Self::Ready | Self::Degraded | Self::Unhealthy | Self::Stopping)
    }

    /// Neither well, nor on its way there, nor down by somebody's wish.
    pub fn needs_a_look(self) -> bool {
        match self {
            Self::Degraded | Self::Unhealthy | Self::BackingOff | Self::CrashLooping | Self::Failed => true,
            Self::Disabled
            | Self::Waiting
            | Self::Starting
            | Self::Ready
            | Self::Stopping
            | Self::Stopped => false,
        }
    }

    /// Nothing more will happen unless somebody asks.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Disabled | Self::Ready | Self::CrashLooping | Self::Stopped | Self::Failed)
    }
}

/// When an instance that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartMode {
    Always,
    #[default]
    OnFailure,
    Never,
}

/// Why it went down, as far as its exit status and last words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashClass {
    /// A module or library is missing.
    Import,
    PortInUse,
    Configuration,
    Database,
    OutOfMemory,
    /// The program itself cannot be executed.
    NotExecutable,
    /// It did not become ready in time.
    StartTimeout,
    /// Its liveness probe failed and it was restarted.
    Unhealthy,
    Unknown,
}

impl CrashClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import error",
            Self::PortInUse => "port in use",
            Self::Configuration => "configuration error",
            Self::Database => "database error",
            Self::OutOfMemory => "out of memory",
            Self::NotExecutable => "cannot be executed",
            Self::StartTimeout => "start timed out",
            Self::Unhealthy => "failed its liveness probe",
            Self::Unknown => "unknown cause",
        }
    }
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    pub at: Timestamp,
    /// Exit code; none when a signal ended it or when it was adopted and nobody could see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// None when it ended well or was asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<CrashClass>,
    /// The line of its output that says most, cut to 300 characters. Untrusted text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
    /// What to do about it, where one thing is likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One instance, as a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub id: InstanceId,
    pub state: AgentState,
    /// Why it is in this state, when that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Counts starts of this instance in this daemon's life; a probe result of an older one is void.
    pub generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Taken over alive from an earlier daemon: its exit status can never be known.
    #[serde(default)]
    pub adopted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// Restarts after a failure in this daemon's life.
    pub restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<ExitReport>,
    pub separation: Separation,
    /// Whose artifact its process was started from; none where that is no release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
}

/// One agent with its instances, as a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub name: AgentName,
    pub kind: String,
    pub tier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The worst of its instances; degraded when they differ.
    pub state: AgentState,
    pub replicas: u32,
    #[serde(default)]
    pub depends_on: Vec<String>,
    pub instances: Vec<InstanceStatus>,
}

/// The fleet at one moment, in manifest order. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct FleetSnapshot {
    pub agents: Arc<[Arc<AgentStatus>]>,
    /// Rises with every change.
    pub version: u64,
}

impl FleetSnapshot {
    pub fn agent(&self, name: &str) -> Option<&AgentStatus> {
        self.agents.iter().find(|agent| agent.name.as_str() == name).map(AsRef::as_ref)
    }

    pub fn instances(&self) -> impl Iterator<Item = (&AgentStatus, &InstanceStatus)> {
        self.agents.iter().flat_map(|agent| agent.instances.iter().map(move |instance| (&**agent, instance)))
    }
}

/// What the operator asked for and what must outlive a restart of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desire {
    /// Stopped by hand: stays down until started by hand.
    pub stopped: bool,
    /// Scaled by hand: overrides the manifest's replicas.
    pub replicas: Option<u32>,
}

/// A uid that `user = "auto"` gave to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidGrant {
    pub agent: AgentName,
    pub uid: u32,
    /// Since when the agent is in the manifest no more. Its files may still be about, so nobody gets the uid yet.
    pub gone_at: Option<Timestamp>,
}

/// What the store keeps of a spawned instance, so that the next daemon can adopt or reap it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub id: InstanceId,
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot: with the pid and the boot id it names one process.
    pub pid_start: u64,
    pub boot_id: String,
    pub started_at: Timestamp,
    pub port: Option<u16>,
    /// Digest of the settings it was started with: adopted only while they are the same.
    pub spec_digest: String,
    pub was_ready: bool,
    /// Whose artifact it was started from.
    pub release: Option<ReleaseId>,
}

/// Why the fleet is held off, whatever the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedOff {
    pub at: Timestamp,
    /// None where that cannot be told any more.
    pub by: Option<Principal>,
    pub reason: String,
}

impl SwitchedOff {
    /// What stands for a switch that cannot be read: nobody knows that it was on.
    pub fn unreadable(path: &Path) -> Self {
        let reason = format!("{} cannot be read, and nothing is started on a guess", path.display());
        Self { at: Timestamp::UNIX_EPOCH, by: None, reason }
    }
}
