//! How rollouts end by themselves: judged worse, in the way of something else, with the daemon, or after its death.
use super::{
    service::Rollouts,
    trial::{Over, Trial},
};
use crate::{
    domain::{Act, Fault, Rollout, RolloutComparison, RolloutState},
    errors::Failure,
    store::RolloutMove,
};
use std::{sync::PoisonError, time::Duration};
use tokio::time::{sleep, timeout};

/// A candidate that cannot be ended, or a store that takes nothing, is tried again so often, and so much later.
const TRIES: u32 = 12;
const AGAIN: Duration = Duration::from_secs(5);
/// How long those under way may take to see that the daemon ends.
const LAST_TURN: Duration = Duration::from_secs(2);
const ACTION: &str = "rollouts/abort";

impl Rollouts {
    /// Until it is over, by itself or at somebody's word.
    pub(super) async fn try_out(self, trial: Trial) {
        let (rollout, shown) = (trial.rollout.clone(), trial.shown.clone());
        let Some(Over { state, why }) = trial.run().await else { return };
        tracing::warn!(agent = %rollout.agent, release = %rollout.release, why, "a rollout ends");
        let comparison = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ended = self.end_by_itself(&rollout, state, why.clone(), comparison.clone()).await;
        for _ in 1..TRIES {
            if ended.is_ok() {
                break;
            }
            self.noted(ended);
            tokio::select! {
                () = self.0.stopping.cancelled() => return, // the next daemon sees to it
                () = sleep(AGAIN) => {}
            }
            ended = self.end_by_itself(&rollout, state, why.clone(), comparison.clone()).await;
        }
        self.noted(ended);
        let mut trials = self.trials();
        if trials.get(&rollout.agent).is_some_and(|under| under.rollout.id == rollout.id) {
            trials.remove(&rollout.agent);
        }
    }

    /// First the candidate, then the word: nothing is called ended that lives.
    pub(super) async fn end_by_itself(
        &self,
        rollout: &Rollout,
        to: RolloutState,
        why: String,
        comparison: Option<RolloutComparison>,
    ) -> Result<(), Fault> {
        let parts = &self.0.parts;
        parts.hands.supervisor.end_candidate(&rollout.agent).await?;
        let wanted = RolloutMove { id: rollout.id, to, why, operation: None, comparison };
        parts.store.move_rollout(own_act(rollout), wanted).await?;
        Ok(())
    }

    /// What a daemon that was killed left open. Its candidate is never taken on again: the supervisor has ended it, or is
    /// about to, and that is waited for.
    pub async fn recover(self) {
        let open = match self.0.parts.store.open_rollouts().await {
            Ok(open) => open,
            Err(error) => return self.noted(Err(error.into())),
        };
        for rollout in open {
            if rollout.state == RolloutState::Promoting {
                tokio::spawn(self.clone().follow_again(rollout));
                continue;
            }
            let why = "agentd ended while it was tried, and the candidate was ended";
            for _ in 0..TRIES {
                let ended = self.end_by_itself(&rollout, RolloutState::Failed, why.into(), None).await;
                let done = ended.is_ok();
                self.noted(ended);
                if done || self.0.stopping.is_cancelled() {
                    break;
                }
                sleep(AGAIN).await;
            }
        }
    }

    /// Candidates end with the daemon, each with its word. What cannot be ended in time is the supervisor's to kill and the
    /// next daemon's to write down.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        let trials = std::mem::take(&mut *self.trials());
        let ends = trials.into_values().map(|under| async move {
            let _ = timeout(LAST_TURN, under.task).await;
            let seen = under.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let why = "agentd was stopped, and the candidate with it".to_owned();
            self.noted(self.end_by_itself(&under.rollout, RolloutState::Failed, why, seen).await);
        });
        futures_util::future::join_all(ends).await;
    }

    pub(super) fn noted(&self, outcome: Result<(), Fault>) {
        if let Err(fault) = outcome {
            tracing::error!(%fault, "a rollout could not be ended");
            self.0.parts.errors.record(Failure::new("rollout", fault));
        }
    }
}

/// Nobody asked: the daemon's own user answers for it.
pub(super) fn own_act(rollout: &Rollout) -> Act {
    let uid = rustix::process::geteuid().as_raw();
    Act::of_daemon(uid, format!("rollout {}", rollout.id), ACTION)
}
