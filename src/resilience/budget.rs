//! How much of what is called may be called again. When everything fails, retries of everybody are what keeps it down.
use super::window::Window;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Calls and retries are counted over this.
const WINDOW: Duration = Duration::from_secs(60);
/// In a window as quiet as this is, so many retries are always allowed: a share of few calls would be none.
const ALWAYS: u64 = 10;

/// Of the calls in the last minute, retries are at most `share`, or ten where that is more. Counted and decided in one
/// step, so that it holds whoever asks at the same time.
pub struct RetryBudget {
    share: f64,
    /// Calls, retries.
    counts: Mutex<Window>,
}

impl RetryBudget {
    /// With a share of 0, there are no retries at all.
    pub fn new(share: f64) -> Self {
        Self { share: share.clamp(0.0, 1.0), counts: Mutex::new(Window::new(WINDOW)) }
    }

    pub fn call(&self, now: Instant) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).count(0, now);
    }

    /// Takes one retry, if there is one.
    pub fn retry(&self, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let [calls, retries] = counts.sums(now);
        let allowed = self.allows(calls, retries);
        if allowed {
            counts.count(1, now);
        }
        allowed
    }

    /// One more than these?
    fn allows(&self, calls: u64, retries: u64) -> bool {
        self.share > 0.0 && (retries < ALWAYS || (retries + 1) as f64 <= calls as f64 * self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        thread,
    };

    #[test]
    fn of_many_calls_a_fifth_is_tried_again_and_not_one_more() {
        let (budget, granted) = (Arc::new(RetryBudget::new(0.2)), Arc::new(AtomicU64::new(0)));
        let now = Instant::now();
        for _ in 0..1000 {
            budget.call(now);
        }
        let asking = (0..16).map(|_| {
            let (budget, granted) = (Arc::clone(&budget), Arc::clone(&granted));
            thread::spawn(move || {
                for _ in 0..100 {
                    granted.fetch_add(u64::from(budget.retry(now)), Ordering::Relaxed);
                }
            })
        });
        asking.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(granted.load(Ordering::Relaxed), 200);
        // A minute later all of it is forgotten.
        let later = now + WINDOW;
        assert_eq!((0..99).filter(|_| budget.retry(later)).count(), 10);
    }

    #[test]
    fn a_quiet_dependency_may_be_tried_again_and_a_share_of_nothing_is_nothing() {
        let now = Instant::now();
        let budget = RetryBudget::new(0.2);
        budget.call(now);
        assert!(budget.retry(now));
        assert!(!RetryBudget::new(0.0).retry(now));
    }
}
