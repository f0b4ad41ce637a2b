//! Owns one actor per instance; start, stop, restart, scale, snapshot. `reload` and `ending` continue it.
use super::{
    actor::{Handle, Order},
    adopt::{self, Inheritance},
    candidate::Candidates,
    cgroup::CgroupTree,
    child::become_subreaper,
    ending::end_unwanted,
    plan::{self, Plan},
    procfs,
    reaper::reap_in_background,
    roster::{self, Agent, Roster},
    rpc, runtime,
    shared::Shared,
    streams,
    switch::Switch,
    users,
};
use crate::{
    config::{AgentSettings, Cgroups, Kind, Paths, ProbeSettings, Settings},
    domain::{AgentName, Desire, Fault, FaultKind, FleetSnapshot, InstanceId, Observation},
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    task::spawn_blocking,
    time::timeout,
};

/// How long an order may wait for a place in an actor's box, and a change of the fleet for the one before it.
pub(super) const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// What the supervisor is given by `boot`.
pub struct SupervisorParts {
    pub settings: Arc<Settings>,
    pub paths: Paths,
    pub store: Store,
    pub clock: Clock,
    pub errors: Errors,
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
pub struct Supervisor(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    roster: Mutex<Roster>,
    pub(super) candidates: Mutex<Candidates>,
    /// One change of the fleet at a time.
    pub(super) turn: Semaphore,
}

impl Supervisor {
    /// Adopts or reaps what an earlier daemon left, then starts the fleet in the background.
    pub async fn launch(parts: SupervisorParts) -> Result<Self, Fault> {
        if let Err(error) = become_subreaper() {
            tracing::warn!(%error, "orphans of agents will fall to init instead of agentd");
        }
        let settings = parts.settings.clone();
        let fleet_id = parts.store.fleet_id().to_owned();
        // The machine is looked at beside the store, since a first answer waits for both.
        let machine = spawn_blocking({
            let (fleet_id, cgroups) = (fleet_id.clone(), settings.daemon.cgroups);
            move || (open_cgroups(cgroups, &fleet_id), procfs::marked(&fleet_id))
        });
        let names: Vec<AgentName> = settings.agents.iter().map(|agent| agent.name.clone()).collect();
        let kept = parts.store.kept_of_agents().await?;
        let uids = users::granted(&parts.store, kept.uids, &names, parts.clock.now()).await?;
        let switch = Switch::open(&parts.paths.agent_system);
        let plans = plan::plans(&settings, &uids, switch.thrown().off.is_none())?;
        let desires: BTreeMap<_, _> = kept.desires.into_iter().collect();
        streams::make_directories(&parts.paths)?;
        let (cgroups, marked) = machine
            .await
            .map_err(|panic| Fault::internal(format!("cannot look for what an ended run left: {panic}")))?;
        let shared = Arc::new(Shared::new(parts, switch, fleet_id, cgroups));

        let find = |id: &InstanceId| {
            let plan = plans.iter().find(|plan| *plan.name() == id.agent)?;
            Some((&**plan, desires.get(&id.agent).unwrap_or(&roster::NO_DESIRE)))
        };
        let heirs = adopt::inherit(kept.instances, &marked, find, &shared);

        let roster = Mutex::new(Roster::new(settings));
        let inner = Inner { shared, roster, candidates: Mutex::default(), turn: Semaphore::new(1) };
        let supervisor = Self(Arc::new(inner));
        supervisor.populate(plans, desires, heirs);
        reap_in_background(&supervisor.0);
        Ok(supervisor)
    }

    /// What marks this fleet's processes in their environment.
    pub fn fleet_id(&self) -> &str {
        &self.0.shared.fleet_id
    }

    /// Every `kind` of agent there is.
    pub fn kinds() -> Vec<Kind> {
        runtime::RUNTIMES.iter().map(|runtime| runtime.kind()).collect()
    }

    /// The declared probes of an agent, and the implied one where none says when it is ready.
    pub fn probes_of(agent: &AgentSettings) -> Vec<ProbeSettings> {
        runtime::probes_of(agent)
    }

