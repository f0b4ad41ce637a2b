//! Which peer is one of our agents: by the uid or the cgroup that the kernel shows of its instances.
use crate::{
    agents::Supervisor,
    auth::Directory,
    domain::{AgentName, Fault, FaultKind, FleetSnapshot, Identity, Separation},
};
use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    sync::{Mutex, PoisonError},
};

/// Facts of living instances, looked up once each.
pub struct Roster {
    supervisor: Supervisor,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    version: Option<u64>,
    /// (pid, generation) of instances already looked at.
    seen: HashMap<(i32, u64), Mark>,
    uids: HashMap<u32, AgentName>,
    cgroups: HashMap<String, AgentName>,
}

/// What tells an instance's processes from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Uid(u32),
    Cgroup(String),
}

impl Roster {
    pub fn new(supervisor: Supervisor) -> Self {
        Self { supervisor, known: Mutex::default() }
    }
}

impl Directory for Roster {
    fn agent_of(&self, identity: &Identity) -> Result<Option<AgentName>, Fault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.learn(&self.supervisor.snapshot(), look);
        if let Some(agent) = known.uids.get(&identity.uid) {
            return Ok(Some(agent.clone()));
        }
        if known.cgroups.is_empty() {
            return Ok(None);
        }
        let refused = |why: String| Fault::new(FaultKind::Forbidden, why);
        let pid = identity.pid.ok_or_else(|| refused("cannot see the caller's pid".into()))?;
        let cgroup =
            cgroup_of(pid).map_err(|e| refused(format!("cannot read the cgroup of pid {pid}: {e}")))?;
        Ok(known.owner_of(&cgroup).cloned())
    }
}

impl Known {
    /// Looks at instances that are new in this snapshot. Marks are kept after an instance ended, since a child of it
    /// may have outlived it; a uid is ours alone, and a cgroup is named after its instance.
    fn learn(&mut self, fleet: &FleetSnapshot, look: impl Fn(i32, Separation) -> io::Result<Option<Mark>>) {
        if self.version == Some(fleet.version) {
            return;
        }
        let mut complete = true;
        let mut seen = HashMap::new();
        for (agent, instance) in fleet.instances() {
            let Some(pid) = instance.pid else { continue };
            let key = (pid, instance.generation);
            let mark = match self.seen.remove(&key) {
                Some(mark) => mark,
                None => match look(pid, instance.separation) {
                    Ok(Some(mark)) => mark,
                    Ok(None) => continue,
                    // Ended meanwhile, or not there yet: looked at again with the next caller.
                    Err(_) => {
                        complete = false;
                        continue;
                    }
                },
            };
            match &mark {
                Mark::Uid(uid) => self.uids.insert(*uid, agent.name.clone()),
                Mark::Cgroup(path) => self.cgroups.insert(path.clone(), agent.name.clone()),
            };
            seen.insert(key, mark);
        }
        self.seen = seen;
        self.version = complete.then_some(fleet.version);
    }

    /// The instance whose cgroup this is, or lies in.
    fn owner_of(&self, cgroup: &str) -> Option<&AgentName> {
        let mut place = cgroup;
        loop {
            if let Some(agent) = self.cgroups.get(place) {
                return Some(agent);
            }
            place = place.rsplit_once('/')?.0;
        }
    }
}

fn look(pid: i32, separation: Separation) -> io::Result<Option<Mark>> {
    let mark = match separation {
        Separation::None => return Ok(None),
        Separation::OwnUser => Mark::Uid(fs::metadata(format!("/proc/{pid}"))?.uid()),
        Separation::OwnCgroup => Mark::Cgroup(cgroup_of(pid)?),
    };
    // Just forked: it has not moved yet. Taking our own mark for an agent's would lock the operator out.
    let ours = match &mark {
        Mark::Uid(uid) => *uid == 0 || *uid == rustix::process::geteuid().as_raw(),
        Mark::Cgroup(path) => holds(path, &cgroup_of(std::process::id().cast_signed())?),
    };
    if ours { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(Some(mark)) }
}

/// Is `inner` this cgroup, or one below it?
fn holds(outer: &str, inner: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The unified hierarchy's line of /proc/PID/cgroup.
fn cgroup_of(pid: i32) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(path.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentState, AgentStatus, InstanceId, InstanceStatus};
    use std::{cell::Cell, sync::Arc};

    fn fleet(version: u64, pids: &[(&str, i32)]) -> FleetSnapshot {
        let agents = pids.iter().map(|(name, pid)| {
            let name: AgentName = name.parse().expect("a name");
            let instance = InstanceStatus {
                id: InstanceId::new(name.clone(), 0),
                state: AgentState::Ready,
                reason: None,
                pid: Some(*pid),
                generation: 1,
                port: None,
                adopted: false,
                since: None,
                started_at: None,
                ready_at: None,
                restarts: 0,
                last_exit: None,
                separation: Separation::OwnCgroup,
            };
            Arc::new(AgentStatus {
                name,
                kind: "process".into(),
                tier: "default".into(),
                owner: None,
                state: AgentState::Ready,
                replicas: 1,
                depends_on: Vec::new(),
                instances: vec![instance],
            })
        });
        FleetSnapshot { agents: agents.collect(), version }
    }

    #[test]
    fn a_process_below_an_instances_cgroup_is_that_agent_even_after_the_instance_ended() {
        let mut known = Known::default();
        known.learn(&fleet(1, &[("orders", 10)]), |pid, _| Ok(Some(Mark::Cgroup(format!("/fleet/i{pid}")))));
        known.learn(&fleet(2, &[]), |_, _| unreachable!("nothing is new"));
        for inside in ["/fleet/i10", "/fleet/i10/deeper/still"] {
            assert_eq!(known.owner_of(inside).map(AgentName::as_str), Some("orders"), "{inside}");
        }
        for outside in ["/fleet", "/fleet/i100", "/", ""] {
            assert_eq!(known.owner_of(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_mark_that_we_bear_ourselves_is_never_an_agents() {
        let me = std::process::id().cast_signed();
        for separation in [Separation::OwnUser, Separation::OwnCgroup] {
            assert!(look(me, separation).is_err(), "{separation:?}");
        }
        for (outer, inner, is) in [
            ("/", "/a", true),
            ("/a", "/a", true),
            ("/a", "/a/b", true),
            ("/a/b", "/a", false),
            ("/a", "/ab", false),
        ] {
            assert_eq!(holds(outer, inner), is, "{outer} {inner}");
        }
    }

    #[test]
    fn each_instance_is_looked_at_once_and_one_that_could_not_be_seen_again() {
        let looks = Cell::new(0);
        let look = |pid: i32, _| {
            looks.set(looks.get() + 1);
            if pid == 11 && looks.get() < 3 {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(Some(Mark::Uid(u32::try_from(pid).expect("positive"))))
        };
        let mut known = Known::default();
        let fleet = fleet(1, &[("orders", 10), ("billing", 11)]);
        known.learn(&fleet, look);
        assert_eq!((looks.get(), known.uids.contains_key(&11)), (2, false));
        known.learn(&fleet, look);
        assert_eq!((looks.get(), known.uids.contains_key(&11)), (3, true));
        known.learn(&fleet, look);
        assert_eq!(looks.get(), 3);
    }
}
