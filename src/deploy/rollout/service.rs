//! `Rollouts`: what others ask of this room. One beginning or ending at a time; looks wait for nobody.
use super::{
    fit::fit,
    hold::{Hold, Sharing, held},
    trial::Trial,
};
use crate::{
    deploy::{Hands, Ways},
    domain::{
        Act, AgentName, Fault, FaultKind, InstanceStatus, Principal, ReleaseId, Rollout, RolloutBrief,
        RolloutComparison, RolloutState, Share, Worth,
    },
    errors::Errors,
    operations::Operations,
    store::{RolloutMove, Store},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long one that is ending may take before whoever wants to end it too is told so.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct RolloutsParts {
    pub hands: Arc<Hands>,
    pub operations: Operations,
    pub ways: Ways,
    pub store: Store,
    pub errors: Errors,
    /// What keeps a rollout from being begun, and ends those under way.
    pub holds: Vec<Arc<dyn Hold>>,
    /// None while nothing gives tasks.
    pub sharing: Option<Arc<dyn Sharing>>,
}

#[derive(Clone)]
pub struct Rollouts(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub parts: Arc<RolloutsParts>,
    turn: Semaphore,
    trials: Mutex<BTreeMap<AgentName, Under>>,
    /// Nothing is begun any more, and what waits goes on at the next start.
    pub stopping: CancellationToken,
}

/// One under way.
pub(super) struct Under {
    pub rollout: Rollout,
    pub stop: CancellationToken,
    pub shown: Arc<Mutex<Option<RolloutComparison>>>,
    pub task: JoinHandle<()>,
}

/// What is to be begun.
pub struct Beginning {
    pub agent: AgentName,
    pub release: ReleaseId,
    pub share: Option<Share>,
    pub reason: String,
}

/// A rollout with what runs of it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    #[serde(flatten)]
    pub rollout: Rollout,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<InstanceStatus>,
}

impl Rollouts {
    pub fn new(parts: RolloutsParts) -> Self {
        Self(Arc::new(Inner {
            parts: Arc::new(parts),
            turn: Semaphore::new(1),
            trials: Mutex::default(),
            stopping: CancellationToken::new(),
        }))
    }

    /// On the disk before anything is started; returns when the candidate is on its way.
    pub async fn start(&self, wish: Beginning, by: Principal, act: Act) -> Result<Shown, Fault> {
        let _turn = self.turn()?;
        let parts = &self.0.parts;
        let Beginning { agent, release, share, reason } = wish;
        let cannot = |why: String| Fault::new(FaultKind::Refused, format!("cannot try {agent}: {why}"));
        if share.is_some() && parts.sharing.is_none() {
            return Err(cannot("there is no queue whose tasks could be shared".into())
                .hint("leave out --share: the candidate is probed beside what is stable, and gets no work"));
        }
        if let Some(why) = held(&parts.holds).await {
            return Err(cannot(why).hint("`agentctl operation list` and `agentctl system show` say more"));
        }
        let fitted = fit(parts, &agent, release).await?;
        let rollout = Rollout {
            id: 0,
            agent: agent.clone(),
            release,
            state: RolloutState::Trying,
            by,
            reason,
            since: parts.hands.clock.now(),
            ended_at: None,
            why: String::new(),
            operation: None,
            comparison: None,
        };
        let rollout = parts.store.begin_rollout(act, rollout).await?;
        let began = async {
            let candidate = parts.hands.supervisor.start_candidate(&fitted.candidate).await?;
            if let (Some(sharing), Some(share)) = (&parts.sharing, share) {
                sharing.give(&candidate, share).await?;
            }
            Ok::<_, Fault>(())
        };
        if let Err(fault) = began.await {
            let ended = self.end_by_itself(&rollout, RolloutState::Failed, fault.message.clone(), None);
            self.noted(ended.await);
            return Err(fault);
        }
        let (stop, shown) = (self.0.stopping.child_token(), Arc::default());
        let trial = Trial {
            parts: Arc::clone(parts),
            rollout: rollout.clone(),
            fitted,
            stop: stop.clone(),
            shown: Arc::clone(&shown),
        };
        let task = tokio::spawn(self.clone().try_out(trial));
        let under = Under { rollout: rollout.clone(), stop, shown, task };
        self.trials().insert(agent.clone(), under);
        Ok(Shown { candidate: parts.hands.supervisor.candidate(&agent), rollout })
    }

