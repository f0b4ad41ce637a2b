//! The fleet as others see it. An actor replaces the one `AgentStatus` it changed; the slice over all agents is made
//! when somebody reads, so that a whole fleet changing state costs each agent once.
use super::needs::Needs;
use crate::domain::{AgentName, AgentState, AgentStatus, FleetSnapshot, InstanceId, InstanceStatus};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

pub struct Board {
    inner: Mutex<Inner>,
    bell: watch::Sender<u64>,
    pub needs: Needs,
}

#[derive(Default)]
struct Inner {
    order: Vec<AgentName>,
    agents: HashMap<AgentName, Arc<AgentStatus>>,
    /// Beside the fleet: nobody counts them among it or waits for them.
    candidates: BTreeMap<AgentName, InstanceStatus>,
    version: u64,
    read: FleetSnapshot,
}

impl Board {
    pub fn new() -> Self {
        Self { inner: Mutex::default(), bell: watch::Sender::new(0), needs: Needs::default() }
    }

    pub fn snapshot(&self) -> FleetSnapshot {
        let mut inner = self.lock();
        if inner.read.version != inner.version {
            let agents = inner.order.iter().filter_map(|name| inner.agents.get(name)).cloned().collect();
            inner.read = FleetSnapshot { agents, version: inner.version };
        }
        inner.read.clone()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// The agents there are, in manifest order, with everything but their instances, which stay as they are.
    pub fn set_roster(&self, roster: Vec<AgentStatus>) {
        self.change(|inner| {
            inner.order = roster.iter().map(|agent| agent.name.clone()).collect();
            let mut before = std::mem::take(&mut inner.agents);
            for mut agent in roster {
                if let Some(old) = before.remove(&agent.name) {
                    agent.instances.clone_from(&old.instances);
                }
                agent.state = overall(&agent.instances);
                inner.agents.insert(agent.name.clone(), Arc::new(agent));
            }
        });
    }

    /// The present status of one instance. Ignored for an agent that is not in the roster.
    pub fn put(&self, status: InstanceStatus) {
        if status.id.is_candidate() {
            return self.change(|inner| drop(inner.candidates.insert(status.id.agent.clone(), status)));
        }
        let name = status.id.agent.clone();
        self.edit(&name, |instances| {
            match instances.binary_search_by_key(&status.id.index, |old| old.id.index) {
                Ok(at) => instances[at] = status,
                Err(at) => instances.insert(at, status),
            }
        });
    }

    pub fn remove(&self, id: &InstanceId) {
        if id.is_candidate() {
            return self.change(|inner| drop(inner.candidates.remove(&id.agent)));
        }
        self.edit(&id.agent, |instances| instances.retain(|instance| instance.id != *id));
    }

    /// By agent.
    pub fn candidates(&self) -> Vec<InstanceStatus> {
        self.lock().candidates.values().cloned().collect()
    }

    fn edit(&self, name: &AgentName, edit: impl FnOnce(&mut Vec<InstanceStatus>)) {
        self.change(|inner| {
            let Some(slot) = inner.agents.get_mut(name) else { return };
            let agent = Arc::make_mut(slot);
            edit(&mut agent.instances);
            agent.state = overall(&agent.instances);
            let down = why_down(agent);
            self.needs.report(name.as_str(), down.as_deref());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let version = {
            let mut inner = self.lock();
            change(&mut inner);
            inner.version += 1;
            inner.version
        };
        self.bell.send_if_modified(|rung| {
            let newer = version > *rung;
            *rung = version.max(*rung);
            newer
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One state for an agent: its instances' where they agree; starting while they come up; else degraded while at
/// least one works, and the worst where none does.
fn overall(instances: &[InstanceStatus]) -> AgentState {
    use AgentState as S;
    let states = || instances.iter().map(|instance| instance.state);
    let Some(first) = states().next() else { return S::Stopped };
    if states().all(|state| state == first) {
        first
    } else if states().all(|state| matches!(state, S::Waiting | S::Starting | S::Ready)) {
        S::Starting
    } else if states().any(|state| matches!(state, S::Ready | S::Degraded)) {
        S::Degraded
    } else {
        const WORST_FIRST: [S; 6] =
            [S::Failed, S::CrashLooping, S::Unhealthy, S::BackingOff, S::Stopping, S::Starting];
        WORST_FIRST.into_iter().find(|worst| states().any(|state| state == *worst)).unwrap_or(first)
    }
}

/// Who depends on an agent needs one instance of it that is ready.
fn why_down(agent: &AgentStatus) -> Option<String> {
    if agent.instances.iter().any(|instance| instance.state == AgentState::Ready) {
        return None;
    }
    let reason = agent.instances.iter().find_map(|instance| instance.reason.as_deref());
    Some(reason.map_or_else(
        || format!("{} is {}", agent.name, agent.state.as_str()),
        |reason| format!("{} is {}: {reason}", agent.name, agent.state.as_str()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Separation;
    use AgentState as S;

    fn name(text: &str) -> AgentName {
        text.parse().expect("a name")
    }

    fn instance(agent: &str, index: u32, state: AgentState) -> InstanceStatus {
        InstanceStatus {
            id: InstanceId::new(name(agent), index),
            state,
            reason: None,
            pid: None,
            generation: 0,
            port: None,
            adopted: false,
            since: None,
            started_at: None,
            ready_at: None,
            restarts: 0,
            last_exit: None,
            separation: Separation::None,
            release: None,
        }
    }

    fn agent(text: &str) -> AgentStatus {
        AgentStatus {
            name: name(text),
            kind: "process".into(),
            tier: "core".into(),
            owner: None,
            state: S::Stopped,
            replicas: 1,
            depends_on: Vec::new(),
            instances: Vec::new(),
        }
    }

    #[test]
    fn one_state_speaks_for_all_instances() {
        let table: [(&[S], S); 7] = [
            (&[S::Ready, S::Ready], S::Ready),
            (&[S::Ready, S::Starting], S::Starting),
            (&[S::Ready, S::Stopped], S::Degraded),
            (&[S::Ready, S::CrashLooping], S::Degraded),
            (&[S::BackingOff, S::Failed], S::Failed),
            (&[S::Starting, S::Stopping], S::Stopping),
            (&[], S::Stopped),
        ];
        for (states, want) in table {
            let instances: Vec<_> = states.iter().map(|state| instance("a", 0, *state)).collect();
            assert_eq!(overall(&instances), want, "{states:?}");
        }
    }

    #[test]
    fn a_change_touches_one_agent_and_rings_once() {
        let board = Board::new();
        board.set_roster(vec![agent("b"), agent("a")]);
        board.put(instance("a", 0, S::Ready));
        let before = board.snapshot();
        let bell = board.changes();
        board.put(instance("b", 1, S::Starting));
        board.put(instance("b", 0, S::Starting));
        let after = board.snapshot();
        assert!(bell.has_changed().expect("open") && after.version > before.version);
        assert!(Arc::ptr_eq(&before.agents[1], &after.agents[1]), "a was copied although only b changed");
        assert_eq!(before.agents[0].instances.len(), 0, "a snapshot never changes");
        assert!(Arc::ptr_eq(&after.agents, &board.snapshot().agents), "nothing changed, nothing is rebuilt");
        let order: Vec<_> = after.instances().map(|(_, instance)| instance.id.to_string()).collect();
        assert_eq!(order, ["b/0", "b/1", "a/0"]);
    }

    #[test]
    fn a_candidate_is_beside_the_fleet_and_not_of_it() {
        let board = Board::new();
        board.set_roster(vec![agent("a")]);
        board.put(instance("a", 0, S::Ready));
        let id = InstanceId::candidate(name("a"));
        board.put(InstanceStatus { id: id.clone(), ..instance("a", 0, S::CrashLooping) });
        let fleet = board.snapshot();
        assert_eq!((fleet.instances().count(), fleet.agents[0].state), (1, S::Ready));
        assert!(board.needs.down().is_empty(), "what depends on the agent was told of its candidate");
        assert_eq!(board.candidates().len(), 1);
        board.put(instance("a", 0, S::Failed));
        board.put(InstanceStatus { id: id.clone(), ..instance("a", 0, S::Ready) });
        assert!(board.needs.down().contains_key("a"), "a candidate stood in for what is down");
        board.remove(&id);
        assert_eq!((board.candidates().len(), board.snapshot().instances().count()), (0, 1));
    }

    #[test]
    fn an_agent_is_up_for_others_while_one_instance_is_ready() {
        let board = Board::new();
        board.set_roster(vec![agent("a")]);
        board.put(instance("a", 0, S::Ready));
        board.put(instance("a", 1, S::CrashLooping));
        assert!(board.needs.down().is_empty());
        board.put(instance("a", 0, S::BackingOff));
        assert!(board.needs.down()["a"].contains("crash-looping"));
        board.put(instance("gone", 0, S::Failed));
        assert!(!board.needs.down().contains_key("gone"));
    }
}
