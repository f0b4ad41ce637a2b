//! Looks every ten seconds, by the wall: a look that would be late is left out and counted, and none is kept twice.
//! What is over is folded, and what is old is deleted, beside it. A store that fails costs what it did not take, and a word.
use super::{
    book::{Book, NAMED_AT_ONCE},
    catalogue::{LOOK, REFUSED, SKIPPED, STORE_COMMIT, STORE_QUERY, STORE_WAIT},
    sights::{Memory, Seen, Sight, Watch},
};
use crate::{
    config::{MetricsSettings, Settings},
    domain::{Fault, Labels, Period},
    errors::{Errors, Failure},
    resilience::Clock,
    store::{Encoded, LatencySince, MetricTier, Store, StoreError},
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

pub const STEP_S: i64 = MetricTier::TenSeconds.step_s();
/// A look is made a little after its time, so that a clock that is corrected meanwhile does not make it one too early.
const AFTER: Duration = Duration::from_millis(20);
const LATE: SignedDuration = SignedDuration::from_secs(5);

pub struct RecorderParts {
    pub watch: Arc<dyn Watch>,
    pub store: Store,
    pub errors: Errors,
    pub clock: Clock,
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Who judges what was kept hears of it here.
    pub looked: Arc<watch::Sender<i64>>,
}

pub struct Recorder {
    parts: RecorderParts,
    memory: Memory,
    book: Book,
    pace: Pace,
    took_ms: f64,
    /// Said already.
    failing: bool,
    keeping: Option<(i64, JoinHandle<()>)>,
}

/// Which looks there were.
#[derive(Debug, Default)]
struct Pace {
    last: Option<i64>,
    skipped: u64,
}

impl Recorder {
    pub fn new(parts: RecorderParts) -> Self {
        Self {
            parts,
            memory: Memory::default(),
            book: Book::default(),
            pace: Pace::default(),
            took_ms: 0.0,
            failing: false,
            keeping: None,
        }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let wait = until_next(self.parts.clock.now()) + AFTER;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(wait) => {}
            }
            let now = self.parts.clock.now();
            if let Some(slot) = self.pace.take(now) {
                tokio::select! {
                    // What is half done is done again or not at all: every write is whole by itself.
                    () = stop.cancelled() => break,
                    () = self.look(slot) => {}
                }
                self.keep_house(now);
            }
        }
        if let Some((_, keeping)) = self.keeping {
            keeping.abort();
        }
    }

    async fn look(&mut self, slot: i64) {
        let began = self.parts.clock.instant();
        let (watch, mut memory) = (Arc::clone(&self.parts.watch), std::mem::take(&mut self.memory));
        let looked = tokio::task::spawn_blocking(move || {
            let sights = watch.look(&mut memory);
            (memory, sights)
        });
        // A panic is told by its hook; the next look starts afresh.
        let Ok((memory, mut sights)) = looked.await else { return };
        self.memory = memory;
        let LatencySince { query, wait, commit } = self.parts.store.take_latencies();
        for (metric, spread) in [(STORE_QUERY, query), (STORE_WAIT, wait), (STORE_COMMIT, commit)] {
            sights.insert(0, Sight::spread(metric, Labels::default(), spread));
        }
        sights.insert(0, Sight::total(SKIPPED, Labels::default(), self.pace.skipped as f64, None));
        sights.insert(0, Sight::level(LOOK, Labels::default(), self.took_ms));
        sights.insert(0, Sight::level(REFUSED, Labels::default(), 0.0));
        let kept = self.keep(slot, sights).await;
        self.took_ms = began.elapsed().as_micros() as f64 / 1e3;
        match kept {
            Ok(true) => {
                self.book.kept(slot);
                self.parts.looked.send_replace(slot);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("metrics are kept again");
                }
            }
            Ok(false) => self.pace.skipped += 1,
            Err(error) => self.failed(error),
        }
    }

    /// True if it is on the disk; false if there was one of this time already.
    async fn keep(&mut self, slot: i64, mut sights: Vec<Sight>) -> Result<bool, StoreError> {
        let metrics = self.parts.settings.borrow().metrics.clone();
        // Some at a time: the first look at a large fleet has thousands.
        for _ in 0..=sights.len() / NAMED_AT_ONCE {
            let unnamed = self.book.unnamed(&sights, slot);
            if unnamed.is_empty() {
                break;
            }
            let live_since = before(self.parts.clock.now(), metrics.keep_ten_seconds);
            let numbers =
                self.parts.store.open_series(unnamed.clone(), metrics.max_series, live_since).await?;
            self.book.name(&sights, &unnamed, &numbers, slot);
            let refused = numbers.iter().filter(|number| number.is_none()).count();
            if refused > 0 {
                tracing::warn!(
                    refused,
                    max_series = metrics.max_series,
                    "series of metrics are refused: raise max_series under [metrics]"
                );
            }
        }
        let refused = self.book.refused(&sights);
        if let Some(sight) = sights.first_mut().filter(|sight| sight.metric == REFUSED) {
            sight.seen = Seen::Level(refused as f64);
        }
        let encoded = Encoded::of(self.book.measures(sights, slot));
        let at = Timestamp::from_second(slot).unwrap_or_default();
        self.parts.store.keep_tick(at, encoded).await
    }

    /// Once, until it works again.
    fn failed(&mut self, error: StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "metrics are not kept, and there is a gap in them from here on");
            self.parts.errors.record(Failure::new("metrics", Fault::from(error)));
        }
    }

    /// Once an hour, and first at the start: what the last daemon left is folded, too.
    fn keep_house(&mut self, now: Timestamp) {
        let hour = now.as_second().div_euclid(3600);
        if self.keeping.as_ref().is_some_and(|(kept, task)| *kept == hour || !task.is_finished()) {
            return;
        }
        let (store, errors) = (self.parts.store.clone(), self.parts.errors.clone());
        let metrics = self.parts.settings.borrow().metrics.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = keep_house(&store, &metrics, now).await {
                tracing::warn!(%error, "metrics are not folded");
                errors.record(Failure::new("metrics.fold", Fault::from(error)));
            }
        });
        self.keeping = Some((hour, task));
    }
}

