//! A limit that is carried through calls: whoever is called may shorten it, and nobody can move it back.
use std::time::Duration;
use tokio::time::Instant;

/// Stands for no limit: nobody waits a century.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn within(limit: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(limit.min(FAR)).unwrap_or(now))
    }

    /// For whoever is bounded by something else.
    pub fn far() -> Self {
        Self::within(FAR)
    }

    /// This one, or `limit` from now where that is sooner.
    #[must_use]
    pub fn sooner(self, limit: Duration) -> Self {
        self.min(Self::within(limit))
    }

    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub fn is_past(self) -> bool {
        self.left().is_zero()
    }

    pub fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_only_ever_comes_nearer() {
        let outer = Deadline::within(Duration::from_secs(10));
        let inner = outer.sooner(Duration::from_secs(3));
        assert_eq!((inner.left(), inner.sooner(Duration::from_secs(9))), (Duration::from_secs(3), inner));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(inner.is_past() && !outer.is_past());
        assert_eq!(outer.left(), Duration::from_secs(6));
        assert!(Deadline::within(Duration::MAX) <= Deadline::far());
    }
}
