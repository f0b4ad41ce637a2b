//! Peer credentials → Caller. Any doubt refuses.
use crate::domain::{AgentName, Caller, Fault, Identity};

/// What `auth` wants to know of running agents; `boot` supplies it from the supervisor.
pub trait Directory: Send + Sync {
    /// The agent this process belongs to by uid or cgroup, if any.
    fn agent_of(&self, identity: &Identity) -> Result<Option<AgentName>, Fault>;
}

#[allow(unused_variables)]
pub fn identify(identity: Identity, directory: &dyn Directory) -> Result<Caller, Fault> {
    todo!()
}
