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

#[cfg(test)]
mod tests {
    use crate::config::fake::load_text;

    #[test]
    fn what_would_be_gone_before_it_is_of_use_is_refused() {
        let said =
            |text: &str| load_text(text).err().map(|problems| problems.to_string()).unwrap_or_default();
        assert_eq!(
            said(
                "[metrics]\nkeep_ten_seconds = \"2h\"\nkeep_minutes = \"2d\"\nkeep_hours = \"7d\"\nmax_series = 100"
            ),
            ""
        );
        for (text, why) in [
            ("keep_ten_seconds = \"1h\"", "at least 2h"),
            ("keep_minutes = \"1d\"", "at least 2d"),
            ("keep_hours = \"6d\"", "at least 7d"),
            ("keep_hours = \"40000d\"", "100 years"),
            ("keep_ten_seconds = \"20d\"", "longer than `keep_minutes`"),
            ("keep_minutes = \"401d\"", "longer than `keep_hours`"),
            ("max_series = 99", "max_series"),
            ("max_serie = 500", "max_series"),
        ] {
            let said = said(&format!("[metrics]\n{text}"));
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
