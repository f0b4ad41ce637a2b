//! How long something has lasted, in the two largest units that say something.
use jiff::Timestamp;

/// From `since` to `now`: `45s`, `12m 5s`, `3h 2m`, `4d 1h`. A moment in the future reads `0s`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |large: i64, unit: char, small: i64, rest: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{rest}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => pair(minutes, 'm', seconds % 60, 's'),
        (0, _, _) => pair(hours, 'h', minutes % 60, 'm'),
        _ => pair(days, 'd', hours % 24, 'h'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_enough() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (725, "12m 5s"),
            (10_920, "3h 2m"),
            (349_300, "4d 1h"),
        ] {
            let now = Timestamp::from_second(seconds).expect("a time");
            assert_eq!(age(Timestamp::UNIX_EPOCH, now), text);
        }
    }
}
