//! Which hour it is for quotas. Hours are the clock's, in UTC: all quotas are whole again at the same moment, which an
//! operator can name. A clock that is put back must not give a second quota, nor lock anybody out for as long as it
//! was wrong: an hour that was reached is kept until the clock is past it, or until it has lasted an hour.
use jiff::{SignedDuration, Timestamp};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

const HOUR: i64 = 3600;
/// An hour, and what a clock may be slewed or set back in it without being taken for one that was wrong.
const LONGEST: Duration = Duration::from_secs(3600 + 60);

/// One opening of an hour. The number only rises; the hour may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    pub number: u64,
    /// Since 1970.
    pub hour: i64,
}

/// Where the clock stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Within {
        era: Era,
        /// Until quotas are whole again.
        left: Duration,
        /// Nobody asked in this hour before.
        opened: bool,
    },
    /// The hour has lasted an hour and the clock is not past it: it was put back. `put_back` opens this one.
    Over { hour: i64 },
}

#[derive(Default)]
pub struct Window(Mutex<Option<(Era, Instant)>>);

impl Window {
    pub fn at(&self, wall: Timestamp, now: Instant) -> Moment {
        let hour = hour_of(wall);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (era, since) = match *open {
            Some((era, since)) if era.hour >= hour => {
                if now.saturating_duration_since(since) >= LONGEST {
                    return Moment::Over { hour };
                }
                (era, since)
            }
            earlier => {
                let era = next(earlier, hour);
                *open = Some((era, now));
                return Moment::Within { era, left: left(era, now, wall, now), opened: true };
            }
        };
        Moment::Within { era, left: left(era, since, wall, now), opened: false }
    }

    /// The store knows of a later hour than the clock: that one counts.
    pub fn raise(&self, hour: i64, now: Instant) -> Era {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *open {
            Some((era, _)) if era.hour >= hour => era,
            earlier => open.insert((next(earlier, hour), now)).0,
        }
    }

    /// Opens an hour that may have been before, once what is known of it and of later ones was forgotten.
    pub fn put_back(&self, hour: i64, now: Instant) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *open = Some((next(*open, hour), now));
    }
}

pub fn hour_of(wall: Timestamp) -> i64 {
    wall.as_second().div_euclid(HOUR)
}

pub fn start_of(hour: i64) -> Timestamp {
    Timestamp::from_second(hour.saturating_mul(HOUR)).unwrap_or(Timestamp::MAX)
}

fn next(open: Option<(Era, Instant)>, hour: i64) -> Era {
    Era { number: open.map_or(0, |(era, _)| era.number) + 1, hour }
}

/// By the clock or by how long it may last, whichever comes first.
fn left(era: Era, since: Instant, wall: Timestamp, now: Instant) -> Duration {
    let by_clock = start_of(era.hour.saturating_add(1)).duration_since(wall);
    let by_clock = Duration::try_from(by_clock.max(SignedDuration::ZERO)).unwrap_or(LONGEST);
    by_clock.min(LONGEST.saturating_sub(now.saturating_duration_since(since)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn hour_at(window: &Window, second: i64, now: Instant) -> Result<(i64, u64), i64> {
        match window.at(wall(second), now) {
            Moment::Within { era, left, .. } => Ok((era.hour, left.as_secs())),
            Moment::Over { hour } => Err(hour),
        }
    }

    #[test]
    fn an_hour_ends_with_the_clocks_and_not_a_second_before() {
        let (window, start) = (Window::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(hour_at(&window, 36_000, start), Ok((10, 3600)));
        assert_eq!(hour_at(&window, 39_599, after(3599)), Ok((10, 1)));
        assert_eq!(hour_at(&window, 39_600, after(3600)), Ok((11, 3600)));
        // Set back by two seconds over the border: the same hour, and no second quota of the one before.
        assert_eq!(hour_at(&window, 39_598, after(3600)), Ok((11, 3602)));
        // Slewed: the clock takes two seconds more for its hour than have passed.
        assert_eq!(hour_at(&window, 43_199, after(7201)), Ok((11, 1)));
        assert_eq!(hour_at(&window, 43_200, after(7202)), Ok((12, 3600)));
    }

    #[test]
    fn a_clock_that_was_put_back_keeps_the_hour_and_gives_it_up_after_an_hour() {
        let (window, start) = (Window::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        // A battery that thinks it is the year 2100.
        assert_eq!(hour_at(&window, 4_102_444_800, start), Ok((1_139_568, 3600)));
        assert_eq!(hour_at(&window, 1_800_000_000, after(5)), Ok((1_139_568, 3655)));
        assert_eq!(hour_at(&window, 1_800_003_654, after(3659)), Ok((1_139_568, 1)));
        assert_eq!(hour_at(&window, 1_800_003_655, after(3660)), Err(500_001));
        window.put_back(500_001, after(3660));
        assert_eq!(hour_at(&window, 1_800_003_655, after(3660)), Ok((500_001, 3545)));
        assert_eq!(hour_at(&window, 1_800_007_200, after(7205)), Ok((500_002, 3600)));
    }

    #[test]
    fn what_the_store_knows_raises_it_and_never_lowers_it() {
        let (window, start) = (Window::default(), Instant::now());
        let before = match window.at(wall(36_000), start) {
            Moment::Within { era, opened: true, .. } => era,
            other => panic!("{other:?}"),
        };
        assert_eq!(window.raise(9, start), before);
        let raised = window.raise(12, start);
        assert!(raised.number > before.number && raised.hour == 12);
        assert_eq!(hour_at(&window, 36_000, start), Ok((12, 3660)));
    }

    proptest! {
        /// However the clock is set, each hour it names is opened once, unless an hour has passed since.
        #[test]
        fn no_hour_is_opened_twice_within_an_hour(
            steps in prop::collection::vec((0u64..2_000, -8_000i64..8_000), 1..60),
        ) {
            let (window, start) = (Window::default(), Instant::now());
            let (mut passed, mut clock) = (0u64, 1_800_000_000i64);
            let mut opened: Vec<(i64, u64)> = Vec::new();
            let mut last = 0;
            for (later, set) in steps {
                passed += later;
                clock += i64::try_from(later).expect("small") + set;
                let now = start + Duration::from_secs(passed);
                let mut moment = window.at(wall(clock), now);
                if let Moment::Over { hour } = moment {
                    window.put_back(hour, now);
                    moment = window.at(wall(clock), now);
                }
                let Moment::Within { era, left, .. } = moment else { panic!("still over") };
                prop_assert!(left <= LONGEST && era.number >= last);
                if era.number > last {
                    last = era.number;
                    for (hour, at) in &opened {
                        prop_assert!(*hour != era.hour || passed - at >= 3600, "{hour} twice");
                    }
                    opened.push((era.hour, passed));
                }
            }
        }
    }
}
