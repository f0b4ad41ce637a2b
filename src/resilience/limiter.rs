//! So many per period, and a burst of them at once (GCRA). Never more than burst + t × rate within any time t.
//! One word of memory and no lock: what is kept is only the moment at which the whole burst is there again.
use std::{
    num::NonZeroU32,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug)]
pub struct Limiter {
    /// Between two, once the burst is spent: nanoseconds, rounded up, so that the rate is never exceeded.
    spacing: u64,
    /// The time in which a whole burst comes back.
    depth: u64,
    /// What moments are counted from: the first that was ever seen.
    anchor: OnceLock<Instant>,
    /// When the whole burst is there again, in nanoseconds since the anchor.
    whole_at: AtomicU64,
}

/// What is left after one was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// How many may be taken at once now.
    pub left: u32,
    /// Until the whole burst may be.
    pub whole_in: Duration,
}

/// Nothing was taken; one may be after this time, if nobody else takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Limiter {
    /// `rate` of them per `per`, and `burst` at once. A period of nothing bounds nothing but the burst's nanosecond.
    pub fn new(rate: NonZeroU32, per: Duration, burst: NonZeroU32) -> Self {
        let spacing = per.as_nanos().div_ceil(u128::from(rate.get()));
        let spacing = u64::try_from(spacing).unwrap_or(u64::MAX).max(1);
        Self {
            spacing,
            depth: spacing.saturating_mul(u64::from(burst.get())),
            anchor: OnceLock::new(),
            whole_at: AtomicU64::new(0),
        }
    }

    /// Takes one, or says how long to wait for it.
    pub fn take(&self, now: Instant) -> Result<Remaining, Wait> {
        let now = self.moment(now);
        let took = self.whole_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, |whole_at| {
            // A sum that cannot be counted is far beyond the burst.
            let next = whole_at.max(now).checked_add(self.spacing)?;
            (next - now <= self.depth).then_some(next)
        });
        match took {
            Ok(before) => Ok(self.remaining(before.max(now) + self.spacing, now)),
            Err(whole_at) => {
                let next = whole_at.max(now).saturating_add(self.spacing);
                Err(Wait(Duration::from_nanos((next - now).saturating_sub(self.depth))))
            }
        }
    }

    /// What could be taken, without taking it.
    pub fn look(&self, now: Instant) -> Remaining {
        let now = self.moment(now);
        self.remaining(self.whole_at.load(Ordering::Acquire), now)
    }

    fn remaining(&self, whole_at: u64, now: u64) -> Remaining {
        let spent = whole_at.saturating_sub(now);
        let left = self.depth.saturating_sub(spent) / self.spacing;
        Remaining { left: u32::try_from(left).unwrap_or(u32::MAX), whole_in: Duration::from_nanos(spent) }
    }

    /// A moment before the first one counts as the first: it gives nothing away.
    fn moment(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(*self.anchor.get_or_init(|| now));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{sync::Arc, thread};

    fn limiter(rate: u32, per: Duration, burst: u32) -> Limiter {
        let number = |of| NonZeroU32::new(of).expect("not zero");
        Limiter::new(number(rate), per, number(burst))
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let limiter = limiter(10, Duration::from_secs(1), 3);
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        for left in [2, 1, 0] {
            let taken = limiter.take(start).expect("within the burst");
            assert_eq!(taken, Remaining { left, whole_in: Duration::from_millis(100 * u64::from(3 - left)) });
        }
        assert_eq!(limiter.take(start), Err(Wait(Duration::from_millis(100))));
        assert_eq!(limiter.take(after(99)), Err(Wait(Duration::from_millis(1))));
        assert_eq!(limiter.take(after(100)).map(|taken| taken.left), Ok(0));
        assert_eq!(limiter.take(after(100)), Err(Wait(Duration::from_millis(100))));
        // Whoever waits long has the burst again, and no more.
        assert_eq!(limiter.look(after(60_000)), Remaining { left: 3, whole_in: Duration::ZERO });
        let taken = (0..10).filter(|_| limiter.take(after(60_000)).is_ok()).count();
        assert_eq!(taken, 3);
        // A moment that came late gives nothing back.
        assert!(limiter.take(after(0)).is_err());
    }

    #[test]
    fn figures_at_the_edge_neither_panic_nor_open_up() {
        let start = Instant::now();
        let slow = limiter(1, Duration::MAX, u32::MAX);
        assert_eq!((0..9).filter(|_| slow.take(start).is_ok()).count(), 1);
        let fast = limiter(u32::MAX, Duration::from_nanos(1), 1);
        assert!(fast.take(start).is_ok() && fast.take(start).is_err());
        let none = limiter(1, Duration::ZERO, 1);
        assert!(none.take(start).is_ok() && none.take(start).is_err());
    }

    #[test]
    fn callers_at_once_take_exactly_the_burst() {
        let limiter = Arc::new(limiter(1, Duration::from_secs(3600), 1000));
        let now = Instant::now();
        let takers: Vec<_> = (0..32)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                thread::spawn(move || (0..100).filter(|_| limiter.take(now).is_ok()).count())
            })
            .collect();
        let taken: usize = takers.into_iter().map(|taker| taker.join().expect("no panic")).sum();
        assert_eq!(taken, 1000);
    }

    proptest! {
        /// Whatever the arrivals, in no window more than burst + t × rate; and who waits as told is served.
        #[test]
        fn no_window_holds_more_than_the_rate_and_the_burst(
            rate in 1u32..2000,
            per_ms in 1u64..5000,
            burst in 1u32..50,
            gaps in prop::collection::vec(0u64..3_000_000, 1..400),
        ) {
            let per = Duration::from_millis(per_ms);
            let limiter = limiter(rate, per, burst);
            let start = Instant::now();
            let mut at = Duration::ZERO;
            let mut taken: Vec<Duration> = Vec::new();
            for gap in gaps {
                // In microseconds, a third of them at once.
                at += Duration::from_micros(if gap % 3 == 0 { 0 } else { gap / 100 });
                match limiter.take(start + at) {
                    Ok(_) => taken.push(at),
                    Err(Wait(wait)) => {
                        prop_assert!(!wait.is_zero());
                        prop_assert!(wait <= per, "{wait:?}");
                        if gap % 5 == 0 {
                            at += wait;
                            prop_assert!(limiter.take(start + at).is_ok(), "it waited as it was told");
                            taken.push(at);
                        }
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let window = to.saturating_sub(*from).as_nanos();
                    let fits = u128::from(burst) + window * u128::from(rate) / per.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= fits, "{} in {window} ns", last - first + 1);
                }
            }
        }
    }
}
