//! How failures are kept: how many occurrences of each, how many different ones, and when a rate is a spike.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorSettings {
    /// Newest occurrences kept of each group; the count is exact whatever this is.
    #[schemars(range(min = 1, max = 1000))]
    pub samples: u32,
    /// Different groups kept; failures beyond them are counted in one that says so.
    #[schemars(range(min = 10, max = 100_000))]
    pub groups: u32,
    /// Fewer failures in an hour are no spike.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub spike_minimum: u32,
    /// So many deviations above the median hour of its own week are a spike.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub spike_factor: f64,
}

impl Default for ErrorSettings {
    fn default() -> Self {
        Self { samples: 20, groups: 5_000, spike_minimum: 10, spike_factor: 5.0 }
    }
}