    pub fn snapshot(&self) -> FleetSnapshot {
        self.0.shared.board.snapshot()
    }

    /// A doorbell: the snapshot's version, raised with each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.shared.board.changes()
    }

    /// What health saw of an instance. Void if `generation` is not its present one.
    pub fn observe(&self, instance: &InstanceId, generation: u64, observation: Observation) {
        if let Ok(handle) = self.handle_of(instance) {
            handle.desk.tell(generation, observation);
        }
    }

    /// What health saw of a dependency.
    pub fn observe_dependency(&self, name: &str, observation: Observation) {
        let down = match &observation {
            Observation::Ready => None,
            Observation::NotReady { reason } | Observation::Unhealthy { reason } => Some(reason.as_str()),
        };
        self.0.shared.board.needs.report(name, down);
    }

    /// Names of dependencies and agents that are down, with the reason; health blocks the probes that need them.
    pub fn dependencies_down(&self) -> BTreeMap<String, String> {
        self.0.shared.board.needs.down()
    }

    /// Clears a latch and a stop by hand. Returns when asked, not when ready: watch the snapshot.
    pub async fn start(&self, agents: &[AgentName]) -> Result<(), Fault> {
        self.wake(agents, || Order::Wake).await
    }

    /// Returns when nothing of them is alive.
    pub async fn stop(&self, agents: &[AgentName]) -> Result<(), Fault> {
        let turn = self.turn().await?;
        for agent in self.found(agents)? {
            self.desire(&agent, |desire| desire.stopped = true).await?;
        }
        drop(turn); // a stop may take long, and need not hold up others
        join_all(agents.iter().map(|agent| self.halt(agent, None))).await.into_iter().collect()
    }

    pub async fn restart(&self, agents: &[AgentName]) -> Result<(), Fault> {
        self.wake(agents, || Order::Restart).await
    }

    pub async fn scale(&self, agent: &AgentName, replicas: u32) -> Result<(), Fault> {
        let _turn = self.turn().await?;
        self.roster().agent(agent)?.plan.check_replicas(replicas)?;
        self.desire(agent, |desire| desire.replicas = Some(replicas)).await?;
        self.resize(agent).await?;
        self.0.shared.board.set_roster(self.roster().statuses());
        Ok(())
    }

    /// A JSON-RPC request to a `process` agent.
    pub async fn request(
        &self,
        instance: &InstanceId,
        method: &str,
        params: Value,
        deadline: Duration,
    ) -> Result<Value, Fault> {
        self.channel_of(instance)?.request(method, params, deadline).await
    }

    /// Any answer will do, an error too.
    pub async fn ping(&self, instance: &InstanceId, deadline: Duration) -> Result<(), Fault> {
        self.channel_of(instance)?.ping(deadline).await
    }

    fn channel_of(&self, instance: &InstanceId) -> Result<rpc::Channel, Fault> {
        let handle = self.handle_of(instance)?;
        let channel = handle.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        channel.ok_or_else(|| {
            Fault::new(
                FaultKind::Unavailable,
                format!("cannot ask {instance}: it is not a running process agent"),
            )
            .hint("`agentctl status` shows its kind and state")
        })
    }

    /// The last lines of an instance's log, oldest first, and where the live file is so that it can be followed.
    pub fn logs(&self, query: &LogQuery) -> Result<(Vec<String>, PathBuf), Fault> {
        // What a candidate said is there when it is gone; that is when it is wanted.
        if query.instance.is_candidate() {
            self.roster().agent(&query.instance.agent)?;
        } else {
            self.roster().instance(&query.instance)?;
        }
        streams::tail(&self.0.shared.paths, &query.instance, query.lines)
    }

    async fn wake(&self, agents: &[AgentName], order: impl Fn() -> Order) -> Result<(), Fault> {
        let _turn = self.turn().await?;
        for name in self.found(agents)? {
            if !self.roster().agent(&name)?.plan.enabled {
                return Err(self.is_off(&name));
            }
        }
        for name in agents {
            self.desire(name, |desire| desire.stopped = false).await?;
            let handles = self.roster().agent(name)?.instances.clone();
            for handle in handles {
                deliver(&handle, order()).await?;
            }
        }
        Ok(())
    }

