//! Quantities as people write them: `1h 30m`, `400MiB`. Parsed once, printed the same way.
use jiff::{SignedDuration, SpanRelativeTo, fmt::friendly};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

/// A length of time, written `500ms`, `30s`, `1h 30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

impl Period {
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{}` is not a duration: write it like 500ms, 30s or 1h 30m", text.escape_debug());
        // Days and weeks are 24 hours each: nobody keeps events for a calendar day.
        let span = friendly::SpanParser::new().parse_span(text).map_err(|_| wrong())?;
        let parsed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        Duration::try_from(parsed).map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX);
        f.pad(&friendly::SpanPrinter::new().duration_to_string(&signed))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "agentd-duration", "description": "A length of time: 500ms, 30s, 1h 30m." })
    }
}

/// A number of bytes, written `4096`, `64KiB`, `400MiB`, `2GB`. KiB is 1024 bytes, kB is 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

const UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is not a size: write it like 64KiB, 400MiB or 2GB", text.escape_debug());
        let text_trimmed = text.trim();
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| text_trimmed.strip_suffix(unit).map(|n| (n.trim_end(), *factor)))
            .unwrap_or((text_trimmed, 1));
        let whole: u64 = number.parse().map_err(|_| wrong())?;
        whole.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that divides it, so that what is printed parses to the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS[..3]
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .copied()
            .unwrap_or(("B", 1));
        f.pad(&format!("{}{unit}", self.0 / factor))
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "agentd-size", "description": "A number of bytes: 64KiB, 400MiB, 2GB." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn periods_and_sizes_refuse_what_is_not_one() {
        for bad in ["", "30", "-5s", "5 parsecs", "1h 30", "1 month", "1y"] {
            assert!(bad.parse::<Period>().is_err(), "{bad:?} was accepted as a period");
        }
        for bad in ["", "MiB", "-1", "1.5GiB", "99999999999GiB", "1TiBx"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?} was accepted as a size");
        }
        assert_eq!("1h 30m".parse(), Ok(Period::secs(5400)));
        assert_eq!("90d".parse(), Ok(Period::secs(90 * 86_400)));
        assert_eq!("400MiB".parse(), Ok(ByteSize(400 << 20)));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(ms in 0u64..10_000_000_000, bytes: u64) {
            prop_assert_eq!(Period::millis(ms).to_string().parse(), Ok(Period::millis(ms)));
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
