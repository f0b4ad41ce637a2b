//! How much is measured, and how long it is kept at each fineness.
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics: a look every ten seconds, kept in the store and rolled up to minutes and hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MetricsSettings {
    /// Different series at a time; what is beyond them is refused, and counted in `metrics_refused`.
    #[schemars(range(min = 100, max = 100_000))]
    pub max_series: u32,
    /// How long every ten seconds are kept; at least 2h.
    pub keep_ten_seconds: Period,
    /// How long minutes are kept; at least 2d.
    pub keep_minutes: Period,
    /// How long hours are kept; at least 7d.
    pub keep_hours: Period,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            max_series: 3_000,
            keep_ten_seconds: Period::secs(48 * 3600),
            keep_minutes: Period::secs(14 * 86400),
            keep_hours: Period::secs(400 * 86400),
        }
    }
}
