//! How things end: an agent by hand, a surplus replica, the whole fleet in order, and what an earlier daemon left.
use super::{
    Supervisor, actor::Order, adopt::Inheritance, child::sweep, shared::Shared, supervisor::deliver,
};
use crate::{
    domain::{AgentName, EventKind, Fault, FaultCategory, FaultKind, FaultSeverity, InstanceId},
    errors::Failure,
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

/// Beyond its own timeout, how long a stop may take to sweep and to be reported.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// How long what an earlier daemon left of an agent that is gone may take over its end.
const LEFTOVER: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Stops every agent in reverse dependency order; what is left at the deadline is killed. Nothing survives.
    pub async fn shutdown(&self, deadline: Duration) {
        let end = Instant::now() + deadline;
        let turn = timeout_at(courtesy(end), self.0.turn.acquire()).await;
        if let Ok(Ok(turn)) = turn {
            turn.forget(); // no change follows a shutdown
        }
        // A second shutdown need not wait for the turn that the first one kept.
        self.0.turn.close();
        self.stop_in_order(end).await;
        if let Some(cgroups) = &self.0.shared.cgroups {
            cgroups.remove_empty();
        }
    }

    /// Every agent, those first that need others. What could not be stopped is recorded.
    pub(super) async fn stop_in_order(&self, end: Instant) {
        // Dependents have until then to go first; the rest is kept for those that they kept waiting.
        let courtesy = courtesy(end);
        // Beside the fleet, and not needed by any of it.
        self.end_candidates(courtesy).await;
        // Everything must be dead a little before, so that it can be verified.
        let by = end - end.saturating_duration_since(Instant::now()).mul_f64(0.1);
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
                    let late =
                        Fault::new(FaultKind::Timeout, format!("cannot stop {name} before the deadline"))
                            .category(FaultCategory::Agent)
                            .severity(FaultSeverity::High);
                    let failure = Failure::new("agent.stop", late).of_agent(Some(name.clone()));
                    self.0.shared.errors.record(failure);
                }
                if let Some(sender) = gone.get(name) {
                    sender.send_replace(true);
                }
            }
        });
        join_all(stops).await;
    }

    /// Stops every instance of an agent and waits for the end.
    pub(super) async fn halt(&self, name: &AgentName, by: Option<Instant>) -> Result<(), Fault> {
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

    /// Ends the instances from `keep` on, and waits for it. They stay on the list until they have ended: what could not
    /// be ended in time is still somebody's, and the next attempt reaches it.
    pub(super) async fn retire(&self, name: &AgentName, keep: usize) -> Result<(), Fault> {
        let (surplus, limit) = {
            let roster = self.roster();
            let Some(agent) = roster.agents.get(name) else { return Ok(()) };
            let surplus = agent.instances.get(keep..).unwrap_or_default().to_vec();
            (surplus, agent.plan.settings.stop_timeout.0 + STOP_MARGIN)
        };
        let ends = surplus.iter().map(|handle| async move {
            let (done, ended) = oneshot::channel();
            deliver(handle, Order::Retire(done)).await?;
            timeout(limit, ended).await.map(|_| ()).map_err(|_| {
                Fault::new(FaultKind::Timeout, format!("cannot end a replica of {name} in {limit:?}"))
            })
        });
        let ended: Result<(), Fault> = join_all(ends).await.into_iter().collect();
        if let Some(agent) = self.roster().agents.get_mut(name) {
            let instances = &mut agent.instances;
            while instances.len() > keep && instances.last().is_some_and(|handle| handle.orders.is_closed()) {
                instances.pop();
            }
        }
        ended
    }
}

/// Of the time that is left, as much as others may take before those that wait for them are stopped too.
fn courtesy(end: Instant) -> Instant {
    end - end.saturating_duration_since(Instant::now()).mul_f64(0.4)
}

/// Processes of an agent or replica that the manifest does not have any more.
pub(super) async fn end_unwanted(shared: Arc<Shared>, id: InstanceId, heir: Inheritance) {
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
        shared.errors.record(Failure::new("agent.record", error.into()));
    }
}
