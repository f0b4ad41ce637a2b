//! How long sessions last, and when a key has become something to look at.
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sessions, opened by `agentctl auth login`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionSettings {
    /// One that is not used for so long is over.
    pub idle: Period,
    /// One is over after so long, however much it is used.
    pub absolute: Period,
    /// How many of one principal may be open at once; the oldest ends when one more is opened.
    #[schemars(range(min = 1, max = 1000))]
    pub per_principal: u32,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { idle: Period::secs(30 * 60), absolute: Period::secs(12 * 3600), per_principal: 10 }
    }
}

/// API keys. Both are judged by `validate`; neither ends a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeySettings {
    /// A key that is older should have been rotated.
    pub max_age: Period,
    /// A key that nobody used for so long should have been revoked.
    pub unused_after: Period,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { max_age: Period::secs(365 * 86400), unused_after: Period::secs(90 * 86400) }
    }
}
