//! The one more copy of an agent that runs another release beside its replicas. It is on the list of nobody: not counted
//! among the fleet, not asked for the agent, not waited for by those that depend on it. Whatever ends the fleet ends it
//! first, and it is never adopted: the next daemon ends what a killed one left of it.
use super::{
    Supervisor,
    actor::{self, Handle, Order},
    adopt::Inheritance,
    plan::{self, Candidacy, Plan},
    procfs,
    runtime::{self, Channel, Launch, PortChoice, Work},
    supervisor::deliver,
};
use crate::{
    config::{AgentSettings, LatchRule},
    domain::{AgentName, Fault, FaultKind, InstanceId, InstanceStatus, Period, ProbeRole, ReleaseId},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{Instant, sleep, timeout, timeout_at},
};

/// It is there to be looked at, not to be kept up.
const LATCH: LatchRule = LatchRule { failures: 2, within: Period::secs(600) };
/// Beyond its own timeout, how long its stop may take to sweep and to be reported.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// What was killed needs a moment to be gone.
const GONE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

pub struct Candidate {
    /// As the release has them.
    pub settings: AgentSettings,
    pub release: ReleaseId,
}

/// By what an instance can be asked apart from its probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    None,
    /// A ping over its own channel.
    Ping,
}

pub type Candidates = BTreeMap<AgentName, (Handle, Arc<Plan>)>;

impl Supervisor {
    /// Whether it could run beside the others; nothing is started.
    pub fn check_candidate(&self, candidate: &Candidate) -> Result<Channels, Fault> {
        let plan = self.plan_of(candidate)?;
        let pings =
            matches!(&plan.work, Work::Spawn(Launch { channel: Channel::JsonRpc { ping: true }, .. }));
        Ok(if pings { Channels::Ping } else { Channels::None })
    }

    /// Returns when it is on its way: its status tells the rest.
    pub async fn start_candidate(&self, candidate: &Candidate) -> Result<InstanceId, Fault> {
        let _turn = self.turn().await?;
        let plan = Arc::new(self.plan_of(candidate)?);
        let id = InstanceId::candidate(plan.name().clone());
        let mut candidates = self.candidates_lock();
        if candidates.contains_key(plan.name()) {
            let message = format!("cannot start {id}: there is one already");
            return Err(Fault::new(FaultKind::Conflict, message).hint("`agentctl rollout list` shows it"));
        }
        let shared = Arc::clone(&self.0.shared);
        let handle = actor::launch(id.clone(), plan.clone(), shared, Inheritance::default(), true);
        candidates.insert(plan.name().clone(), (handle, plan));
        Ok(id)
    }

    /// Returns when nothing of it is alive, as the kernel says. None there is no failure.
    pub async fn end_candidate(&self, agent: &AgentName) -> Result<(), Fault> {
        let Some((handle, plan)) = self.candidates_lock().get(agent).cloned() else {
            return self.candidate_is_gone(agent).await;
        };
        let (done, ended) = oneshot::channel();
        deliver(&handle, Order::Retire(done)).await?;
        // An actor that is gone has nothing alive.
        let limit = plan.settings.stop_timeout.0 + STOP_MARGIN;
        timeout(limit, ended).await.map(drop).map_err(|_| still_alive(agent, &format!("after {limit:?}")))?;
        self.candidates_lock().remove(agent);
        self.candidate_is_gone(agent).await
    }

