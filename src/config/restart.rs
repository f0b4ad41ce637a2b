//! When an agent is started again and when it is given up, as the manifest writes it: `500ms..30s`, `5 in 2m`.
use crate::domain::{Period, RestartMode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestartSettings {
    pub policy: RestartMode,
    /// First and longest delay between restarts, doubling: `500ms..30s`.
    pub backoff: BackoffRange,
    /// So many failures in so long, and it is not started again: `5 in 2m`.
    pub latch: LatchRule,
}

/// `500ms..30s`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackoffRange {
    pub first: Period,
    pub longest: Period,
}

impl Default for BackoffRange {
    fn default() -> Self {
        Self { first: Period::millis(500), longest: Period::secs(30) }
    }
}

impl FromStr for BackoffRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is not a backoff: write it like 500ms..30s", text.escape_debug());
        let (first, longest) = text.split_once("..").ok_or_else(wrong)?;
        let (first, longest): (Period, Period) =
            (first.trim().parse().map_err(|_| wrong())?, longest.trim().parse().map_err(|_| wrong())?);
        if first > longest {
            return Err(format!("`{}` starts above its own end", text.escape_debug()));
        }
        Ok(Self { first, longest })
    }
}

/// `5 in 2m`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LatchRule {
    pub failures: u32,
    pub within: Period,
}

impl Default for LatchRule {
    fn default() -> Self {
        Self { failures: 5, within: Period::secs(120) }
    }
}

impl FromStr for LatchRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is not a latch: write it like `5 in 2m`", text.escape_debug());
        let (failures, within) = text.split_once(" in ").ok_or_else(wrong)?;
        let failures = failures.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        Ok(Self { failures, within: within.trim().parse().map_err(|_| wrong())? })
    }
}

/// Text in the file, parsed by `FromStr`, checked by the schema's `format`.
macro_rules! written {
    ($type:ident, $format:literal, $about:literal) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "description": $about })
            }
        }
    };
}

impl fmt::Display for BackoffRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.longest)
    }
}

impl fmt::Display for LatchRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.failures, self.within)
    }
}

written!(BackoffRange, "agentd-backoff", "First and longest delay: 500ms..30s.");
written!(LatchRule, "agentd-latch", "Failures in a window: 5 in 2m.");
