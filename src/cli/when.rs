//! Days and times as people write them on a command line.
use crate::domain::Period;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A point in time, or how long from now; the daemon's clock says what now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    In(Period),
}

/// A date is its end: what lapses on that day has lapsed.
pub fn day(text: &str) -> Result<Timestamp, String> {
    let whole = text.parse::<Date>().ok().and_then(|date| date.tomorrow().ok());
    match whole.and_then(|next| next.to_zoned(TimeZone::UTC).ok()) {
        Some(next) => Ok(next.timestamp()),
        None => text.parse().map_err(|_| "neither a date like 2027-01-31 nor a timestamp".into()),
    }
}

/// A day, or a length of time.
pub fn when(text: &str) -> Result<When, String> {
    let neither = |_| "neither a date like 2027-01-31 nor a time like 14d".to_owned();
    day(text).map(When::At).or_else(|_| text.parse().map(When::In).map_err(neither))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_end_and_a_length_is_left_to_the_daemon() {
        let end = "2027-02-01T00:00:00Z".parse().expect("a time");
        assert_eq!(when("2027-01-31"), Ok(When::At(end)));
        assert_eq!(day("2027-02-01T00:00:00Z"), Ok(end));
        assert_eq!(when("14d"), Ok(When::In(Period::secs(14 * 86400))));
        for wrong in ["", "soon", "2027-02-30", "-14d", "14"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
        assert!(day("14d").is_err());
    }
}
