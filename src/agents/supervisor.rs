//! Owns one actor per agent; start, stop, restart, scale, snapshot.
use crate::{
    agents::runtime,
    config::{AgentSettings, Kind, Paths, ProbeSettings, Settings},
    domain::{AgentName, Fault, FleetSnapshot, Identity, InstanceId, Observation, Separation},
    resilience::Clock,
    store::Store,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// What the supervisor is given by `boot`.
pub struct SupervisorParts {
    pub settings: Arc<Settings>,
    pub paths: Paths,
    pub store: Store,
    pub clock: Clock,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    pub added: Vec<AgentName>,
    pub removed: Vec<AgentName>,
    /// Something its processes depend on changed.
    pub restarted: Vec<AgentName>,
    /// Changed without a restart (probes, replicas, policy).
    pub updated: Vec<AgentName>,
    pub unchanged: u32,
}

/// Which lines of an agent's output.
#[derive(Clone, Debug)]
pub struct LogQuery {
    pub instance: InstanceId,
    pub lines: usize,
}

#[derive(Clone)]
pub struct Supervisor {}

#[allow(unused_variables, clippy::unused_async)]
impl Supervisor {
    /// Adopts or reaps what an earlier daemon left, then starts the fleet in the background.
    pub async fn launch(parts: SupervisorParts) -> Result<Self, Fault> {
        todo!()
    }
    /// Every `kind` of agent there is.
    pub fn kinds() -> Vec<Kind> {
        runtime::RUNTIMES.iter().map(|runtime| runtime.kind()).collect()
    }
    /// The declared probes of an agent, and the implied one where none says when it is ready.
    pub fn probes_of(agent: &AgentSettings) -> Vec<ProbeSettings> {
        runtime::probes_of(agent)
    }
    /// Which agent a peer is, by a fact of the kernel: its own uid, or the cgroup of its pid. An error where the
    /// peer could be an agent and nobody can tell which.
    pub fn agent_of(&self, identity: &Identity) -> Result<Option<AgentName>, Fault> {
        todo!()
    }
    /// The weakest separation between any agent and the operator.
    pub fn separation(&self) -> Separation {
        todo!()
    }
    pub fn snapshot(&self) -> FleetSnapshot {
        todo!()
    }
    /// A doorbell: the snapshot's version, raised with each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }
    /// What health saw of an instance. Void if `generation` is not its present one.
    pub fn observe(&self, instance: &InstanceId, generation: u64, observation: Observation) {
        todo!()
    }
    /// What health saw of a dependency.
    pub fn observe_dependency(&self, name: &str, observation: Observation) {
        todo!()
    }
    /// Names of dependencies and agents that are down, with the reason; health blocks the probes that need them.
    pub fn dependencies_down(&self) -> BTreeMap<String, String> {
        todo!()
    }
    /// Clears a latch and a stop by hand. Returns when asked, not when ready: watch the snapshot.
    pub async fn start(&self, agents: &[AgentName]) -> Result<(), Fault> {
        todo!()
    }
    /// Returns when nothing of them is alive.
    pub async fn stop(&self, agents: &[AgentName]) -> Result<(), Fault> {
        todo!()
    }
    pub async fn restart(&self, agents: &[AgentName]) -> Result<(), Fault> {
        todo!()
    }
    pub async fn scale(&self, agent: &AgentName, replicas: u32) -> Result<(), Fault> {
        todo!()
    }
    /// A JSON-RPC request to a `process` agent.
    pub async fn request(
        &self,
        instance: &InstanceId,
        method: &str,
        params: Value,
        deadline: Duration,
    ) -> Result<Value, Fault> {
        todo!()
    }
    /// The last lines of an instance's log, oldest first, and where the live file is so that it can be followed.
    pub fn logs(&self, query: &LogQuery) -> Result<(Vec<String>, PathBuf), Fault> {
        todo!()
    }
    /// Brings the fleet to new settings, restarting only what changed.
    pub async fn apply(&self, settings: Arc<Settings>) -> Result<ApplyReport, Fault> {
        todo!()
    }
    /// Stops every agent in reverse dependency order; what is left at the deadline is killed. Nothing survives.
    pub async fn shutdown(&self, deadline: Duration) {
        todo!()
    }
}
