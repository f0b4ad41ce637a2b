//! Who is asking and what they may do. Identity is settled by `auth`, checked by the gate in `daemon::route`.
use super::{AgentName, CorrelationId, Means, Principal};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

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
    /// Ask what somebody may do in the applications, and have the answer recorded.
    #[serde(rename = "access.ask")]
    AccessAsk,
    /// Know oneself, open a session, end one's own.
    #[serde(rename = "session.own")]
    SessionOwn,
    /// API keys and other people's sessions.
    #[serde(rename = "access.manage")]
    AccessManage,
    /// Read, verify and export the audit trail.
    #[serde(rename = "audit.read")]
    AuditRead,
    /// Resolve, ignore and assign error groups.
    #[serde(rename = "error.resolve")]
    ErrorResolve,
    /// Trip and reset breakers.
    #[serde(rename = "breaker.control")]
    BreakerControl,
    /// Say yes or no to what somebody else wants to do.
    #[serde(rename = "approval.give")]
    ApprovalGive,
    /// Make, verify and try out backups.
    #[serde(rename = "backup.make")]
    BackupMake,
    /// Answer for what no machine can check before a deployment.
    #[serde(rename = "checklist.attest")]
    ChecklistAttest,
    /// Record what could be deployed, and call one stable.
    #[serde(rename = "release.manage")]
    ReleaseManage,
    /// Deploy, roll back, restore a backup, and stop what of it is under way.
    #[serde(rename = "release.deploy")]
    ReleaseDeploy,
}

impl Permission {
    pub const ALL: &'static [Self] = &[
        Self::FleetRead,
        Self::AgentControl,
        Self::AgentReport,
        Self::ReadinessRun,
        Self::ReadinessWaive,
        Self::PolicyChange,
        Self::DaemonControl,
        Self::AccessAsk,
        Self::SessionOwn,
        Self::AccessManage,
        Self::AuditRead,
        Self::ErrorResolve,
        Self::BreakerControl,
        Self::ApprovalGive,
        Self::BackupMake,
        Self::ChecklistAttest,
        Self::ReleaseManage,
        Self::ReleaseDeploy,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::FleetRead => "fleet.read",
            Self::AgentControl => "agent.control",
            Self::AgentReport => "agent.report",
            Self::ReadinessRun => "readiness.run",
            Self::ReadinessWaive => "readiness.waive",
            Self::PolicyChange => "policy.change",
            Self::DaemonControl => "daemon.control",
            Self::AccessAsk => "access.ask",
            Self::SessionOwn => "session.own",
            Self::AccessManage => "access.manage",
            Self::AuditRead => "audit.read",
            Self::ErrorResolve => "error.resolve",
            Self::BreakerControl => "breaker.control",
            Self::ApprovalGive => "approval.give",
            Self::BackupMake => "backup.make",
            Self::ChecklistAttest => "checklist.attest",
            Self::ReleaseManage => "release.manage",
            Self::ReleaseDeploy => "release.deploy",
        }
    }

    /// What it lets one do.
    pub fn about(self) -> &'static str {
        match self {
            Self::FleetRead => "look: status, agents, probes, logs, reports",
            Self::AgentControl => "start, stop, restart and scale agents",
            Self::AgentReport => "report that an agent is alive",
            Self::ReadinessRun => "run a validation, or cancel one",
            Self::ReadinessWaive => "answer for a finding until a day, or take that back",
            Self::PolicyChange => "change what the daemon runs by: reload the configuration",
            Self::DaemonControl => "stop the daemon itself",
            Self::AccessAsk => "ask what somebody may do in the applications; the answer is recorded",
            Self::SessionOwn => "know oneself, open a session, end one's own",
            Self::AccessManage => "make and revoke API keys, end other people's sessions",
            Self::AuditRead => "read, verify and export the audit trail",
            Self::ErrorResolve => "resolve, ignore and assign error groups",
            Self::BreakerControl => "trip and reset breakers",
            Self::ApprovalGive => "say yes or no to what somebody else wants to do",
            Self::BackupMake => "make, verify and try out backups",
            Self::ChecklistAttest => "answer for what no machine can check before a deployment",
            Self::ReleaseManage => "record what could be deployed, and call one stable",
            Self::ReleaseDeploy => "deploy, roll back, restore a backup, and cancel what of it is under way",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A named set of permissions at agentd itself. What applications may do with their clients is a matter of application
/// roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Viewer,
    Operator,
    Admin,
    /// A supervised agent, told apart by a fact of the kernel (own uid or own cgroup), or whoever bears an agent's key:
    /// it may only report.
    Agent,
    /// An application that asks what its users may do, and nothing else.
    Service,
}

