//! Ask, judge, store, ring the bell on change. One task keeps time for the whole fleet and drives every look: looks
//! wait side by side, so a slow target delays no other, and none wakes a second thread of the runtime.
use super::{
    board::{Board, Look, News},
    failing::failure,
    journal::Journal,
    look::ask_under,
    plan::Plan,
    policies::policies_of,
    probe::PROBES,
};
use crate::{
    agents::Supervisor,
    config::{Kind, Settings},
    domain::{Fault, FleetSnapshot, InstanceId, Observation, ProbeResult, ProbeStatus, ProbeTransition},
    errors::Errors,
    resilience::{Clock, Policies},
    store::Store,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Looks under way at once, over the fleet. Who waits gets the next place in the order of asking, and nobody keeps
/// one longer than its deadline.
const MOST_LOOKS: usize = 256;
/// Characters of what a look saw.
const MOST_SAID: usize = 400;
/// With nothing to look at, the schedule is read again after so long.
const IDLE: Duration = Duration::from_secs(3600);
/// How long `shutdown` waits for looks to end and for the store to take what is queued.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub struct MonitorParts {
    pub settings: Arc<Settings>,
    pub supervisor: Supervisor,
    pub store: Store,
    pub clock: Clock,
    pub errors: Errors,
    /// Brought to the settings here, at the start and at each reload.
    pub policies: Policies,
}

/// What health needs of the supervisor, so that its own tests need no fleet of processes.
pub(super) trait Fleet: Send + Sync + 'static {
    fn snapshot(&self) -> FleetSnapshot;
    fn changes(&self) -> watch::Receiver<u64>;
    fn observe(&self, instance: &InstanceId, generation: u64, observation: Observation);
    fn observe_dependency(&self, name: &str, observation: Observation);
    fn dependencies_down(&self) -> BTreeMap<String, String>;
}

impl Fleet for Supervisor {
    fn snapshot(&self) -> FleetSnapshot {
        Self::snapshot(self)
    }
    fn changes(&self) -> watch::Receiver<u64> {
        Self::changes(self)
    }
    fn observe(&self, instance: &InstanceId, generation: u64, observation: Observation) {
        Self::observe(self, instance, generation, observation);
    }
    fn observe_dependency(&self, name: &str, observation: Observation) {
        Self::observe_dependency(self, name, observation);
    }
    fn dependencies_down(&self) -> BTreeMap<String, String> {
        Self::dependencies_down(self)
    }
}

#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    /// Held for a turn of the machine, never across an await.
    board: Mutex<Board>,
    /// Rung when the schedule may have changed from outside the loop.
    bell: Notify,
    clock: Clock,
    policies: Policies,
    journal: Journal,
    /// None where nobody records: tests of the machine.
    errors: Option<Errors>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A look that has come back.
struct Done {
    slot: u64,
    round: u64,
    began: Instant,
    result: ProbeResult,
}

impl Monitor {
    /// Follows the supervisor's snapshot and probes what runs.
    pub fn launch(parts: MonitorParts) -> Self {
        let (errors, fleet) = (Some(parts.errors), Arc::new(parts.supervisor));
        let monitor = Self::watch_recorded(&parts.settings, fleet, parts.clock, parts.policies, errors);
        let (inner, store) = (Arc::clone(&monitor.inner), parts.store);
        monitor.inner.tasks.spawn(async move {
            tokio::select! {
                () = inner.journal.run(&store, inner.errors.as_ref()) => {}
                () = inner.stop.cancelled() => inner.journal.flush(&store, inner.errors.as_ref()).await,
            }
        });
        monitor
    }

    #[cfg(test)]
    pub(super) fn watch(
        settings: &Settings,
        fleet: Arc<dyn Fleet>,
        clock: Clock,
        policies: Policies,
    ) -> Self {
        Self::watch_recorded(settings, fleet, clock, policies, None)
    }

