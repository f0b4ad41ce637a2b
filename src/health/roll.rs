//! Who is on the board: the plan and the fleet, followed. What stays the same keeps its standing.
use super::{
    Target,
    board::Board,
    plan::{Plan, Planned},
    subject::{Slot, Subject},
};
use crate::domain::{AgentState, AgentStatus, FleetSnapshot, InstanceId, InstanceStatus};
use jiff::Timestamp;
use std::{collections::BTreeSet, fmt, sync::Arc};
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Instance(InstanceId),
    Dependency(Arc<str>),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(id) => id.fmt(f),
            Self::Dependency(name) => f.write_str(name),
        }
    }
}

impl Key {
    /// With nothing known of it yet.
    fn subject(&self, now: Instant) -> Subject {
        let mut target = Target::local(&self.to_string(), None);
        if let Self::Instance(id) = self {
            target.instance = Some(id.clone());
        }
        target.since = now;
        target.owned = Some(Arc::default());
        Subject::new(target)
    }
}

impl Board {
    /// Brings the board to a new plan. Probes that are the same keep their standing.
    pub fn set_plan(&mut self, plan: Plan, now: Instant, at: Timestamp) {
        self.plan = plan;
        let gone: Vec<Key> = self
            .subjects
            .keys()
            .filter(|key| matches!(key, Key::Dependency(name) if !self.plan.dependencies.contains_key(name)))
            .cloned()
            .collect();
        for key in &gone {
            self.remove(key);
        }
        for (name, planned) in &self.plan.dependencies {
            let key = Key::Dependency(Arc::clone(name));
            let subject = self.subjects.entry(key.clone()).or_insert_with(|| key.subject(now));
            subject.up = true;
            refit(subject, std::slice::from_ref(planned), &mut self.last_slot);
        }
        self.index();
        let fleet = std::mem::take(&mut self.fleet);
        self.set_fleet(fleet, now, at);
        let dependencies: Vec<Key> =
            self.subjects.keys().filter(|key| matches!(key, Key::Dependency(_))).cloned().collect();
        for key in dependencies {
            self.arrange(&key, now, at);
        }
    }

    /// Follows the fleet. What has not changed since the last time costs one comparison.
    pub fn set_fleet(&mut self, fleet: FleetSnapshot, now: Instant, at: Timestamp) {
        let before = std::mem::replace(&mut self.fleet, fleet.clone());
        let mut index_is_stale = before.agents.len() != fleet.agents.len();
        let mut changed = Vec::new();
        for (place, agent) in fleet.agents.iter().enumerate() {
            let old = before.agents.get(place);
            if old.is_some_and(|old| Arc::ptr_eq(old, agent)) {
                continue;
            }
            index_is_stale |=
                old.is_none_or(|old| old.name != agent.name || old.instances.len() != agent.instances.len());
            for instance in &agent.instances {
                let key = Key::Instance(instance.id.clone());
                index_is_stale |= self.follow(&key, agent, instance, now);
                changed.push(key);
            }
        }
        if index_is_stale {
            let present: BTreeSet<&InstanceId> =
                fleet.instances().map(|(_, instance)| &instance.id).collect();
            let gone: Vec<Key> = self
                .subjects
                .keys()
                .filter(|key| matches!(key, Key::Instance(id) if !present.contains(id)))
                .cloned()
                .collect();
            for key in &gone {
                self.remove(key);
            }
            self.index();
        }
        for key in changed {
            self.arrange(&key, now, at);
        }
    }

    /// True if probes were added or removed.
    fn follow(&mut self, key: &Key, agent: &AgentStatus, instance: &InstanceStatus, now: Instant) -> bool {
        let plan = self.plan.agents.get(&agent.name);
        let is_new = !self.subjects.contains_key(key);
        let subject = self.subjects.entry(key.clone()).or_insert_with(|| key.subject(now));
        subject.target.base = plan.and_then(|plan| plan.base.clone());
        let reachable = instance.pid.is_some() || subject.target.base.is_some();
        let up = reachable && instance.state.is_up() && instance.state != AgentState::Stopping;
        let another = instance.generation != subject.generation || instance.pid != subject.target.pid;
        if another || (subject.up && !up) {
            subject.void(now);
        }
        subject.up = up;
        subject.state = Some(instance.state);
        subject.generation = instance.generation;
        subject.target.pid = instance.pid;
        subject.target.port = instance.port;
        // Adopted, or made ready by somebody else: its start is behind it.
        subject.ready_once |= matches!(instance.state, AgentState::Ready | AgentState::Degraded);
        subject.depends_on.clone_from(&agent.depends_on);
        refit(subject, plan.map_or(&[], |plan| &plan.probes), &mut self.last_slot) || is_new
    }

    fn remove(&mut self, key: &Key) {
        self.subjects.remove(key);
    }

    fn index(&mut self) {
        self.slots = self
            .subjects
            .iter()
            .flat_map(|(key, subject)| {
                subject.slots.iter().enumerate().map(move |(place, slot)| (slot.id, (key.clone(), place)))
            })
            .collect();
    }
}

/// Gives the subject these probes, in this order; those it had keep their standing. True if any came or went.
fn refit(subject: &mut Subject, wanted: &[Arc<Planned>], last_slot: &mut u64) -> bool {
    let same = subject.slots.len() == wanted.len()
        && subject.slots.iter().zip(wanted).all(|(slot, planned)| Arc::ptr_eq(&slot.planned, planned));
    if same {
        return false;
    }
    let mut before = std::mem::take(&mut subject.slots);
    for planned in wanted {
        let kept = before.iter().position(|slot| Arc::ptr_eq(&slot.planned, planned));
        subject.slots.push(if let Some(place) = kept {
            before.swap_remove(place)
        } else {
            *last_slot += 1;
            Slot::new(*last_slot, Arc::clone(planned))
        });
    }
    true
}
