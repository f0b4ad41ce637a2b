//! How long a release is watched before what was recorded of it says anything.
use crate::domain::{Period, Phase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Windows of recorded metrics, from when a release went on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SoakSettings {
    /// How long the window of `--phase short` must be before it can say go.
    pub short_least: Period,
    /// Where it ends: what comes later is not of that phase.
    pub short_most: Period,
    /// The same of `--phase extended`.
    pub extended_least: Period,
    pub extended_most: Period,
    /// Which share of the time there must have been looks in; under it nothing is concluded.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub min_observed: f64,
}

impl Default for SoakSettings {
    fn default() -> Self {
        Self {
            short_least: Period::secs(3600),
            short_most: Period::secs(4 * 3600),
            extended_least: Period::secs(24 * 3600),
            extended_most: Period::secs(48 * 3600),
            min_observed: 0.95,
        }
    }
}

impl SoakSettings {
    /// The least and the most of a phase; none of one that is a look.
    pub fn window(&self, phase: Phase) -> Option<(Period, Period)> {
        match phase {
            Phase::Pre | Phase::Post => None,
            Phase::Short => Some((self.short_least, self.short_most)),
            Phase::Extended => Some((self.extended_least, self.extended_most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::fake::load_text;

    #[test]
    fn a_window_that_shows_nothing_or_ends_before_it_is_long_enough_is_refused() {
        let said = |text: &str| {
            let whole = format!("[checklist.soak]\n{text}");
            load_text(&whole).err().map(|problems| problems.to_string()).unwrap_or_default()
        };
        assert_eq!(said("short_least = \"30s\"\nmin_observed = 0.5"), "");
        for (text, why) in [
            ("short_least = \"29s\"", "at least 30s"),
            ("short_least = \"5h\"", "longer than `short_most`"),
            ("extended_most = \"1h\"", "longer than `extended_most`"),
            ("extended_most = \"15d\"", "longer than 14d"),
            ("min_observed = 0.4", "min_observed"),
            ("min_observed = 1.1", "min_observed"),
            ("short = \"1h\"", "short"),
        ] {
            let said = said(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
