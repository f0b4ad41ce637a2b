//! One candidate while it is tried: brought up, asked in turns with what is stable, judged, and ended by itself where it
//! is worse, where nobody decides, or where the fleet is needed for something else.
use super::{
    compare::compare,
    fit::{Fitted, of},
    hold::held,
    look::{Asker, questions},
    service::RolloutsParts,
    sides::Sides,
};
use crate::{
    agents::used_by_fleet,
    config::RolloutSettings,
    domain::{
        AgentState, Event, EventKind, InstanceId, InstanceStatus, Observation, Rollout, RolloutComparison,
        RolloutState, Worth,
    },
    errors::Failure,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Between looks at one that starts.
const QUICK: Duration = Duration::from_millis(100);

pub struct Trial {
    pub parts: Arc<RolloutsParts>,
    pub rollout: Rollout,
    pub fitted: Fitted,
    pub stop: CancellationToken,
    pub shown: Arc<Mutex<Option<RolloutComparison>>>,
}

/// Why it is over without anybody's word.
pub struct Over {
    pub state: RolloutState,
    pub why: String,
}

impl Trial {
    /// None where somebody ended it; whoever did sees to the candidate.
    pub async fn run(self) -> Option<Over> {
        let Self { parts, rollout, fitted, stop, shown } = self;
        let hands = &parts.hands;
        let asker = Asker::new(hands.supervisor.clone(), hands.clock.clone());
        let since = rollout.since;
        let mut bench = Bench {
            parts: Arc::clone(&parts),
            rollout,
            fitted,
            shown,
            asker,
            began: Instant::now(),
            since,
            sides: Sides::default(),
            crashes: BTreeSet::new(),
            restarts: BTreeMap::new(),
            round: 0,
            judged: Instant::now(),
            worse: 0,
            last: None,
        };
        let mut changes = hands.supervisor.changes();
        loop {
            let limits = hands.settings.borrow().rollout.clone();
            let pace = tokio::select! {
                () = stop.cancelled() => return None,
                pace = bench.turn(&limits) => match pace {
                    Ok(pace) => pace,
                    Err(over) => return Some(over),
                },
            };
            let due = Instant::now() + pace;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = sleep_until(due) => break,
                    changed = changes.changed() => {
                        if changed.is_err() {
                            return None; // the supervisor is gone, and the daemon with it
                        }
                        if let Some(over) = bench.over(&limits).await {
                            return Some(over);
                        }
                    }
                }
            }
        }
    }
}

struct Bench {
    parts: Arc<RolloutsParts>,
    rollout: Rollout,
    fitted: Fitted,
    shown: Arc<Mutex<Option<RolloutComparison>>>,
    asker: Asker,
    began: Instant,
    /// Of what is compared: anew where what is stable was changed.
    since: Timestamp,
    sides: Sides,
    /// Ends of the candidate that were no wish.
    crashes: BTreeSet<Timestamp>,
    /// Of each stable instance, those when it was first seen.
    restarts: BTreeMap<InstanceId, u32>,
    round: usize,
    judged: Instant,
    worse: u32,
    last: Option<Worth>,
}

impl Bench {
    /// One look at everything, and how long until the next.
    async fn turn(&mut self, limits: &RolloutSettings) -> Result<Duration, Over> {
        if let Some(over) = self.over(limits).await {
            return Err(over);
        }
        self.follow_settings();
        let Some(candidate) = self.candidate() else { return Ok(QUICK) };
        self.count(&candidate);
        let stable = self.stable();
        match candidate.state {
            AgentState::Starting => self.bring_up(&candidate).await,
            AgentState::Ready | AgentState::Degraded => {
                if let Some(stable) = &stable {
                    self.ask_both(stable, &candidate).await;
                }
            }
            _ => {}
        }
        if self.judged.elapsed() >= limits.judge_every.0 {
            self.judged = Instant::now();
            self.judge(limits).await?;
        }
        Ok(if candidate.state == AgentState::Starting { QUICK } else { limits.every.0 })
    }

