//! The supervisor's list: which agents there are, what is wanted of each, and the handles of its instances.
use super::{
    actor::{self, Handle},
    adopt::Inheritance,
    plan::Plan,
    shared::Shared,
};
use crate::{
    config::Settings,
    domain::{AgentName, AgentStatus, Desire, Fault, InstanceId},
};
use std::{collections::BTreeMap, sync::Arc};

/// Nobody has asked for anything.
pub const NO_DESIRE: Desire = Desire { stopped: false, replicas: None };

pub struct Roster {
    pub settings: Arc<Settings>,
    /// As in the manifest.
    pub order: Vec<AgentName>,
    pub agents: BTreeMap<AgentName, Agent>,
}

pub struct Agent {
    pub plan: Arc<Plan>,
    pub desire: Desire,
    /// By index.
    pub instances: Vec<Handle>,
}

impl Agent {
    /// Starts the actors that are missing, or have ended in a change that was not finished.
    pub fn grow(
        &mut self,
        shared: &Arc<Shared>,
        wanted: usize,
        mut inheritance: impl FnMut(&InstanceId) -> Inheritance,
    ) {
        for place in 0..wanted {
            if self.instances.get(place).is_some_and(|handle| !handle.orders.is_closed()) {
                continue;
            }
            let index = u32::try_from(place).unwrap_or(u32::MAX); // at most 1000
            let id = InstanceId::new(self.plan.name().clone(), index);
            let heir = inheritance(&id);
            let wake = !self.desire.stopped;
            let handle = actor::launch(id, self.plan.clone(), shared.clone(), heir, wake);
            match self.instances.get_mut(place) {
                Some(ended) => *ended = handle,
                None => self.instances.push(handle),
            }
        }
    }
}

impl Roster {
    pub fn new(settings: Arc<Settings>) -> Self {
        let order = settings.agents.iter().map(|agent| agent.name.clone()).collect();
        Self { settings, order, agents: BTreeMap::new() }
    }

    pub fn add(&mut self, agent: Agent) {
        self.agents.insert(agent.plan.name().clone(), agent);
    }

    pub fn remove(&mut self, name: &AgentName) {
        self.agents.remove(name);
        self.order.retain(|other| other != name);
    }

    /// The agent, or a fault that names the nearest one there is.
    pub fn agent(&self, name: &AgentName) -> Result<&Agent, Fault> {
        self.agents.get(name).ok_or_else(|| {
            let near = self
                .agents
                .keys()
                .map(|other| (strsim::damerau_levenshtein(other.as_str(), name.as_str()), other))
                .min_by_key(|(distance, _)| *distance)
                .filter(|(distance, _)| *distance <= name.as_str().len().max(3) / 2);
            let hint = near.map_or_else(
                || "`agentctl agent list` shows those there are".to_owned(),
                |(_, near)| format!("did you mean `{near}`?"),
            );
            Fault::not_found(format!("cannot find an agent `{name}`")).hint(hint)
        })
    }

    pub fn instance(&self, id: &InstanceId) -> Result<&Handle, Fault> {
        let agent = self.agent(&id.agent)?;
        agent.instances.get(id.index as usize).ok_or_else(|| {
            Fault::not_found(format!("cannot find {id}: {} has {} replicas", id.agent, agent.instances.len()))
                .hint(format!("`agentctl agent show {}` lists them", id.agent))
        })
    }

    pub fn plans(&self) -> Vec<Arc<Plan>> {
        self.order.iter().filter_map(|name| self.agents.get(name)).map(|agent| agent.plan.clone()).collect()
    }

    /// In manifest order, without instances.
    pub fn statuses(&self) -> Vec<AgentStatus> {
        let agents = self.order.iter().filter_map(|name| self.agents.get(name));
        agents.map(|agent| agent.plan.status(&agent.desire)).collect()
    }

    /// Agents that run as this uid.
    pub fn agents_of_uid(&self, uid: u32) -> Vec<AgentName> {
        let runs_as = |agent: &&Agent| agent.plan.user.is_some_and(|(own, _)| own == uid);
        self.agents.values().filter(runs_as).map(|agent| agent.plan.name().clone()).collect()
    }

    /// Every agent, and for each those who depend on it.
    pub fn dependents(&self) -> (Vec<AgentName>, BTreeMap<AgentName, Vec<AgentName>>) {
        let mut dependents: BTreeMap<AgentName, Vec<AgentName>> = BTreeMap::new();
        for (name, agent) in &self.agents {
            for need in &agent.plan.settings.depends_on {
                if let Ok(need) = need.parse() {
                    dependents.entry(need).or_default().push(name.clone());
                }
            }
        }
        (self.agents.keys().cloned().collect(), dependents)
    }
}
