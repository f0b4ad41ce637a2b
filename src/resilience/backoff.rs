//! Attempt → delay: exponential, with jitter inside the cap.
use std::time::Duration;

/// Doubles from `first` to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The delay before attempt `attempt` (0 is the first retry), without jitter.
    pub fn nominal(self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// The same, spread over its upper tenth by `chance` in 0..1 so that many do not wake at once; never above the cap.
    pub fn delay(self, attempt: u32, chance: f64) -> Duration {
        self.nominal(attempt).mul_f64(1.0 - 0.1 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_grows_and_never_passes_the_cap(attempt in 0u32..200, chance in 0.0f64..1.0) {
            let backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };
            let delay = backoff.delay(attempt, chance);
            prop_assert!(delay <= backoff.longest);
            prop_assert!(delay >= backoff.first.mul_f64(0.9));
            prop_assert!(backoff.nominal(attempt) <= backoff.nominal(attempt.saturating_add(1)));
        }
    }
}