    /// Whatever ends it, whoever is asked.
    async fn over(&self, limits: &RolloutSettings) -> Option<Over> {
        let failed = |why: String| Some(Over { state: RolloutState::Failed, why });
        if let Some(why) = held(&self.parts.holds).await {
            return failed(why);
        }
        let agent = &self.rollout.agent;
        let in_force = self.parts.hands.settings.borrow().clone();
        if !of(&in_force, agent).is_some_and(|stable| stable.enabled) {
            return failed(format!("{agent} is not in the configuration any more, or switched off there"));
        }
        if self.began.elapsed() >= limits.longest.0 {
            return failed(format!("nobody promoted it within {}", limits.longest));
        }
        let Some(candidate) = self.candidate() else { return failed("the candidate is gone".into()) };
        if matches!(candidate.state, AgentState::Failed | AgentState::CrashLooping | AgentState::Stopped) {
            let (state, reason) = (candidate.state.as_str(), candidate.reason.unwrap_or_default());
            let why = format!("worse: the candidate is {state}: {reason}");
            return Some(Over { state: RolloutState::Aborted, why });
        }
        None
    }

    fn candidate(&self) -> Option<InstanceStatus> {
        self.parts.hands.supervisor.candidate(&self.rollout.agent)
    }

    /// Each replica in its turn, of those that are up.
    fn stable(&self) -> Option<InstanceStatus> {
        let fleet = self.parts.hands.supervisor.snapshot();
        let agent = fleet.agent(self.rollout.agent.as_str())?;
        let up = |it: &&InstanceStatus| matches!(it.state, AgentState::Ready | AgentState::Degraded);
        let up: Vec<&InstanceStatus> = agent.instances.iter().filter(up).collect();
        up.get(self.round % up.len().max(1)).map(|it| (*it).clone())
    }

    /// What is stable was changed by a reload: what was seen of it is of something else.
    fn follow_settings(&mut self) {
        let in_force = self.parts.hands.settings.borrow().clone();
        let Some(stable) = of(&in_force, &self.rollout.agent) else { return };
        if *stable == self.fitted.stable {
            return;
        }
        if let Ok(asked) = questions(&self.fitted.candidate.settings, stable, self.fitted.channels) {
            self.fitted.questions = asked;
        }
        self.fitted.stable = stable.clone();
        self.since = self.parts.hands.clock.now();
        self.sides = Sides::default();
        self.crashes.clear();
        self.restarts.clear();
        self.worse = 0;
    }

    fn count(&mut self, candidate: &InstanceStatus) {
        let crash = candidate.last_exit.as_ref().filter(|exit| exit.class.is_some() && exit.at >= self.since);
        self.crashes.extend(crash.map(|exit| exit.at));
        self.sides.candidate.crashes = u32::try_from(self.crashes.len()).unwrap_or(u32::MAX);
        self.sides.candidate.ready_s = took(candidate).or(self.sides.candidate.ready_s);
        let fleet = self.parts.hands.supervisor.snapshot();
        let mut crashes = 0;
        for (_, instance) in fleet.instances().filter(|(agent, _)| agent.name == self.rollout.agent) {
            let before = *self.restarts.entry(instance.id.clone()).or_insert(instance.restarts);
            crashes += instance.restarts.saturating_sub(before);
            self.sides.stable.ready_s = self.sides.stable.ready_s.or_else(|| took(instance));
        }
        self.sides.stable.crashes = crashes;
    }

    /// Ready when all that gates it is answered; where nothing does, the supervisor sees by itself.
    async fn bring_up(&mut self, candidate: &InstanceStatus) {
        if candidate.pid.is_none() {
            return;
        }
        let mut asked = false;
        for question in self.fitted.questions.iter().filter(|question| question.gates) {
            if !self.asker.ask(question, candidate).await.ok {
                return;
            }
            asked = true;
        }
        if asked {
            let supervisor = &self.parts.hands.supervisor;
            supervisor.observe(&candidate.id, candidate.generation, Observation::Ready);
        }
    }