/// Folds what is over and deletes what is past its time.
pub async fn keep_house(store: &Store, metrics: &MetricsSettings, now: Timestamp) -> Result<(), StoreError> {
    let folded = store.fold_metrics(now).await?;
    let oldest = [
        (MetricTier::TenSeconds, before(now, metrics.keep_ten_seconds)),
        (MetricTier::Minutes, before(now, metrics.keep_minutes)),
        (MetricTier::Hours, before(now, metrics.keep_hours)),
    ];
    let gone = store.prune_metrics(oldest).await?;
    tracing::debug!(?folded, gone, "metrics folded");
    Ok(())
}

pub fn before(now: Timestamp, period: Period) -> Timestamp {
    let period = SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
    now.checked_sub(period).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH)
}

impl Pace {
    /// The slot to look at; none if it is too late for it, or if it had its look.
    fn take(&mut self, now: Timestamp) -> Option<i64> {
        let slot = now.as_second().div_euclid(STEP_S) * STEP_S;
        let Some(last) = self.last.replace(slot) else { return Some(slot) };
        if slot == last {
            return None;
        }
        // A clock that is put forward by much is no row of missed looks.
        let missed = (slot - last) / STEP_S - 1;
        if (1..=3600 / STEP_S).contains(&missed) {
            self.skipped += missed.unsigned_abs();
        }
        let late = now.duration_since(Timestamp::from_second(slot).unwrap_or(now)) > LATE;
        if late {
            self.skipped += 1;
        }
        (!late).then_some(slot)
    }
}

/// To the next full ten seconds.
fn until_next(now: Timestamp) -> Duration {
    let step = i128::from(STEP_S) * 1_000_000_000;
    let into = now.as_nanosecond().rem_euclid(step);
    Duration::from_nanos(u64::try_from(step - into).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        let since = SignedDuration::from_secs_f64(seconds);
        Timestamp::from_second(1_700_000_000).expect("a time") + since
    }

    #[test]
    fn the_next_look_is_at_the_next_full_ten_seconds() {
        assert_eq!(until_next(at(0.0)), Duration::from_secs(10));
        assert_eq!(until_next(at(9.5)), Duration::from_millis(500));
    }

    #[test]
    fn a_late_look_is_left_out_and_counted_and_none_is_made_twice() {
        let slot = |seconds: i64| Some(1_700_000_000 + seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.take(at(0.02)), slot(0));
        assert_eq!(pace.take(at(9.99)), None, "it had its look");
        assert_eq!(pace.take(at(10.02)), slot(10));
        assert_eq!(pace.skipped, 0);
        assert_eq!(pace.take(at(26.0)), None, "too late");
        assert_eq!(pace.skipped, 1);
        assert_eq!(pace.take(at(60.0)), slot(60), "30, 40 and 50 were slept through");
        assert_eq!(pace.skipped, 4);
        assert_eq!(
            pace.take(at(20.0)),
            slot(20),
            "the clock went back: the store knows whether there is one"
        );
        assert_eq!(pace.take(at(86_400.0)), slot(86_400), "put forward by a day");
        assert_eq!(pace.skipped, 4);
    }
}
