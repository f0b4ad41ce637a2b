//! The daemon's end of `status`: composed from snapshots; the database is read only if something was written since.
use super::verdict::judge;
use crate::{
    daemon::{App, Route},
    domain::{
        AgentState, AgentStatus, Audited, BreakerState, BreakerStatus, Caller, DaemonStatus, Fault,
        FleetSnapshot, LastValidation, Permission, ProbeState, ProbeStatus, RunState, Separation,
        StatusReport, TierStatus,
    },
    protocol::{Endpoint, Verb},
    store::Store,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
};

/// The newest may be running or interrupted.
const RUNS_LOOKED_AT: u32 = 5;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// Every agent, not only those that need a look.
    #[serde(default)]
    pub all: bool,
    /// At most so many agents and probes; 0 is no limit.
    #[serde(default)]
    pub most: usize,
}

pub struct Status;
impl Endpoint for Status {
    const NAME: &'static str = "status";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = StatusReport;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Status, _, _>(handle)]
}

pub async fn handle(app: App, _caller: Caller, request: Request) -> Result<StatusReport, Fault> {
    let at = app.clock.now();
    let fleet = app.supervisor.snapshot();
    let probes = app.monitor.snapshot();
    let store = app.store.stats();
    let last_validation = last_validation(&app.store, store.commits).await;
    let (verdict, because) = judge(&fleet.agents, &probes);
    let settings = app.settings.borrow().clone();
    let most = if request.most == 0 { usize::MAX } else { request.most };
    let uptime = at.duration_since(app.started_at);
    Ok(StatusReport {
        schema_version: 1,
        at,
        verdict,
        because,
        daemon: DaemonStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_at: app.started_at,
            uptime_s: uptime.as_secs_f64(),
            environment: settings.environment.clone(),
            state_dir: app.paths.state_dir.display().to_string(),
            config_file: app.config_file.as_ref().map(|file| file.display().to_string()),
            rss_bytes: resident_bytes(),
            separation: weakest(&fleet),
            agent_system: app.supervisor.admission().as_str().into(),
            switched_off: app.supervisor.switched_off(),
            limited: app.supervisor.limited(),
        },
        instances: count_instances(&fleet),
        tiers: tiers(&fleet),
        agents: listed(&fleet, request.all, most),
        probes: count_probes(&probes),
        failing_probes: not_passing(probes, most),
        open_breakers: open_breakers(&app),
        rollouts: app.rollouts.under_way(),
        store,
        last_validation,
        errors: app.errors.alarm().await,
    })
}

fn listed(fleet: &FleetSnapshot, all: bool, most: usize) -> Vec<AgentStatus> {
    let mut agents: Vec<&Arc<AgentStatus>> =
        fleet.agents.iter().filter(|agent| all || agent.state.needs_a_look()).collect();
    if !all {
        // Latched and failed first: those come back only by hand.
        agents.sort_by_key(|agent| std::cmp::Reverse(agent.state));
    }
    agents.into_iter().take(most).map(|agent| AgentStatus::clone(agent)).collect()
}

/// In the order in which the manifest first names them.
fn tiers(fleet: &FleetSnapshot) -> Vec<TierStatus> {
    let mut tiers: Vec<TierStatus> = Vec::new();
    for agent in fleet.agents.iter() {
        let index = tiers.iter().position(|tier| tier.tier == agent.tier).unwrap_or_else(|| {
            tiers.push(TierStatus { tier: agent.tier.clone(), agents: 0, states: BTreeMap::new() });
            tiers.len() - 1
        });
        tiers[index].agents += 1;
        *tiers[index].states.entry(agent.state).or_default() += 1;
    }
    tiers
}

fn count_instances(fleet: &FleetSnapshot) -> BTreeMap<AgentState, u32> {
    let mut counts = BTreeMap::new();
    for (_, instance) in fleet.instances() {
        *counts.entry(instance.state).or_default() += 1;
    }
    counts
}

fn weakest(fleet: &FleetSnapshot) -> Separation {
    let mut weakest = Separation::OwnUser;
    for (_, instance) in fleet.instances().filter(|(_, instance)| instance.pid.is_some()) {
        match instance.separation {
            Separation::None => return Separation::None,
            Separation::OwnCgroup => weakest = Separation::OwnCgroup,
            Separation::OwnUser => {}
        }
    }
    weakest
}

fn count_probes(probes: &[ProbeStatus]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for probe in probes {
        let state = match probe.state {
            ProbeState::Unknown => "unknown",
            ProbeState::Passing => "passing",
            ProbeState::Failing => "failing",
            ProbeState::Blocked => "blocked",
        };
        *counts.entry(state.to_owned()).or_default() += 1;
    }
    counts
}

/// Those that fail before those that wait for what fails.
fn not_passing(mut probes: Vec<ProbeStatus>, most: usize) -> Vec<ProbeStatus> {
    probes.retain(|probe| matches!(probe.state, ProbeState::Failing | ProbeState::Blocked));
    probes.sort_by_key(|probe| probe.state == ProbeState::Blocked);
    probes.truncate(most);
    probes
}

fn open_breakers(app: &App) -> Vec<BreakerStatus> {
    let mut breakers = app.breakers();
    breakers.retain(|breaker| breaker.state != BreakerState::Closed);
    breakers
}

/// The newest finished run. Exact and yet seldom read: while nothing has been committed since, it cannot have changed.
async fn last_validation(store: &Store, commits: u64) -> Option<LastValidation> {
    // (fleet, its commits when we looked) → what we saw.
    static KNOWN: Mutex<Option<(String, u64, Option<LastValidation>)>> = Mutex::new(None);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, _, last)) = known.filter(|(fleet, when, _)| *when == commits && fleet == store.fleet_id())
    {
        return last;
    }
    // A store that cannot answer shows in the figures beside; status itself must not fail for it.
    let runs = store.runs(RUNS_LOOKED_AT).await.ok()?;
    let last = runs.into_iter().find(|run| run.state == RunState::Finished).and_then(|run| {
        Some(LastValidation { run: run.run, at: run.started_at, verdict: run.verdict?, score: run.score? })
    });
    let seen = (store.fleet_id().to_owned(), commits, last.clone());
    *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    last
}

/// From the kernel; 0 if it does not tell.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