    /// Until no process bears its mark.
    pub async fn candidate_is_gone(&self, agent: &AgentName) -> Result<(), Fault> {
        let id = InstanceId::candidate(agent.clone());
        let end = Instant::now() + GONE;
        loop {
            let (id, fleet) = (id.clone(), self.fleet_id().to_owned());
            let look = move || {
                let of_it = procfs::marked(&fleet).into_iter().filter(|process| process.instance == id);
                of_it.map(|process| process.pid).collect::<Vec<_>>()
            };
            let alive = spawn_blocking(look)
                .await
                .map_err(|panic| Fault::internal(format!("cannot look for a candidate: {panic}")))?;
            if alive.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(still_alive(agent, &format!("pid {}", alive[0])));
            }
            sleep(LOOK).await;
        }
    }

    /// By agent.
    pub fn candidates(&self) -> Vec<InstanceStatus> {
        self.0.shared.board.candidates()
    }

    /// None where there is none, or not any more.
    pub fn candidate(&self, agent: &AgentName) -> Option<InstanceStatus> {
        let is_its = |status: &InstanceStatus| status.id.agent == *agent;
        self.candidates().into_iter().find(is_its).filter(|_| self.candidates_lock().contains_key(agent))
    }

    /// All of them, cut short where they take too long.
    pub(super) async fn end_candidates(&self, by: Instant) {
        let all: Vec<(AgentName, Handle)> = {
            let candidates = self.candidates_lock();
            candidates.iter().map(|(name, (handle, _))| (name.clone(), handle.clone())).collect()
        };
        let ends = all.iter().map(|(name, handle)| async move {
            let (halted, halt) = oneshot::channel();
            deliver(handle, Order::Halt { by: Some(by), done: halted }).await?;
            let _ = timeout_at(by, halt).await;
            let (done, ended) = oneshot::channel();
            deliver(handle, Order::Retire(done)).await?;
            timeout_at(by, ended).await.map(drop).map_err(|_| still_alive(name, "at the deadline"))?;
            self.candidates_lock().remove(name);
            Ok::<_, Fault>(())
        });
        for ended in futures_util::future::join_all(ends).await {
            if let Err(fault) = ended {
                tracing::error!(%fault, "a candidate could not be ended");
            }
        }
    }

    /// A replica's, or a candidate's.
    pub(super) fn handle_of(&self, id: &InstanceId) -> Result<Handle, Fault> {
        if !id.is_candidate() {
            return self.roster().instance(id).cloned();
        }
        let found = self.candidates_lock().get(&id.agent).map(|(handle, _)| handle.clone());
        found.ok_or_else(|| {
            Fault::not_found(format!("cannot find {id}: no release of {} is tried", id.agent))
                .hint("`agentctl rollout list` shows those there were")
        })
    }

    fn candidates_lock(&self) -> MutexGuard<'_, Candidates> {
        self.0.candidates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan_of(&self, candidate: &Candidate) -> Result<Plan, Fault> {
        let (stable, known) = {
            let roster = self.roster();
            let known: Vec<String> = roster.settings.dependencies.iter().map(|it| it.name.clone()).collect();
            let known = known.into_iter().chain(roster.agents.keys().map(ToString::to_string));
            let known: Vec<String> = known.collect();
            (roster.agent(&candidate.settings.name)?.plan.clone(), known)
        };
        if self.switched_off().is_some() || !stable.enabled {
            let message = format!("cannot try a candidate of {}: it is switched off", stable.name());
            return Err(Fault::new(FaultKind::Refused, message)
                .hint("there must be something to compare it with: `agentctl system show`"));
        }
        let need = candidate.settings.depends_on.iter().find(|need| !known.contains(need));
        if let Some(need) = need {
            let message =
                format!("cannot try {} of {}: it depends on {need}", stable.name(), candidate.release);
            return Err(Fault::new(FaultKind::Refused, message)
                .hint("what it waits for is not in the configuration in force: deploy the release instead"));
        }
        beside(candidate, &stable)
    }
}

/// What a candidate is started from: the release's settings, a port that is free, few restarts.
fn beside(candidate: &Candidate, stable: &Plan) -> Result<Plan, Fault> {
    let Candidate { settings, release } = candidate;
    let name = &settings.name;
    let refused = |why: &str, hint: &str| {
        Err(Fault::new(FaultKind::Refused, format!("cannot try {name} of {release} beside what runs: {why}"))
            .hint(hint))
    };
    if settings.user != stable.settings.user {
        return refused("it would run as another user", "deploy the release instead");
    }
    let Work::Spawn(mut launch) = runtime::of(&settings.kind)?.work(&settings.options)? else {
        return refused("it runs elsewhere", "start another where it runs, and compare the two there");
    };
    if let Some(PortChoice::From(port)) = launch.port {
        if !moves(&launch) {
            return refused(
                &format!("its port {port} is fixed, and taken"),
                "let its command or a variable say {port} instead of the number, or set port = 0",
            );
        }
        launch.port = Some(PortChoice::Any);
    }
    let mut settings = settings.clone();
    settings.restart.latch.failures = settings.restart.latch.failures.min(LATCH.failures);
    settings.restart.latch.within = settings.restart.latch.within.max(LATCH.within);
    let digest = plan::digest(&settings, stable.user)?;
    Ok(Plan {
        digest: format!("{release} {digest}"),
        probed: runtime::probes_of(&settings).iter().any(|probe| probe.role != ProbeRole::Liveness),
        work: Work::Spawn(launch),
        user: stable.user,
        enabled: true,
        candidacy: Some(Candidacy { release: *release, index: settings.replicas }),
        settings,
    })
}

