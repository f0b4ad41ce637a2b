//! `Errors`, the handle others hold: a failure is cleaned, fingerprinted and counted at once, in memory, and written
//! with its likes a moment later. Whoever records never waits and never fails.
use super::{Failure, Redactor, pending::Pending};
use crate::{
    config::ErrorSettings,
    domain::{Alike, ErrorAlarm, FaultCategory, Fingerprint, Occurrence, SpikeRule, Tally},
    resilience::Clock,
    store::{ErrorBounds, Store, StoreError, StoreErrorKind},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// From the first failure to its commit: what a crash of the daemon may lose, beside the commit itself.
const DELAY: Duration = Duration::from_millis(50);
/// While the store does not take them.
const RETRY: Duration = Duration::from_secs(1);
/// How long the last of them may take at the end of the daemon.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Characters of a sentence, of a link of its chain, and of its context.
const SENTENCE: usize = 500;
const CAUSE: usize = 200;
const NAME: usize = 100;

#[derive(Clone)]
pub struct Errors(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    redactor: Redactor,
    runtime: Option<Handle>,
    /// Held for a moment at a time, never across an await.
    desk: Mutex<Desk>,
    /// One writes at a time, so that what is put back is put back in order.
    turn: Semaphore,
    closed: AtomicBool,
    lost: AtomicU64,
}

struct Desk {
    settings: ErrorSettings,
    pending: Pending,
    /// Recorded in this daemon's life.
    recorded: BTreeMap<FaultCategory, u64>,
    /// Somebody is on the way to write what is pending.
    expected: bool,
    /// The alarm of a moment: commits of the store and hour.
    alarm: Option<((u64, i64), Option<ErrorAlarm>)>,
}

impl Errors {
    /// Writes on the runtime that it is opened on; without one, only when it is told to.
    pub fn open(settings: &ErrorSettings, store: Store, clock: Clock) -> Self {
        let desk = Desk {
            settings: settings.clone(),
            pending: Pending::default(),
            recorded: BTreeMap::new(),
            expected: false,
            alarm: None,
        };
        Self(Arc::new(Inner {
            store,
            clock,
            redactor: Redactor::default(),
            runtime: Handle::try_current().ok(),
            desk: Mutex::new(desk),
            turn: Semaphore::new(1),
            closed: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        }))
    }

    /// Never waits and never fails the caller.
    pub fn record(&self, failure: Failure) {
        if failure.fault.recorded {
            return;
        }
        let Inner { redactor, clock, .. } = &*self.0;
        let Failure { operation, agent, instance, client, correlation, fault, context } = failure;
        let nature = fault.nature();
        let message = redactor.clean(&fault.message, SENTENCE);
        let operation = redactor.clean(&operation, NAME);
        let alike = Alike {
            fingerprint: Fingerprint::of(nature.category, fault.kind, &operation, agent.as_ref(), &message),
            category: nature.category,
            severity: nature.severity,
            kind: fault.kind,
            operation,
            agent,
            retryable: nature.retryable,
        };
        let sample = Occurrence {
            at: clock.now(),
            instance,
            client: client.map(|client| redactor.clean(&client, NAME)),
            correlation: Some(correlation).filter(|id| id.0 != 0),
            message,
            causes: fault.causes.iter().map(|cause| redactor.clean(cause, CAUSE)).collect(),
            context: redactor.clean(&context, SENTENCE),
        };
        let hint = fault.hint.map(|hint| redactor.clean(&hint, SENTENCE));
        self.count(alike, hint, sample);
    }

    /// What is pending, written now; true if nothing is left.
    pub async fn flush(&self) -> bool {
        self.try_flush().await.is_ok()
    }

    /// Writes the last of them. What comes later is only counted as lost, in the daemon's log.
    pub async fn close(&self) {
        let _ = timeout(LAST_WORDS, self.flush()).await;
        self.0.closed.store(true, Ordering::Relaxed);
    }

    /// New settings.
    pub fn apply(&self, settings: &ErrorSettings) {
        let mut desk = self.desk();
        desk.settings = settings.clone();
        desk.alarm = None;
    }

    /// What must never be seen in a text of ours.
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// When a rate is a spike, as it is set.
    pub fn rule(&self) -> SpikeRule {
        let desk = self.desk();
        SpikeRule { minimum: desk.settings.spike_minimum.into(), factor: desk.settings.spike_factor }
    }

    /// For the status: groups that spike or came back. Asked of the store only if something was written since.
    pub async fn alarm(&self) -> Option<ErrorAlarm> {
        let now = self.0.clock.now();
        let moment = (self.0.store.stats().commits, crate::domain::hour_of(now));
        let known = self.desk().alarm.clone();
        if let Some((_, alarm)) = known.filter(|(seen, _)| *seen == moment) {
            return alarm;
        }
        // A store that cannot answer shows elsewhere; the status itself must not fail for it.
        let alarm = self.0.store.error_alarm(now, self.rule()).await.ok()?;
        self.desk().alarm = Some((moment, alarm.clone()));
        alarm
    }

    /// How many of each category were recorded since this was opened, written or not.
    pub fn recorded(&self) -> BTreeMap<FaultCategory, u64> {
        self.desk().recorded.clone()
    }

    /// Failures that no store would take any more; 0 while the daemon runs.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn count(&self, alike: Alike, hint: Option<String>, sample: Occurrence) {
        if self.0.closed.load(Ordering::Relaxed) {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(operation = alike.operation, "a failure after the end is not recorded");
            return;
        }
        let mut desk = self.desk();
        let samples = desk.settings.samples as usize;
        *desk.recorded.entry(alike.category).or_default() += 1;
        desk.pending.add(alike, hint, sample, samples);
        if desk.expected {
            return;
        }
        if let Some(runtime) = &self.0.runtime {
            desk.expected = true;
            runtime.spawn(self.clone().write_soon());
        }
    }

    async fn write_soon(self) {
        let mut delay = DELAY;
        loop {
            sleep(delay).await;
            // A failure of this very store is not a failure to record: it would never end.
            delay = match self.try_flush().await {
                Ok(()) => DELAY,
                Err(error) if error.kind == StoreErrorKind::Closed => return,
                Err(error) => {
                    tracing::warn!(%error, "failures wait to be recorded");
                    RETRY
                }
            };
            let mut desk = self.desk();
            if desk.pending.is_empty() {
                desk.expected = false;
                return;
            }
        }
    }

    async fn try_flush(&self) -> Result<(), StoreError> {
        // Never closed.
        let Ok(_turn) = self.0.turn.acquire().await else { return Ok(()) };
        let (tallies, bounds) = {
            let mut desk = self.desk();
            let bounds = ErrorBounds { samples: desk.settings.samples, groups: desk.settings.groups };
            (Arc::new(desk.pending.take()), bounds)
        };
        if tallies.is_empty() {
            return Ok(());
        }
        let kept = self.0.store.keep_failures(Arc::clone(&tallies), bounds).await;
        if let Err(error) = &kept {
            self.put_back(error, Arc::unwrap_or_clone(tallies));
        }
        kept
    }

    /// Into a store that is closed nothing will ever go.
    fn put_back(&self, error: &StoreError, tallies: Vec<Tally>) {
        if error.kind == StoreErrorKind::Closed {
            let lost: u64 = tallies.iter().map(|tally| tally.count).sum();
            self.0.lost.fetch_add(lost, Ordering::Relaxed);
            tracing::warn!(lost, "failures were not recorded: the store is closed");
            return;
        }
        let mut desk = self.desk();
        let samples = desk.settings.samples as usize;
        for tally in tallies {
            desk.pending.merge(tally, samples);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