    /// Newest first.
    pub async fn list(&self, limit: u32) -> Result<Vec<Shown>, Fault> {
        let all = self.0.parts.store.rollouts(None, limit).await?;
        Ok(all.into_iter().map(|rollout| self.shown(rollout)).collect())
    }

    /// The newest of an agent.
    pub async fn show(&self, agent: &AgentName) -> Result<Shown, Fault> {
        let newest = self.0.parts.store.rollouts(Some(agent.clone()), 1).await?.pop();
        newest.map(|rollout| self.shown(rollout)).ok_or_else(|| {
            Fault::not_found(format!("cannot find a rollout of {agent}"))
                .hint(format!("`agentctl rollout start {agent} --to RELEASE` begins one"))
        })
    }

    /// From memory: what the status may ask once a second.
    pub fn under_way(&self) -> Vec<RolloutBrief> {
        let candidates = self.0.parts.hands.supervisor.candidates();
        let trials = self.trials();
        let of = |under: &Under| {
            let agent = &under.rollout.agent;
            let status = candidates.iter().find(|it| it.id.agent == *agent)?;
            let seen = under.shown.lock().unwrap_or_else(PoisonError::into_inner);
            Some(RolloutBrief {
                instance: status.id.clone(),
                release: under.rollout.release,
                since: under.rollout.since,
                state: status.state,
                worth: seen.as_ref().map_or(Worth::Unmeasured, |seen| seen.worth),
            })
        };
        trials.values().filter_map(of).collect()
    }

    /// Returns when nothing of the candidate is alive.
    pub async fn abort(&self, agent: &AgentName, reason: String, act: Act) -> Result<Shown, Fault> {
        let _turn = self.turn()?;
        let (rollout, comparison) = self.take(agent, "end").await?;
        self.0.parts.hands.supervisor.end_candidate(agent).await?;
        let wanted = RolloutMove {
            id: rollout.id,
            to: RolloutState::Aborted,
            why: reason,
            operation: None,
            comparison,
        };
        let rollout = self.0.parts.store.move_rollout(act, wanted).await?;
        Ok(Shown { rollout, candidate: None })
    }

    /// The one that is tried, with nobody beside us who could end it; its candidate still runs.
    pub(super) async fn take(
        &self,
        agent: &AgentName,
        what: &str,
    ) -> Result<(Rollout, Option<RolloutComparison>), Fault> {
        let under = self.trials().remove(agent);
        let mut comparison = None;
        if let Some(under) = under {
            under.stop.cancel();
            let _ = timeout(PATIENCE, under.task).await;
            comparison.clone_from(&under.shown.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let rollout = self.show(agent).await?.rollout;
        if rollout.state == RolloutState::Trying {
            return Ok((rollout, comparison));
        }
        let why = if rollout.why.is_empty() { String::new() } else { format!(" ({})", rollout.why) };
        let message = format!("cannot {what} the rollout of {agent}: it is {}{why}", rollout.state);
        Err(Fault::new(FaultKind::Conflict, message).hint(format!("`agentctl rollout show {agent}` has it")))
    }

    /// What is known of it now, beside what was written down.
    fn shown(&self, mut rollout: Rollout) -> Shown {
        if rollout.state != RolloutState::Trying {
            return Shown { rollout, candidate: None };
        }
        if let Some(under) = self.trials().get(&rollout.agent) {
            rollout.comparison.clone_from(&under.shown.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let candidate = self.0.parts.hands.supervisor.candidate(&rollout.agent);
        Shown { rollout, candidate }
    }

    pub(super) fn comparison(&self, agent: &AgentName) -> Option<RolloutComparison> {
        let trials = self.trials();
        trials.get(agent)?.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn trials(&self) -> MutexGuard<'_, BTreeMap<AgentName, Under>> {
        self.0.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let busy = |_| {
            Fault::new(FaultKind::Conflict, "cannot change a rollout: another is just being begun or ended")
                .hint("try again; `agentctl rollout list` shows them")
        };
        if self.0.stopping.is_cancelled() {
            return Err(Fault::new(FaultKind::Unavailable, "cannot change a rollout: agentd is stopping"));
        }
        self.0.turn.try_acquire().map_err(busy)
    }
}