impl Role {
    pub const ALL: &'static [Self] = &[Self::Viewer, Self::Operator, Self::Admin, Self::Agent, Self::Service];

    pub fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::Viewer => &[P::FleetRead, P::SessionOwn],
            Self::Operator => &[
                P::FleetRead,
                P::AgentControl,
                P::AgentReport,
                P::ReadinessRun,
                P::ReadinessWaive,
                P::AccessAsk,
                P::SessionOwn,
                P::AuditRead,
                P::ErrorResolve,
                P::BreakerControl,
                P::ApprovalGive,
                P::BackupMake,
                P::ChecklistAttest,
                P::ReleaseManage,
                P::ReleaseDeploy,
            ],
            Self::Admin => P::ALL,
            Self::Agent => &[P::AgentReport],
            Self::Service => &[P::AccessAsk, P::SessionOwn],
        }
    }

    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Service => "service",
        }
    }

    /// Who it is for.
    pub fn about(self) -> &'static str {
        match self {
            Self::Viewer => "looks at the fleet; sees no client's data",
            Self::Operator => "runs the fleet, and answers for it",
            Self::Admin => "everything; root and the daemon's own user always are",
            Self::Agent => "one of the fleet: reports for itself, and nothing else",
            Self::Service => "an application that asks what its users may do",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the kernel says of the process at the other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<i32>,
}

/// Who asks, how that was proved, and what it amounts to here. Made once a request, past the gate never doubted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The process at the other end.
    pub identity: Identity,
    /// Who answers for the request: the bearer of a key, or else the user of the process.
    pub principal: Principal,
    pub means: Means,
    pub role: Role,
    /// Set when the caller is a supervised agent, by a fact of the kernel; no key or session takes that away.
    pub agent: Option<AgentName>,
    /// What it may do in the applications, by name; none for people.
    pub application_role: Option<String>,
    /// Whose data it may see.
    pub clients: Clients,
    /// Follows one request through audit, errors and logs.
    pub correlation: CorrelationId,
}

impl Caller {
    /// Known by what the kernel says and nothing else.
    pub fn by_socket(identity: Identity, role: Role, agent: Option<AgentName>) -> Self {
        let principal = match &agent {
            Some(agent) => Principal::agent(agent),
            None => Principal::user(identity.uid),
        };
        Self {
            identity,
            principal,
            means: Means::Socket,
            role,
            agent,
            application_role: None,
            clients: match role {
                Role::Admin | Role::Operator => Clients::All,
                // A viewer looks at the fleet, not at clients' data; what an agent may see, the file says.
                Role::Viewer | Role::Agent | Role::Service => Clients::None,
            },
            correlation: CorrelationId::default(),
        }
    }

    /// For the next request of the same connection.
    #[must_use]
    pub fn for_request(&self, correlation: CorrelationId) -> Self {
        Self { correlation, ..self.clone() }
    }
}

/// Whose data a principal may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clients {
    All,
    Only(BTreeSet<String>),
    #[default]
    None,
}

impl Clients {
    pub fn include(&self, client: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(clients) => clients.contains(client),
            Self::None => false,
        }
    }
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
        for permission in Permission::ALL {
            let word = serde_json::to_value(permission).expect("a word");
            assert_eq!(word, permission.as_str());
        }
        assert!(!Role::Viewer.may(Permission::AgentControl));
        assert!(!Role::Operator.may(Permission::PolicyChange));
        assert!(
            !Role::Agent.may(Permission::ReadinessWaive) && !Role::Viewer.may(Permission::ReadinessWaive)
        );
        assert!(Role::Admin.may(Permission::DaemonControl));
        assert!(!Role::Agent.may(Permission::ApprovalGive) && !Role::Service.may(Permission::ApprovalGive));
    }
}