    fn watch_recorded(
        settings: &Settings,
        fleet: Arc<dyn Fleet>,
        clock: Clock,
        policies: Policies,
        errors: Option<Errors>,
    ) -> Self {
        let inner = Arc::new(Inner {
            board: Mutex::default(),
            bell: Notify::new(),
            clock,
            policies,
            journal: Journal::default(),
            errors,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let monitor = Self { inner };
        monitor.set_plan(settings);
        monitor.inner.tasks.spawn(Arc::clone(&monitor.inner).run(fleet));
        monitor
    }

    /// Every `kind` of probe there is.
    pub fn kinds() -> Vec<Kind> {
        PROBES.iter().map(|entry| entry.kind).collect()
    }

    /// Ordered by target, then by the manifest's order.
    pub fn snapshot(&self) -> Vec<ProbeStatus> {
        self.inner.board().snapshot()
    }

    /// What guards the calls to each dependency.
    pub fn policies(&self) -> &Policies {
        &self.inner.policies
    }

    /// An agent told us that it is alive.
    pub fn heartbeat(&self, instance: &InstanceId) -> Result<(), Fault> {
        let heard = self.inner.board().heard(instance, Instant::now());
        if !heard {
            return Err(Fault::not_found(format!("cannot take the report: {instance} is not running"))
                .hint("agentctl agent list"));
        }
        self.inner.bell.notify_one();
        Ok(())
    }

    /// Brings the probes to new settings; unchanged ones keep their standing.
    pub fn apply(&self, settings: Arc<Settings>) {
        self.set_plan(&settings);
    }

    /// Ends looks under way and writes down what is queued.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        if timeout(LAST_WORDS, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("probes did not end in time");
        }
    }

    fn set_plan(&self, settings: &Settings) {
        self.inner.policies.apply(policies_of(settings));
        let mut board = self.inner.board();
        let plan = Plan::new(settings, board.plan(), &self.inner.policies);
        board.set_plan(plan, Instant::now(), self.inner.clock.now());
        drop(board);
        self.inner.bell.notify_one();
    }
}

impl Inner {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, fleet: Arc<dyn Fleet>) {
        let mut changes = fleet.changes();
        changes.mark_changed();
        let mut waiting: VecDeque<Look> = VecDeque::new();
        let mut looks = FuturesUnordered::new();
        loop {
            let next = self.board().next();
            let idle = Instant::now() + IDLE;
            // What is down is the supervisor's to say; it rings when that may have changed.
            let mut asks_what_is_down = true;
            tokio::select! {
                () = self.stop.cancelled() => return, // looks under way end with it
                Some(Done { slot, round, began, result }) = looks.next() => {
                    self.board().take(slot, round, began, result, Instant::now());
                    asks_what_is_down = false;
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return; // there is no supervisor any more
                    }
                    let snapshot = fleet.snapshot();
                    // Asked after it and taken in first: who has come up because what it needs is back would else be
                    // called blocked by that.
                    let down = fleet.dependencies_down();
                    let mut board = self.board();
                    board.set_down(down, Instant::now(), self.clock.now());
                    board.set_fleet(snapshot, Instant::now(), self.clock.now());
                    asks_what_is_down = false;
                }
                () = self.bell.notified() => {}
                () = sleep_until(next.unwrap_or(idle)) => asks_what_is_down = false,
            }
            self.tell(&*fleet, asks_what_is_down);
            waiting.extend(self.board().due(Instant::now()));
            while looks.len() < MOST_LOOKS
                && let Some(look) = waiting.pop_front()
            {
                looks.push(self.look(look));
            }
        }
    }

    /// Passes on what is new until nothing is: telling of one thing may block or free another.
    fn tell(&self, fleet: &dyn Fleet, mut asks_what_is_down: bool) {
        // A round settles at least one subject; more rounds than this would be a defect of ours.
        for _ in 0..8 {
            let down = asks_what_is_down.then(|| fleet.dependencies_down());
            let news = {
                let mut board = self.board();
                if let Some(down) = down {
                    board.set_down(down, Instant::now(), self.clock.now());
                }
                board.take_news()
            };
            if news.is_empty() {
                return;
            }
            asks_what_is_down = true;
            for item in news {
                match item {
                    News::Instance(id, generation, observation) => {
                        fleet.observe(&id, generation, observation);
                    }
                    News::Dependency(name, observation) => fleet.observe_dependency(&name, observation),
                    News::Turned(turned, is_event) => self.journal.push(self.recorded(turned), is_event),
                }
            }
        }
        self.bell.notify_one();
    }

    /// A turn for the worse is a failure; what it says goes into the store, and so without what is known to be secret.
    fn recorded(&self, mut turned: ProbeTransition) -> ProbeTransition {
        let Some(errors) = &self.errors else { return turned };
        turned.detail = errors.redactor().clean(&turned.detail, MOST_SAID);
        let about = self.board().about(&turned.target, &turned.probe);
        if let Some(failure) = about.and_then(|(kind, role)| failure(&turned, &kind, role)) {
            errors.record(failure);
        }
        turned
    }

    async fn look(&self, look: Look) -> Done {
        let result =
            ask_under(look.policy.as_ref(), &*look.probe, &look.target, look.deadline, &self.clock).await;
        Done { slot: look.slot, round: look.round, began: look.began, result }
    }
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