/// Is the program told where to listen?
fn moves(launch: &Launch) -> bool {
    let says = |text: &String| text.contains("{port}");
    launch.command.iter().any(says) || launch.environment.values().any(says)
}

fn still_alive(agent: &AgentName, how: &str) -> Fault {
    let message = format!("cannot end the candidate of {agent}: it is still alive, {how}");
    Fault::new(FaultKind::Timeout, message).hint("the daemon's log names what survives; try again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use serde_json::{Value, json};

    fn agent(options: Value, more: Value) -> AgentSettings {
        let mut agent = json!({ "name": "a", "kind": "service", "replicas": 2, "options": options });
        for (key, value) in more.as_object().expect("a table") {
            agent[key] = value.clone();
        }
        serde_json::from_value(agent).expect("settings")
    }

    fn planned(settings: AgentSettings) -> Result<Plan, Fault> {
        let stable: Settings = serde_json::from_value(json!({ "agent": [
            { "name": "a", "kind": "service", "options": { "command": ["x"] } },
        ]}))
        .expect("settings");
        let stable = plan::plans(&stable, &plan::tests::some_uids(), true).expect("plans").remove(0);
        beside(&Candidate { settings, release: ReleaseId(7) }, &stable)
    }

    #[test]
    fn it_takes_a_port_that_is_free_or_is_refused() {
        let fixed = planned(agent(json!({ "command": ["x"], "port": 8000 }), json!({})));
        let fault = fixed.err().expect("two on one port");
        assert!(fault.message.contains("port 8000") && fault.hint.is_some(), "{fault}");
        for options in [
            json!({ "command": ["x", "{port}"], "port": 8000 }),
            json!({ "command": ["x"], "port": 8000, "environment": { "PORT": "{port}" } }),
            json!({ "command": ["x"], "port": 0 }),
        ] {
            let plan = planned(agent(options.clone(), json!({}))).expect("movable");
            let Work::Spawn(launch) = &plan.work else { panic!("elsewhere") };
            assert_eq!(launch.port, Some(PortChoice::Any), "{options}");
        }
        let none = planned(agent(json!({ "command": ["x"] }), json!({}))).expect("no port");
        assert_eq!(none.candidacy, Some(Candidacy { release: ReleaseId(7), index: 2 }));
    }

    #[test]
    fn it_is_given_up_soon_and_runs_as_nobody_else() {
        let patient = json!({ "restart": { "policy": "always", "latch": "50 in 1m" } });
        let plan = planned(agent(json!({ "command": ["x"] }), patient)).expect("a plan");
        assert_eq!(plan.settings.restart.latch, LATCH);
        let hasty = json!({ "restart": { "latch": "1 in 1h" } });
        let plan = planned(agent(json!({ "command": ["x"] }), hasty)).expect("a plan");
        assert_eq!(plan.settings.restart.latch.failures, 1);
        let other = planned(agent(json!({ "command": ["x"] }), json!({ "user": "nobody" })));
        assert!(other.err().expect("another user").message.contains("another user"));
        let elsewhere = AgentSettings {
            kind: "http".into(),
            options: json!({ "url": "http://127.0.0.1:9/" }),
            ..agent(json!({}), json!({}))
        };
        assert!(planned(elsewhere).err().expect("elsewhere").message.contains("elsewhere"));
    }
}
