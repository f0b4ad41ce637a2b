//! Which peer is one of our agents: the supervisor knows, by uid and by cgroup.
use crate::{
    agents::Supervisor,
    auth::Directory,
    domain::{AgentName, Fault, Identity},
};

pub struct Roster(Supervisor);

impl Roster {
    pub fn new(supervisor: Supervisor) -> Self {
        Self(supervisor)
    }
}

impl Directory for Roster {
    fn agent_of(&self, identity: &Identity) -> Result<Option<AgentName>, Fault> {
        self.0.agent_of(identity)
    }
}
