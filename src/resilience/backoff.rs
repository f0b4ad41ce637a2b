//! Attempt → delay, with jitter that only ever shortens: the cap holds whatever the dice say.
use std::time::Duration;

/// How the delay grows from one attempt to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Always the first.
    Fixed,
    /// Once, twice, three times the first.
    Linear,
    /// Doubling.
    Exponential,
    /// Anywhere between the first and the longest.
    Random,
    /// Anywhere between the first and three times the delay before.
    Decorrelated,
}

/// Grows from `first` to `longest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
    pub growth: Growth,
    /// The share of each delay that chance may take off, 0 to 1.
    pub jitter: f64,
}

impl Backoff {
    /// That of restarts: doubles, and spreads over its upper tenth so that many do not wake at once.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, longest, growth: Growth::Exponential, jitter: 0.1 }
    }

    /// The delay before attempt `attempt` (0 is the first retry), without chance: of a delay that is all chance, the
    /// longest that it may be.
    pub fn nominal(self, attempt: u32) -> Duration {
        let factor = match self.growth {
            Growth::Fixed => 1,
            Growth::Linear => attempt.saturating_add(1),
            Growth::Exponential => 1u32.checked_shl(attempt).unwrap_or(u32::MAX),
            Growth::Decorrelated => 3u32.checked_pow(attempt.saturating_add(1)).unwrap_or(u32::MAX),
            Growth::Random => u32::MAX,
        };
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// The same with `chance` in 0..1, where it does not matter what the delay before was.
    pub fn delay(self, attempt: u32, chance: f64) -> Duration {
        self.after(attempt, self.first, chance)
    }

    /// The delay before attempt `attempt`, when the one before it was `previous`. Never above the cap.
    pub fn after(self, attempt: u32, previous: Duration, chance: f64) -> Duration {
        let chance = chance.clamp(0.0, 1.0);
        let first = self.first.min(self.longest);
        let between = |top: Duration| first + top.saturating_sub(first).mul_f64(1.0 - chance);
        match self.growth {
            Growth::Random => between(self.longest),
            Growth::Decorrelated => between(previous.saturating_mul(3).min(self.longest)),
            _ => self.nominal(attempt).mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * chance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Growth; 5] =
        [Growth::Fixed, Growth::Linear, Growth::Exponential, Growth::Random, Growth::Decorrelated];

    fn seconds(growth: Growth, chance: f64) -> Vec<u64> {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(10));
        let backoff = Backoff { first, longest, growth, jitter: 0.0 };
        let mut previous = first;
        (0..6)
            .map(|attempt| {
                previous = backoff.after(attempt, previous, chance);
                previous.as_secs()
            })
            .collect()
    }

    #[test]
    fn each_kind_grows_as_it_says() {
        assert_eq!(seconds(Growth::Fixed, 0.0), [1; 6]);
        assert_eq!(seconds(Growth::Linear, 0.0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seconds(Growth::Exponential, 0.0), [1, 2, 4, 8, 10, 10]);
        assert_eq!(seconds(Growth::Random, 0.0), [10; 6]);
        assert_eq!(seconds(Growth::Random, 1.0), [1; 6]);
        assert_eq!(seconds(Growth::Decorrelated, 0.0), [3, 9, 10, 10, 10, 10]);
        assert_eq!(seconds(Growth::Decorrelated, 1.0), [1; 6]);
    }

    proptest! {
        #[test]
        fn it_grows_and_never_passes_the_cap(attempt in 0u32..200, chance in 0.0f64..1.0) {
            let backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_secs(30));
            let delay = backoff.delay(attempt, chance);
            prop_assert!(delay <= backoff.longest);
            prop_assert!(delay >= backoff.first.mul_f64(0.9));
            prop_assert!(backoff.nominal(attempt) <= backoff.nominal(attempt.saturating_add(1)));
        }

        #[test]
        fn no_kind_passes_its_cap_or_what_it_names_as_its_longest(
            attempt in 0u32..200, chance in -1.0f64..2.0, jitter in -1.0f64..2.0, kind in 0usize..5,
            first in 0u64..100_000, longest in 0u64..100_000, previous in 0u64..200_000,
        ) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let backoff = Backoff { first, longest, growth: ALL[kind], jitter };
            prop_assert!(backoff.after(attempt, Duration::from_millis(previous), chance) <= longest);
            prop_assert!(backoff.nominal(attempt) <= longest);
        }
    }
}
