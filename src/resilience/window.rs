//! Two counts over the last while, in ten steps: what is older than the window is forgotten a step at a time.
use std::time::Duration;
use tokio::time::Instant;

const STEPS: u32 = 10;

#[derive(Clone, Debug)]
pub struct Window {
    step: Duration,
    counts: [[u32; 2]; STEPS as usize],
    /// Which of them counts now, and since when.
    at: usize,
    since: Option<Instant>,
}

impl Window {
    pub fn new(length: Duration) -> Self {
        let step = (length / STEPS).max(Duration::from_nanos(1));
        Self { step, counts: [[0; 2]; STEPS as usize], at: 0, since: None }
    }

    /// Counts one of a kind, 0 or 1.
    pub fn count(&mut self, kind: usize, now: Instant) {
        self.turn(now);
        let count = &mut self.counts[self.at][kind & 1];
        *count = count.saturating_add(1);
    }

    /// What was counted of each kind within the window.
    pub fn sums(&mut self, now: Instant) -> [u64; 2] {
        self.turn(now);
        self.counts
            .iter()
            .fold([0, 0], |sums, count| [sums[0] + u64::from(count[0]), sums[1] + u64::from(count[1])])
    }

    pub fn clear(&mut self) {
        self.counts = [[0; 2]; STEPS as usize];
        self.since = None;
    }

    /// A time before the last one is taken for that one.
    fn turn(&mut self, now: Instant) {
        let Some(since) = self.since else {
            self.since = Some(now);
            return;
        };
        let passed = now.saturating_duration_since(since).as_nanos() / self.step.as_nanos();
        if passed >= u128::from(STEPS) {
            self.clear();
            self.since = Some(now);
            return;
        }
        // Fewer than ten.
        let passed = u32::try_from(passed).unwrap_or_default();
        for _ in 0..passed {
            self.at = (self.at + 1) % STEPS as usize;
            self.counts[self.at] = [0; 2];
        }
        self.since = Some(since + self.step * passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_forgotten_and_a_clock_that_falls_back_forgets_nothing() {
        let mut window = Window::new(Duration::from_secs(10));
        let start = Instant::now() + Duration::from_secs(100);
        let after = |seconds| start + Duration::from_secs(seconds);
        window.count(0, start);
        window.count(1, after(5));
        window.count(1, after(5));
        assert_eq!(window.sums(after(9)), [1, 2]);
        assert_eq!(window.sums(start - Duration::from_secs(50)), [1, 2]);
        assert_eq!(window.sums(after(10)), [0, 2]);
        assert_eq!(window.sums(after(16)), [0, 0]);
        window.count(1, after(16));
        assert_eq!(window.sums(after(10_000)), [0, 0]);
        let mut none = Window::new(Duration::ZERO);
        none.count(0, start);
        assert_eq!(none.sums(start), [1, 0]);
    }
}
