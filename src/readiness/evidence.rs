//! What checks may look at: a read-only view of the running system. Each look happens once a run, so that all checks
//! of a run judge the same moment.
use super::{
    Gate, Ground, ReadinessParts, Rehearsing, Reload, Reread, Safekeeping, Serve, Started, Triggering,
    references::{self, Followed},
};
use crate::{
    agents::Supervisor,
    config::{AgentSettings, Kinds, Paths, Settings, appraise},
    domain::{FleetSnapshot, InstanceId, ProbeStatus},
    health::Monitor,
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use tokio::sync::OnceCell;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub struct Evidence {
    pub settings: Arc<Settings>,
    pub config_file: Option<PathBuf>,
    /// Digest of the settings in force.
    pub config_digest: String,
    pub kinds: fn() -> Kinds,
    pub reread: Reread,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub clock: Clock,
    /// The day to judge for; not always the one that it is.
    pub judged_at: Timestamp,
    pub gate: Option<Arc<dyn Gate>>,
    /// None while the daemon has not come to serve.
    pub started: Option<Started>,
    pub reload: Option<Arc<dyn Reload>>,
    pub serve: Option<Arc<dyn Serve>>,
    pub safekeeping: Option<Arc<dyn Safekeeping>>,
    pub triggering: Option<Arc<dyn Triggering>>,
    pub rehearsing: Option<Arc<dyn Rehearsing>>,
    /// Where controls are exercised, away from the real ones.
    pub ground: Ground,
    /// As long as a check may look, it may also start something scratch.
    _presence: TaskTrackerToken,
    fleet: OnceLock<FleetSnapshot>,
    probes: OnceLock<Vec<ProbeStatus>>,
    references: OnceCell<Vec<Followed>>,
}

impl Evidence {
    pub fn new(parts: &ReadinessParts, ground: Ground, as_of: Option<Timestamp>) -> Self {
        Self {
            settings: parts.settings.borrow().clone(),
            config_file: parts.config_file.clone(),
            config_digest: parts.config_digest.borrow().clone(),
            kinds: parts.kinds,
            reread: parts.reread.clone(),
            paths: parts.paths.clone(),
            store: parts.store.clone(),
            supervisor: parts.supervisor.clone(),
            monitor: parts.monitor.clone(),
            clock: parts.clock.clone(),
            judged_at: as_of.unwrap_or_else(|| parts.clock.now()),
            gate: parts.gate.clone(),
            _presence: ground.presence(),
            started: parts.started.get().copied(),
            reload: parts.reload.clone(),
            serve: parts.serve.clone(),
            safekeeping: parts.safekeeping.clone(),
            triggering: parts.triggering.clone(),
            rehearsing: parts.rehearsing.clone(),
            ground,
            fleet: OnceLock::new(),
            probes: OnceLock::new(),
            references: OnceCell::new(),
        }
    }

    pub fn fleet(&self) -> &FleetSnapshot {
        self.fleet.get_or_init(|| self.supervisor.snapshot())
    }

    pub fn probes(&self) -> &[ProbeStatus] {
        self.probes.get_or_init(|| self.monitor.snapshot())
    }

    /// Every secret reference of the manifest and what is to be said of what stands behind it.
    pub async fn references(&self) -> &[Followed] {
        let follow = || references::follow(references::of(&self.settings), appraise);
        self.references.get_or_init(follow).await
    }

    /// Living instances that take a ping over their own channel.
    pub fn canaries(&self) -> Vec<InstanceId> {
        let up = self.fleet().instances().filter(|(agent, instance)| {
            instance.state.is_up()
                && self.settings.agents.iter().any(|a| a.name == agent.name && takes_ping(a))
        });
        up.map(|(_, instance)| instance.id.clone()).collect()
    }

    /// Should there be any?
    pub fn expects_canaries(&self) -> bool {
        self.settings.agents.iter().any(|agent| agent.enabled && takes_ping(agent))
    }
}

fn takes_ping(agent: &AgentSettings) -> bool {
    agent.kind == "process" && agent.options.get("ping") != Some(&serde_json::Value::Bool(false))
}
