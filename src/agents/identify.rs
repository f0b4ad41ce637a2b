//! Who a peer is among our agents, and what keeps the least separated of them from acting as the operator.
use super::{Supervisor, cgroup, users};
use crate::domain::{AgentName, AgentState, Fault, FaultKind, Identity, Separation};

impl Supervisor {
    /// Which agent a peer is, by a fact of the kernel: its own uid, or the cgroup of its pid. An error where the
    /// peer could be an agent and nobody can tell which.
    pub fn agent_of(&self, identity: &Identity) -> Result<Option<AgentName>, Fault> {
        let doubt = |why: &str| {
            Err(Fault::new(
                FaultKind::Forbidden,
                format!("cannot tell which agent uid {} is: {why}", identity.uid),
            ))
        };
        let own_uid = rustix::process::geteuid().as_raw();
        if identity.uid != own_uid {
            let names = self.roster().agents_of_uid(identity.uid);
            match names.as_slice() {
                [name] => return Ok(Some(name.clone())),
                [] if users::RANGE.contains(&identity.uid) && own_uid == 0 => {
                    return doubt("the uid is kept for agents and none of them has it");
                }
                _ => {} // nobody's, or shared by several: its cgroup may tell
            }
            if names.len() > 1 {
                let owner = identity.pid.and_then(|pid| cgroup::owner_of(&self.0.shared.fleet_id, pid));
                return owner.map_or_else(|| doubt("several agents share it"), |id| Ok(Some(id.agent)));
            }
        }
        if self.0.shared.cgroups.is_none() {
            return Ok(None);
        }
        match identity.pid {
            Some(pid) => Ok(cgroup::owner_of(&self.0.shared.fleet_id, pid).map(|id| id.agent)),
            None => doubt("the kernel gave no pid to look up its cgroup by"),
        }
    }

    /// The weakest separation between any agent and the operator.
    pub fn separation(&self) -> Separation {
        let weight = |separation| match separation {
            Separation::OwnUser => 0,
            Separation::OwnCgroup => 1,
            Separation::None => 2,
        };
        let snapshot = self.snapshot();
        let enabled = snapshot.instances().filter(|(_, i)| i.state != AgentState::Disabled);
        enabled
            .map(|(_, instance)| instance.separation)
            .max_by_key(|s| weight(*s))
            .unwrap_or(Separation::OwnUser)
    }
}
