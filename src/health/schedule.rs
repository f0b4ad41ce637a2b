//! When each look is due: one heap for the whole fleet, so that a quiet fleet costs one timer and not hundreds.
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};
use tokio::time::Instant;

/// While something starts it is asked this soon after the first look, then ever more slowly …
const QUICK_FIRST: Duration = Duration::from_millis(100);
/// … up to this.
const QUICK_LONGEST: Duration = Duration::from_secs(1);
/// First looks at a target that starts are spread over this.
const SPREAD_STARTING: Duration = Duration::from_millis(20);
/// First looks at a target found running are spread over at most this.
const SPREAD_RUNNING: Duration = Duration::from_secs(2);

/// Due times of slots. A slot is rescheduled by a higher ticket; entries with older ones are skipped when met.
#[derive(Default)]
pub struct Schedule {
    heap: BinaryHeap<Reverse<(Instant, u64, u64)>>,
}

impl Schedule {
    pub fn push(&mut self, at: Instant, slot: u64, ticket: u64) {
        self.heap.push(Reverse((at, slot, ticket)));
    }

    /// When the next entry is due, stale or not.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// The next (slot, ticket) that is due by `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(u64, u64)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, slot, ticket))| (slot, ticket))
    }

    /// Drops stale entries once they outnumber the live ones, so that a storm of rescheduling cannot grow the heap.
    pub fn tidy(&mut self, live: usize, is_live: impl Fn(u64, u64) -> bool) {
        if self.heap.len() > 2 * live + 64 {
            self.heap.retain(|Reverse((_, slot, ticket))| is_live(*slot, *ticket));
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }
}

/// The delay before the first look, with `chance` in 0..1.
pub fn first(every: Duration, starting: bool, chance: f64) -> Duration {
    let spread = if starting { SPREAD_STARTING } else { SPREAD_RUNNING };
    spread.min(every).mul_f64(chance.clamp(0.0, 1.0))
}

/// The usual delay: `every`, jittered by a tenth either way.
pub fn usual(every: Duration, chance: f64) -> Duration {
    every.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

/// The delay after look number `looks` (from 1) at something that is expected to come up any moment.
pub fn quick(every: Duration, looks: u32, chance: f64) -> Duration {
    let doubling =
        QUICK_FIRST.saturating_mul(1u32.checked_shl(looks.saturating_sub(1) / 2).unwrap_or(u32::MAX));
    usual(doubling.min(QUICK_LONGEST), chance).min(every)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test(start_paused = true)]
    async fn looks_come_in_order_and_never_early() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for (after, slot) in [(30, 3), (10, 1), (20, 2)] {
            schedule.push(now + Duration::from_secs(after), slot, 0);
        }
        assert_eq!(schedule.pop_due(now), None);
        assert_eq!(schedule.pop_due(now + Duration::from_secs(20)), Some((1, 0)));
        assert_eq!(schedule.pop_due(now + Duration::from_secs(20)), Some((2, 0)));
        assert_eq!(schedule.pop_due(now + Duration::from_secs(20)), None);
        assert_eq!(schedule.next(), Some(now + Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_rescheduling_does_not_grow_it() {
        let mut schedule = Schedule::default();
        for ticket in 0..10_000 {
            schedule.push(Instant::now(), 7, ticket);
            schedule.tidy(1, |_, t| t == ticket);
        }
        assert!(schedule.len() <= 67, "{} entries for one slot", schedule.len());
    }

    proptest! {
        #[test]
        fn delays_stay_in_their_bounds(ms in 1u64..100_000, looks in 1u32..1000, chance in 0.0f64..1.0) {
            let every = Duration::from_millis(ms);
            prop_assert!(usual(every, chance) >= every.mul_f64(0.899) && usual(every, chance) <= every.mul_f64(1.101));
            prop_assert!(quick(every, looks, chance) <= every.min(QUICK_LONGEST.mul_f64(1.1)));
            prop_assert!(quick(every, looks, chance) >= every.min(QUICK_FIRST.mul_f64(0.9)));
            prop_assert!(first(every, false, chance) <= every.min(SPREAD_RUNNING));
            prop_assert!(first(every, true, chance) <= SPREAD_STARTING);
        }
    }
}
