//! How fine: ten seconds, minutes, hours. And where a chunk of each lies.
use jiff::Timestamp;

pub(super) const HOUR_S: i64 = 3600;
/// Below them, a chunk's number says its series; from there, its hour.
const SERIES_BITS: u32 = 28;
const TIER_BITS: u32 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricTier {
    TenSeconds,
    Minutes,
    Hours,
}

impl MetricTier {
    pub const ALL: [Self; 3] = [Self::TenSeconds, Self::Minutes, Self::Hours];

    /// Seconds of a slot.
    pub const fn step_s(self) -> i64 {
        match self {
            Self::TenSeconds => 10,
            Self::Minutes => 60,
            Self::Hours => HOUR_S,
        }
    }

    /// Hours of a chunk.
    pub(super) const fn span(self) -> i64 {
        match self {
            Self::TenSeconds | Self::Minutes => 1,
            Self::Hours => 24,
        }
    }

    /// The hour that the chunk around this one begins with.
    pub(super) fn start(self, hour: i64) -> i64 {
        hour.div_euclid(self.span()) * self.span()
    }

    /// Which slot of its chunk a moment is in.
    pub(super) fn slot(self, second: i64) -> u16 {
        let start = self.start(hour_at(second)) * HOUR_S;
        u16::try_from((second - start) / self.step_s()).unwrap_or(u16::MAX)
    }

    /// When a slot of the chunk that begins with this hour begins.
    pub(super) fn second(self, start: i64, slot: u16) -> i64 {
        start * HOUR_S + i64::from(slot) * self.step_s()
    }

    /// The number of a chunk. No clock of ours goes back before 1970: nothing is kept from then.
    pub(super) fn key(self, start: i64, series: u32) -> i64 {
        let tier = match self {
            Self::TenSeconds => 0_i64,
            Self::Minutes => 1,
            Self::Hours => 2,
        };
        (tier << TIER_BITS) | (start.clamp(0, i64::from(u32::MAX)) << SERIES_BITS) | i64::from(series)
    }
}

/// Since 1970.
pub(super) fn hour_at(second: i64) -> i64 {
    second.div_euclid(HOUR_S)
}

/// The slot of ten seconds that a moment is in.
pub(super) fn slot_of(at: Timestamp) -> i64 {
    let step = MetricTier::TenSeconds.step_s();
    at.as_second().div_euclid(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_found_again_and_chunks_of_a_time_lie_together() {
        let second = 1_700_003_650;
        for tier in MetricTier::ALL {
            let start = tier.start(hour_at(second));
            let begins = tier.second(start, tier.slot(second));
            assert!((begins..begins + tier.step_s()).contains(&second), "{tier:?}");
        }
        let hour = hour_at(second);
        let key = |tier: MetricTier, hour, series| tier.key(hour, series);
        assert!(key(MetricTier::TenSeconds, hour, (1 << 28) - 1) < key(MetricTier::TenSeconds, hour + 1, 1));
        assert!(key(MetricTier::TenSeconds, i64::MAX, 1) < key(MetricTier::Minutes, 0, 1));
        assert!(key(MetricTier::Hours, i64::MAX, 1) > 0);
    }
}
