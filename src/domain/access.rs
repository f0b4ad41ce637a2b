//! Who is asking and what they may do. Identity is settled by `auth`, checked by the gate in `daemon::route`.
use serde::{Deserialize, Serialize};

use super::AgentName;

/// What one endpoint of agentd needs. Every endpoint names exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Permission {
    /// Look: status, agents, probes, logs, reports.
    #[serde(rename = "fleet.read")]
    FleetRead,
    /// Start, stop, restart, scale.
    #[serde(rename = "agent.control")]
    AgentControl,
    /// Tell of oneself: a heartbeat.
    #[serde(rename = "agent.report")]
    AgentReport,
    /// Run a validation.
    #[serde(rename = "readiness.run")]
    ReadinessRun,
    /// Answer for a finding until a day, or take that back.
    #[serde(rename = "readiness.waive")]
    ReadinessWaive,
    /// Change what the daemon runs by: reload the configuration.
    #[serde(rename = "policy.change")]
    PolicyChange,
    /// Stop the daemon itself.
    #[serde(rename = "daemon.control")]
    DaemonControl,
}

/// A named set of permissions. Operators hold the first three; a supervised agent holds the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Viewer,
    Operator,
    Admin,
    /// A supervised agent, told apart by a fact of the kernel (own uid or own cgroup): it may only report.
    Agent,
}

impl Role {
    pub fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::Viewer => &[P::FleetRead],
            Self::Operator => {
                &[P::FleetRead, P::AgentControl, P::AgentReport, P::ReadinessRun, P::ReadinessWaive]
            }
            Self::Admin => &[
                P::FleetRead,
                P::AgentControl,
                P::AgentReport,
                P::ReadinessRun,
                P::ReadinessWaive,
                P::PolicyChange,
                P::DaemonControl,
            ],
            Self::Agent => &[P::AgentReport],
        }
    }

    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

/// What the kernel says of the process at the other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<i32>,
}

/// An identity and what it amounts to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub identity: Identity,
    pub role: Role,
    /// Set when the caller is a supervised agent.
    pub agent: Option<AgentName>,
}

/// What keeps an agent from acting as the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separation {
    /// Runs under a uid that is not the daemon's: the kernel keeps it from the operator's files and processes.
    OwnUser,
    /// Same uid, but in a cgroup of its own that it cannot leave. Who owns a cgroup hierarchy may move within it, and
    /// root owns them all, so a process of the daemon's own uid can always leave: `agents` never reports this. Being
    /// seen in an agent's cgroup still makes a caller that agent; not being there proves nothing.
    OwnCgroup,
    /// Nothing but goodwill.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_may_report_and_nothing_else() {
        assert_eq!(Role::Agent.permissions(), &[Permission::AgentReport]);
        assert!(!Role::Viewer.may(Permission::AgentControl));
        assert!(!Role::Operator.may(Permission::PolicyChange));
        assert!(
            !Role::Agent.may(Permission::ReadinessWaive) && !Role::Viewer.may(Permission::ReadinessWaive)
        );
        assert!(Role::Admin.may(Permission::DaemonControl));
    }
}
