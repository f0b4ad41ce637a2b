//! Stage: one rehearsal while it lasts. Its threads and its processes give way to the living fleet.
use crate::{
    agents::{LogQuery, Supervisor},
    config::Settings,
    deploy::steps::{MARGIN, STEADY, Standing, judge},
    domain::{AgentState, Fault, FaultKind, FleetSnapshot, InstanceId, Period, RehearsedAgent, ReleaseId},
    errors::Errors,
    health::Monitor,
    operations::Site,
    readiness::{Aside, Ground, Plot, ScratchFleet},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

const LOOK: Duration = Duration::from_millis(100);
/// Of what an agent said last, so many lines, and of each so many characters.
const LINES: usize = 10;
const LONGEST: usize = 300;
/// Agents whose last lines are kept: when none comes up, the first tell enough.
const MOST_HEARD: usize = 20;

pub struct Stage {
    aside: Aside,
    plot: Option<Plot>,
    fleet: Option<ScratchFleet>,
    began: Instant,
}

/// A fleet under way, to be looked at.
pub struct View {
    supervisor: Supervisor,
    monitor: Option<Monitor>,
    errors: Errors,
    settings: Arc<Settings>,
    began: Instant,
}

/// What became of it.
#[derive(Default)]
pub struct Seen {
    pub agents: Vec<RehearsedAgent>,
    pub problems: Vec<String>,
}

impl Stage {
    pub fn new(aside: Aside, plot: Plot) -> Self {
        Self { aside, plot: Some(plot), fleet: None, began: Instant::now() }
    }

    pub async fn launch(mut self, ground: &Ground, settings: Settings) -> Result<Self, Fault> {
        let Some(plot) = self.plot.take() else {
            return Err(Fault::internal("cannot start a rehearsal twice"));
        };
        let settings = serde_json::to_value(settings)
            .map_err(|error| Fault::internal(format!("cannot write down scratch settings: {error}")))?;
        let ground = ground.clone();
        self.began = Instant::now();
        let launched = self.aside.spawn(async move { ground.fleet_on(plot, settings, true).await });
        let launched =
            launched.await.map_err(|panic| Fault::internal(format!("cannot start a rehearsal: {panic}")))?;
        self.fleet = Some(launched?);
        Ok(self)
    }

    /// None before it was launched.
    pub fn view(&self) -> Option<View> {
        let fleet = self.fleet.as_ref()?;
        Some(View {
            supervisor: fleet.supervisor().clone(),
            monitor: fleet.monitor().cloned(),
            errors: fleet.errors().clone(),
            settings: Arc::new(fleet.settings().clone()),
            began: self.began,
        })
    }

    /// How many of its processes were alive when the supervisor said that it was done; they are killed then.
    pub async fn end(self) -> usize {
        let Self { aside, plot, fleet, .. } = self;
        let survivors = match fleet {
            Some(fleet) => aside.spawn(fleet.finish()).await.unwrap_or_default(),
            None => 0,
        };
        let _ = spawn_blocking(move || drop(plot)).await;
        survivors
    }
}

impl View {
    /// Until it stands as it should, it is plain that it will not, or the time is over.
    pub async fn watch(&self, release: ReleaseId, deadline: Period, at: &Site) -> Result<Seen, Fault> {
        let slowest =
            self.settings.agents.iter().map(|agent| agent.start_timeout.0).max().unwrap_or_default();
        let end = Instant::now() + (slowest * 2 + MARGIN).min(deadline.0);
        let (mut ready, mut well_since) = (BTreeMap::new(), None);
        let problem = loop {
            if at.cancelled().is_cancelled() {
                return Err(Fault::new(FaultKind::Conflict, "cannot end the rehearsal: it was called off"));
            }
            let fleet = self.supervisor.snapshot();
            self.note_ready(&fleet, &mut ready);
            let probes = self.monitor.as_ref().map(Monitor::snapshot).unwrap_or_default();
            match judge(&self.settings, &fleet.agents, &probes, Some(release)) {
                Standing::Well => {
                    let since = *well_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STEADY {
                        break None;
                    }
                    at.note("all of it is ready, and must stay so");
                }
                Standing::Lost(why) => break Some(why),
                Standing::Coming(why) if Instant::now() >= end => break Some(why),
                Standing::Coming(why) => {
                    at.note(&why);
                    well_since = None;
                }
            }
            sleep(LOOK).await;
        };
        let fleet = self.supervisor.snapshot();
        let mut seen = Seen { agents: self.told(&fleet, &ready).await, problems: Vec::new() };
        if let Some(why) = problem {
            seen.problems.push(self.errors.redactor().clean(&why, LONGEST));
            seen.problems.extend(self.others(&fleet, &why));
        }
        Ok(seen)
    }

    fn note_ready(&self, fleet: &FleetSnapshot, ready: &mut BTreeMap<String, u64>) {
        for agent in fleet.agents.iter() {
            let is_up = !agent.instances.is_empty()
                && agent.instances.iter().all(|instance| instance.state == AgentState::Ready);
            if is_up {
                let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                ready.entry(agent.name.to_string()).or_insert(after);
            }
        }
    }

    /// Whoever else has failed by then; one is named already.
    fn others(&self, fleet: &FleetSnapshot, named: &str) -> Vec<String> {
        let failed = |state: AgentState| matches!(state, AgentState::Failed | AgentState::CrashLooping);
        let others = fleet.instances().filter(|(_, instance)| failed(instance.state));
        let told = others.map(|(_, instance)| {
            let why = instance.reason.as_deref().unwrap_or("no reason given");
            format!("{} is {}: {why}", instance.id, instance.state.as_str())
        });
        let told = told.filter(|why| why != named);
        told.map(|why| self.errors.redactor().clean(&why, LONGEST)).collect()
    }

    async fn told(&self, fleet: &FleetSnapshot, ready: &BTreeMap<String, u64>) -> Vec<RehearsedAgent> {
        let (mut agents, mut heard) = (Vec::new(), 0);
        for agent in &self.settings.agents {
            let up = fleet.agent(agent.name.as_str()).is_some_and(|known| {
                !known.instances.is_empty()
                    && known.instances.iter().all(|instance| instance.state == AgentState::Ready)
            });
            let mut last_lines = Vec::new();
            if !up && heard < MOST_HEARD {
                heard += 1;
                last_lines = self.last_lines(InstanceId::new(agent.name.clone(), 0)).await;
            }
            let ready_ms = ready.get(agent.name.as_str()).copied();
            agents.push(RehearsedAgent { name: agent.name.clone(), ready_ms, last_lines });
        }
        agents
    }

    /// Bounded, and without any secret that it was given.
    async fn last_lines(&self, instance: InstanceId) -> Vec<String> {
        let supervisor = self.supervisor.clone();
        let lines = spawn_blocking(move || supervisor.logs(&LogQuery { instance, lines: LINES })).await;
        let lines = lines.ok().and_then(Result::ok).map(|(lines, _)| lines).unwrap_or_default();
        lines.iter().map(|line| self.errors.redactor().clean(line, LONGEST)).collect()
    }
}
