//! When a candidate counts as better, same or worse than what is stable, and how long it may be tried.
use crate::domain::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rollouts: a candidate of one agent beside what is stable, probed in turns and compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RolloutSettings {
    /// Between rounds; in each, both sides are asked the same probes by the same client, in turns.
    pub every: Period,
    /// Looks at each side before a figure counts. Under 30, one slow answer alone would be the p95.
    #[schemars(range(min = 5, max = 10_000))]
    pub samples: u32,
    /// How often it is judged.
    pub judge_every: Period,
    /// Judged worse so often in a row, it is ended by itself: one bad moment is not enough.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// A latency is worse by more than this share of the stable one, in percent …
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub latency_percent: f64,
    /// … and by more than this: 20 % of a millisecond is noise.
    pub latency_least: Period,
    /// Looks that fail, in percent, above those of the stable one; of two that failed more at least.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub failure_percent: f64,
    /// Memory is worse by more than this share of the stable one's, in percent …
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub memory_percent: f64,
    /// … and by more than this.
    pub memory_least: ByteSize,
    /// A candidate that nobody promoted or ended by then is ended by itself.
    pub longest: Period,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            every: Period::secs(1),
            samples: 30,
            judge_every: Period::secs(10),
            failures: 3,
            latency_percent: 20.0,
            latency_least: Period::millis(5),
            failure_percent: 1.0,
            memory_percent: 50.0,
            memory_least: ByteSize(64 << 20),
            longest: Period::secs(24 * 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::fake::load_text;

    #[test]
    fn what_could_never_be_judged_is_refused() {
        let said =
            |text: &str| load_text(text).err().map(|problems| problems.to_string()).unwrap_or_default();
        let sound = "[rollout]\nevery = \"100ms\"\nsamples = 5\njudge_every = \"1s\"\nlongest = \"1h\"";
        assert_eq!(said(sound), "");
        for (text, why) in [
            ("every = \"5ms\"", "at least 10ms"),
            ("judge_every = \"500ms\"", "shorter than `every`"),
            ("longest = \"5s\"", "before it has been looked at"),
            ("longest = \"400d\"", "at most 30d"),
            ("samples = 4", "samples"),
            ("failures = 0", "failures"),
            ("failure_percent = 101.0", "failure_percent"),
            ("latency = 3", "latency"),
        ] {
            let said = said(&format!("[rollout]\n{text}"));
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