    /// Why it may not run.
    fn is_off(&self, name: &AgentName) -> Fault {
        let (why, hint) = match self.switched_off() {
            Some(off) => (
                format!(
                    "the agent system is off since {}: {}",
                    off.at.strftime("%Y-%m-%d %H:%MZ"),
                    off.reason
                ),
                "`agentctl system on` lets agents start again",
            ),
            None => (
                "it is switched off".into(),
                "set enabled = true (and agent_system = \"on\"), then `agentctl config reload`",
            ),
        };
        Fault::new(FaultKind::Refused, format!("cannot start {name}: {why}")).hint(hint)
    }

    /// All of them, or a fault for the first that there is not: nothing is done by halves.
    fn found(&self, agents: &[AgentName]) -> Result<Vec<AgentName>, Fault> {
        let roster = self.roster();
        agents.iter().map(|name| roster.agent(name).map(|agent| agent.plan.name().clone())).collect()
    }

    /// Changes what is wanted of an agent: first in the store, then here.
    async fn desire(&self, name: &AgentName, change: impl FnOnce(&mut Desire)) -> Result<(), Fault> {
        let before = self.roster().agent(name)?.desire.clone();
        let mut desire = before.clone();
        change(&mut desire);
        if desire != before {
            self.0.shared.store.set_desire(name.clone(), desire.clone()).await?;
            if let Some(agent) = self.roster().agents.get_mut(name) {
                agent.desire = desire;
            }
        }
        Ok(())
    }

    /// Brings the number of instances to what is wanted.
    pub(super) async fn resize(&self, name: &AgentName) -> Result<(), Fault> {
        let (plan, desire, running) = {
            let roster = self.roster();
            let agent = roster.agent(name)?;
            (agent.plan.clone(), agent.desire.clone(), agent.instances.len())
        };
        let wanted = plan.replicas(&desire) as usize;
        if wanted < running {
            return self.retire(name, wanted).await;
        }
        let mut roster = self.roster();
        let Some(agent) = roster.agents.get_mut(name) else { return Ok(()) };
        agent.grow(&self.0.shared, wanted, |_| Inheritance::default());
        Ok(())
    }

    /// Adds agents with their instances. What nobody inherits is ended in the background.
    pub(super) fn populate(
        &self,
        plans: Vec<Arc<Plan>>,
        desires: BTreeMap<AgentName, Desire>,
        mut heirs: BTreeMap<InstanceId, Inheritance>,
    ) {
        let mut roster = self.roster();
        let added: Vec<AgentName> = plans.iter().map(|plan| plan.name().clone()).collect();
        for plan in plans {
            let desire = desires.get(plan.name()).cloned().unwrap_or_default();
            roster.add(Agent { plan, desire, instances: Vec::new() });
        }
        self.0.shared.board.set_roster(roster.statuses());
        for name in added {
            if let Some(agent) = roster.agents.get_mut(&name) {
                let wanted = agent.plan.replicas(&agent.desire) as usize;
                agent.grow(&self.0.shared, wanted, |id| heirs.remove(id).unwrap_or_default());
            }
        }
        drop(roster);
        for (id, heir) in heirs {
            tokio::spawn(end_unwanted(self.0.shared.clone(), id, heir));
        }
    }

    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Fault> {
        match timeout(PATIENCE, self.0.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => {
                Err(Fault::new(FaultKind::Busy, "cannot change the fleet: another change is still under way")
                    .hint("`agentctl status` shows what is stopping; try again"))
            }
        }
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.0.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An order in an actor's box. An actor that is gone needs none.
pub(super) async fn deliver(handle: &Handle, order: Order) -> Result<(), Fault> {
    match timeout(PATIENCE, handle.orders.send(order)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(FaultKind::Busy, "cannot reach an instance: too many orders wait for it")),
    }
}

fn open_cgroups(wanted: Cgroups, fleet_id: &str) -> Option<CgroupTree> {
    match wanted {
        Cgroups::Auto => CgroupTree::open(fleet_id),
        Cgroups::Off => None,
    }
}
