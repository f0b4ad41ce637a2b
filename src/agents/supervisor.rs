//! Owns one actor per instance; start, stop, restart, scale, apply, snapshot.
use super::{
    actor::{Handle, Order},
    adopt::{self, Inheritance},
    apply::{self, Change},
    cgroup::{self, CgroupTree},
    child::{become_subreaper, reap_orphans, sweep},
    plan::{self, Plan},
    procfs,
    roster::{self, Agent, Roster},
    runtime,
    shared::Shared,
    streams, users,
};
use crate::{
    config::{AgentSettings, Cgroups, Kind, Paths, ProbeSettings, Settings},
    domain::{
        AgentName, Desire, EventKind, Fault, FaultKind, FleetSnapshot, Identity, InstanceId, Observation,
        Separation,
    },
    resilience::Clock,
    store::Store,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, SemaphorePermit, oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

/// How long an order may wait for a place in an actor's box, and a change of the fleet for the one before it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Beyond its own timeout, how long a stop may take to sweep and to be reported.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// How long what an earlier daemon left of an agent that is gone may take over its end.
const LEFTOVER: Duration = Duration::from_secs(5);
/// Zombies that fell to us are looked for at most this often, and only after a child has ended.
const REAP_EVERY: Duration = Duration::from_secs(5);

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
pub struct Supervisor(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    roster: Mutex<Roster>,
    /// One change of the fleet at a time.
    turn: Semaphore,
}

impl Supervisor {
    /// Adopts or reaps what an earlier daemon left, then starts the fleet in the background.
    pub async fn launch(parts: SupervisorParts) -> Result<Self, Fault> {
        if let Err(error) = become_subreaper() {
            tracing::warn!(%error, "orphans of agents will fall to init instead of agentd");
        }
        let plans = plan::plans(&parts.settings)?;
        let desires: BTreeMap<_, _> = parts.store.desires().await?.into_iter().collect();
        let records = parts.store.instances().await?;
        let fleet_id = parts.store.fleet_id().to_owned();
        let cgroups = match parts.settings.daemon.cgroups {
            Cgroups::Auto => CgroupTree::open(&fleet_id),
            Cgroups::Off => None,
        };
        streams::make_directories(&parts.paths)?;
        let settings = parts.settings.clone();
        let shared = Arc::new(Shared::new(parts, fleet_id, cgroups));

        let marked = procfs::marked(&shared.fleet_id);
        let find = |id: &InstanceId| {
            let plan = plans.iter().find(|plan| *plan.name() == id.agent)?;
            Some((&**plan, desires.get(&id.agent).unwrap_or(&roster::NO_DESIRE)))
        };
        let heirs = adopt::inherit(
            records,
            &marked,
            find,
            &shared.fleet_id,
            &shared.boot_id,
            shared.cgroups.as_ref(),
        );

        let inner = Inner { shared, roster: Mutex::new(Roster::new(settings)), turn: Semaphore::new(1) };
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
        let enabled = snapshot.instances().filter(|(_, i)| i.state != crate::domain::AgentState::Disabled);
        enabled
            .map(|(_, instance)| instance.separation)
            .max_by_key(|s| weight(*s))
            .unwrap_or(Separation::OwnUser)
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
        if let Ok(handle) = self.roster().instance(instance) {
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
        let handle = self.roster().instance(instance)?.clone();
        let channel = handle.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let channel = channel.ok_or_else(|| {
            Fault::new(
                FaultKind::Unavailable,
                format!("cannot ask {instance}: it is not a running process agent"),
            )
            .hint("`agentctl status` shows its kind and state")
        })?;
        channel.request(method, params, deadline).await
    }

    /// The last lines of an instance's log, oldest first, and where the live file is so that it can be followed.
    pub fn logs(&self, query: &LogQuery) -> Result<(Vec<String>, PathBuf), Fault> {
        self.roster().instance(&query.instance)?;
        streams::tail(&self.0.shared.paths, &query.instance, query.lines)
    }

    /// Brings the fleet to new settings, restarting only what changed.
    pub async fn apply(&self, settings: Arc<Settings>) -> Result<ApplyReport, Fault> {
        let plans = plan::plans(&settings)?;
        let _turn = self.turn().await?;
        let old = self.roster().plans();
        let report = apply::diff(&old, &plans);
        self.0.shared.bound_starts(settings.daemon.start_concurrency);
        for name in &report.removed {
            self.retire(name, 0).await?;
            self.roster().remove(name);
        }
        let desires: BTreeMap<_, _> = self.0.shared.store.desires().await?.into_iter().collect();
        let mut fresh = Vec::new();
        let mut orders = Vec::new();
        {
            let mut roster = self.roster();
            roster.settings = settings;
            roster.order = plans.iter().map(|plan| plan.name().clone()).collect();
            for plan in plans {
                let name = plan.name().clone();
                let Some(agent) = roster.agents.get_mut(&name) else {
                    fresh.push(plan);
                    continue;
                };
                let change = apply::change(&agent.plan, &plan);
                let switched = (agent.plan.enabled != plan.enabled).then_some(plan.enabled);
                agent.plan = plan.clone();
                if change == Change::None {
                    continue;
                }
                for handle in agent.instances.clone() {
                    orders.push((handle.clone(), Order::Plan(plan.clone(), change == Change::Restart)));
                    match switched {
                        Some(true) if !agent.desire.stopped => orders.push((handle, Order::Wake)),
                        Some(false) => orders.push((handle, Order::Disable)),
                        _ => {}
                    }
                }
            }
        }
        for (handle, order) in orders {
            deliver(&handle, order).await?;
        }
        self.populate(fresh, desires, BTreeMap::new());
        for name in &report.updated {
            self.resize(name).await?;
        }
        let wanted = self.roster().settings.clone();
        self.0.shared.board.needs.keep(|name| {
            wanted.agents.iter().any(|agent| agent.name.as_str() == name)
                || wanted.dependencies.iter().any(|dependency| dependency.name == name)
        });
        Ok(report)
    }

    /// Stops every agent in reverse dependency order; what is left at the deadline is killed. Nothing survives.
    pub async fn shutdown(&self, deadline: Duration) {
        let end = Instant::now() + deadline;
        // Dependents have this long to go first; the rest is kept for those that they kept waiting.
        let courtesy = Instant::now() + deadline.mul_f64(0.6);
        // Everything must be dead a little before, so that it can be verified.
        let by = Instant::now() + deadline.mul_f64(0.9);
        let turn = timeout_at(courtesy, self.0.turn.acquire()).await;
        if let Ok(Ok(turn)) = turn {
            turn.forget(); // no change follows a shutdown
        }
        let (names, dependents) = self.roster().dependents();
        let gone: BTreeMap<AgentName, watch::Sender<bool>> =
            names.iter().map(|name| (name.clone(), watch::Sender::new(false))).collect();
        let gone = &gone;
        let stops = names.iter().map(|name| {
            let waits: Vec<_> = dependents
                .get(name)
                .into_iter()
                .flatten()
                .filter_map(|dependent| gone.get(dependent))
                .map(watch::Sender::subscribe)
                .collect();
            async move {
                for mut wait in waits {
                    let _ = timeout_at(courtesy, wait.wait_for(|gone| *gone)).await;
                }
                let stopped = timeout_at(end, self.halt(name, Some(by))).await;
                if !matches!(stopped, Ok(Ok(()))) {
                    tracing::error!(agent = %name, "it could not be stopped before the deadline");
                }
                if let Some(sender) = gone.get(name) {
                    sender.send_replace(true);
                }
            }
        });
        join_all(stops).await;
        if let Some(cgroups) = &self.0.shared.cgroups {
            cgroups.remove_empty();
        }
    }

    async fn wake(&self, agents: &[AgentName], order: impl Fn() -> Order) -> Result<(), Fault> {
        let _turn = self.turn().await?;
        for name in self.found(agents)? {
            if !self.roster().agent(&name)?.plan.enabled {
                return Err(Fault::new(
                    FaultKind::Refused,
                    format!("cannot start {name}: it is switched off"),
                )
                .hint("set enabled = true (and agent_system = \"on\"), then `agentctl config reload`"));
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

    /// Stops every instance of an agent and waits for the end.
    async fn halt(&self, name: &AgentName, by: Option<Instant>) -> Result<(), Fault> {
        let (handles, limit) = {
            let roster = self.roster();
            let agent = roster.agent(name)?;
            (agent.instances.clone(), agent.plan.settings.stop_timeout.0 + STOP_MARGIN)
        };
        let halts = handles.iter().map(|handle| async move {
            let (done, ended) = oneshot::channel();
            deliver(handle, Order::Halt { by, done }).await?;
            // An actor that is gone has nothing alive.
            timeout(limit, ended).await.map(|_| ()).map_err(|_| {
                Fault::new(FaultKind::Timeout, format!("cannot stop {name} in {limit:?}"))
                    .hint("the daemon's log names what survives")
            })
        });
        join_all(halts).await.into_iter().collect()
    }

    /// Brings the number of instances to what is wanted.
    async fn resize(&self, name: &AgentName) -> Result<(), Fault> {
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

    /// Ends the instances from `keep` on, and waits for it.
    async fn retire(&self, name: &AgentName, keep: usize) -> Result<(), Fault> {
        let (surplus, limit) = {
            let mut roster = self.roster();
            let Some(agent) = roster.agents.get_mut(name) else { return Ok(()) };
            let keep = keep.min(agent.instances.len());
            (agent.instances.split_off(keep), agent.plan.settings.stop_timeout.0 + STOP_MARGIN)
        };
        let ends = surplus.iter().map(|handle| async move {
            let (done, ended) = oneshot::channel();
            deliver(handle, Order::Retire(done)).await?;
            timeout(limit, ended).await.map(|_| ()).map_err(|_| {
                Fault::new(FaultKind::Timeout, format!("cannot end a replica of {name} in {limit:?}"))
            })
        });
        join_all(ends).await.into_iter().collect()
    }

    /// Adds agents with their instances. What nobody inherits is ended in the background.
    fn populate(
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

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Fault> {
        match timeout(PATIENCE, self.0.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => {
                Err(Fault::new(FaultKind::Busy, "cannot change the fleet: another change is still under way")
                    .hint("`agentctl status` shows what is stopping; try again"))
            }
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.0.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An order in an actor's box. An actor that is gone needs none.
async fn deliver(handle: &Handle, order: Order) -> Result<(), Fault> {
    match timeout(PATIENCE, handle.orders.send(order)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(FaultKind::Busy, "cannot reach an instance: too many orders wait for it")),
    }
}

/// Processes of an agent or replica that the manifest does not have any more.
async fn end_unwanted(shared: Arc<Shared>, id: InstanceId, heir: Inheritance) {
    for group in &heir.leftovers {
        let report = sweep(group, LEFTOVER).await;
        shared.journal.tell(
            EventKind::OrphanReaped,
            &id,
            format!("not wanted any more ({} killed)", report.killed),
        );
    }
    if heir.recorded
        && let Err(error) = shared.store.forget_instance(id).await
    {
        tracing::warn!(%error, "the record of an unwanted instance could not be removed");
    }
}

/// Zombies of double forks fall to the subreaper. A child's end may have brought some, so SIGCHLD is the bell.
fn reap_in_background(inner: &Arc<Inner>) {
    let inner: Weak<Inner> = Arc::downgrade(inner);
    let Ok(mut ended) = signal(SignalKind::child()) else { return };
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            // Twice: a zombie is taken only when nobody else has by the second look.
            for _ in 0..2 {
                sleep(REAP_EVERY).await;
                let Some(inner) = inner.upgrade() else { return };
                let snapshot = inner.shared.board.snapshot();
                let known = snapshot.instances().filter_map(|(_, instance)| instance.pid).collect();
                reap_orphans::<std::collections::hash_map::RandomState>(&known);
            }
        }
    });
}
