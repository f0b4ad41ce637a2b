//! How long things take, kept as a histogram: a mean hides the one query in a hundred that hurts.
//! Two significant figures from 1 µs to 100 s cost about 10 KiB each and never grow. One is of all since the start, one
//! of what came since it was last taken.
use crate::domain::{Distribution, Percentiles};
use hdrhistogram::Histogram;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

const LONGEST_US: u64 = 100_000_000;

pub(super) struct Latency(Mutex<Histograms>);

struct Histograms {
    all: Histogram<u32>,
    since_taken: Histogram<u32>,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = || {
            let histogram = Histogram::new_with_bounds(1, LONGEST_US, 2);
            histogram.expect("1 < LONGEST_US / 2 and 2 <= 5: the only ways it can refuse")
        };
        Self(Mutex::new(Histograms { all: histogram(), since_taken: histogram() }))
    }
}

impl Latency {
    pub fn record(&self, took: Duration) {
        self.record_all([took]);
    }

    /// One lock for a whole batch.
    pub fn record_all(&self, took: impl IntoIterator<Item = Duration>) {
        let mut histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in took {
            // What lasts longer than the histogram reaches counts as its longest.
            let micros = u64::try_from(one.as_micros()).unwrap_or(u64::MAX).max(1);
            histograms.all.saturating_record(micros);
            histograms.since_taken.saturating_record(micros);
        }
    }

    /// What came since this was last asked. One asks.
    pub fn take(&self) -> Distribution {
        let mut histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = histograms.since_taken.iter_recorded();
        let taken = Distribution::new(
            recorded.map(|class| (class.value_iterated_to(), class.count_at_value().into())),
        );
        histograms.since_taken.reset();
        taken
    }

    pub fn percentiles(&self) -> Percentiles {
        let histogram = &self.0.lock().unwrap_or_else(PoisonError::into_inner).all;
        if histogram.is_empty() {
            return Percentiles::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            count: histogram.len(),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_query_shows_where_a_mean_would_hide_it() {
        let latency = Latency::default();
        assert_eq!(latency.percentiles(), Percentiles::default());
        latency.record_all((0..980).map(|_| Duration::from_millis(1)));
        latency.record_all((0..20).map(|_| Duration::from_millis(500)));
        let seen = latency.percentiles();
        assert_eq!(seen.count, 1000);
        assert!((0.99..1.02).contains(&seen.p50), "{seen:?}");
        assert!((0.99..1.02).contains(&seen.p95), "{seen:?}");
        assert!((495.0..508.0).contains(&seen.p99), "{seen:?}");
    }

    #[test]
    fn what_was_taken_is_not_taken_again_and_stays_in_the_whole() {
        let latency = Latency::default();
        latency.record_all([Duration::from_millis(1), Duration::from_millis(1), Duration::from_millis(80)]);
        let first = latency.take();
        assert_eq!((first.count(), first.counts().len()), (3, 2));
        assert!(latency.take().is_empty());
        latency.record(Duration::from_millis(2));
        assert_eq!((latency.take().count(), latency.percentiles().count), (1, 4));
        let told = first.most().map(|micros| micros as f64 / 1e3);
        assert_eq!(told, Some(latency.percentiles().max), "status and metrics differ");
    }

    #[test]
    fn what_is_out_of_reach_is_counted_as_the_longest() {
        let latency = Latency::default();
        latency.record(Duration::from_secs(86_400));
        assert!(latency.percentiles().max >= 99_000.0);
    }
}