    /// In turns: who was asked first in one round is second in the next.
    async fn ask_both(&mut self, stable: &InstanceStatus, candidate: &InstanceStatus) {
        let (mut well, mut gated) = (true, false);
        for question in &self.fitted.questions {
            let looks = if !question.shared {
                let look = self.asker.ask(question, candidate).await;
                (None, look)
            } else if self.round.is_multiple_of(2) {
                let first = self.asker.ask(question, stable).await;
                (Some(first), self.asker.ask(question, candidate).await)
            } else {
                let first = self.asker.ask(question, candidate).await;
                (Some(self.asker.ask(question, stable).await), first)
            };
            gated |= question.gates;
            well &= looks.1.ok || !question.gates;
            if let (Some(stable), candidate) = looks {
                self.sides.looked(&question.name, stable, candidate);
            }
        }
        self.round += 1;
        if gated {
            let observation = if well {
                Observation::Ready
            } else {
                Observation::NotReady { reason: "a probe of the candidate fails".into() }
            };
            self.parts.hands.supervisor.observe(&candidate.id, candidate.generation, observation);
        }
    }

    async fn judge(&mut self, limits: &RolloutSettings) -> Result<(), Over> {
        self.weigh().await;
        self.count_errors().await;
        let judged = compare(limits, &self.sides);
        self.worse = if judged.worth == Worth::Worse { self.worse + 1 } else { 0 };
        let comparison = RolloutComparison {
            at: self.parts.hands.clock.now(),
            since: self.since,
            worth: judged.worth,
            because: judged.because,
            lines: judged.lines,
            samples: limits.samples,
            worse_in_a_row: self.worse,
        };
        let why = comparison.because.join("; ");
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(comparison);
        if self.last.replace(judged.worth) != Some(judged.worth) {
            self.tell(judged.worth, &why).await;
        }
        if self.worse >= limits.failures {
            let why = format!("worse {} times in a row: {why}", self.worse);
            return Err(Over { state: RolloutState::Aborted, why });
        }
        Ok(())
    }

    async fn weigh(&mut self) {
        let fleet_id = self.parts.hands.supervisor.fleet_id().to_owned();
        let Ok(used) = spawn_blocking(move || used_by_fleet(&fleet_id)).await else { return };
        let agent = &self.rollout.agent;
        let candidate = used.get(&InstanceId::candidate(agent.clone())).map(|used| used.memory_bytes as f64);
        let stable: Vec<f64> = used
            .iter()
            .filter(|(id, _)| id.agent == *agent && !id.is_candidate())
            .map(|(_, used)| used.memory_bytes as f64)
            .collect();
        if let (Some(candidate), false) = (candidate, stable.is_empty()) {
            let mean = stable.iter().sum::<f64>() / stable.len() as f64;
            self.sides.weighed(self.parts.hands.clock.now(), mean, candidate);
        }
    }

    /// Of what is stable those of the one that has most.
    async fn count_errors(&mut self) {
        match self.parts.store.errors_by_instance(self.since).await {
            Ok(errors) => {
                let (agent, sides) = (&self.rollout.agent, &mut self.sides);
                let of_it = errors.iter().filter(|(id, _)| id.agent == *agent);
                let (candidate, stable): (Vec<_>, Vec<_>) = of_it.partition(|(id, _)| id.is_candidate());
                let most = |of: Vec<(&InstanceId, &u32)>| of.into_iter().map(|(_, n)| *n).max().unwrap_or(0);
                (sides.candidate.errors, sides.stable.errors) = (most(candidate), most(stable));
            }
            Err(error) => self.parts.errors.record(Failure::new("rollout", error.into())),
        }
    }

    async fn tell(&self, worth: Worth, why: &str) {
        let Rollout { id, release, agent, .. } = &self.rollout;
        let text = format!("rollout {id} of {release} is {worth} against what is stable: {why}");
        let event = Event {
            seq: 0,
            at: self.parts.hands.clock.now(),
            kind: EventKind::RolloutJudged,
            instance: Some(InstanceId::candidate(agent.clone())),
            text: text.trim_end_matches(": ").to_owned(),
        };
        if let Err(error) = self.parts.store.record_event(event).await {
            self.parts.errors.record(Failure::new("event", error.into()));
        }
    }
}

/// Of an adopted one nobody saw it.
fn took(instance: &InstanceStatus) -> Option<f64> {
    let (began, ready) = (instance.started_at?, instance.ready_at?);
    (!instance.adopted).then(|| ready.duration_since(began).as_secs_f64())
}
