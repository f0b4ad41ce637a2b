//! The one clock. Sleeping and deadlines use tokio's time, which tests can pause and turn; wall time comes from
//! here and, in tests, is tied to tokio's so that both turn together.
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

#[derive(Clone, Debug, Default)]
pub struct Clock {
    anchor: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self::default()
    }

    /// Wall time that starts here and moves only as tokio's time moves.
    pub fn anchored(at: Timestamp) -> Self {
        Self { anchor: Some((at, Instant::now())) }
    }

    pub fn now(&self) -> Timestamp {
        match self.anchor {
            None => Timestamp::now(),
            Some((at, since)) => {
                let passed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
                at.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Monotonic: for deadlines and durations.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn an_anchored_clock_turns_with_tokios() {
        let clock = Clock::anchored(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().as_second(), 90);
    }
}
