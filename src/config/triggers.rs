//! What acts by itself on what is measured, and what it may do on its own.
use crate::domain::{AgentName, ByteSize, Labels, MetricUnit, NoData, Period, Stat, TriggerAction, measured};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What all triggers have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TriggersSettings {
    /// A trigger may roll back although `ways/begin` needs an approval under [approvals].
    pub unattended: bool,
    /// The longest that triggers may be held for maintenance.
    pub max_hold: Period,
}

impl Default for TriggersSettings {
    fn default() -> Self {
        Self { unattended: false, max_hold: Period::secs(24 * 3600) }
    }
}

/// A limit on something that is measured, and what is done when it is passed. Of several series, gauges count by the
/// worst one, counters by their sum, histograms as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TriggerSettings {
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_.-]{0,62}$"))]
    pub name: String,
    /// As `agentctl metrics list` has it: store_query_ms, agent_memory_bytes, errors, requests, probe_passing …
    pub metric: String,
    /// Only series that have all of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Only series of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub agent: Option<AgentName>,
    /// What of the window is judged: avg, min, max or last of a gauge; rate or sum of a counter; p50, p95, p99 or max of a
    /// histogram. Default: last of a gauge, rate of a counter, p95 of a histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Stat>,
    /// A number, or with its unit: "2GiB", "200ms".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Limit>,
    /// A number, or with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Limit>,
    /// How far back is looked; 10s to 24h.
    #[serde(default = "window")]
    pub window: Period,
    /// Fewer looks in the window, or fewer measurements of a histogram, say nothing.
    #[serde(default = "min_samples")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_samples: u32,
    /// How long the limit must stay passed.
    #[serde(default, rename = "for")]
    pub lasting: Period,
    /// What it means where there is too little to judge by: ignore, observe or breach.
    #[serde(default)]
    pub no_data: NoData,
    /// observe, pause or revert.
    #[serde(default)]
    pub action: TriggerAction,
    /// How long it does not fire again. Where it would within this time of its rollback, that did not help: it stops.
    #[serde(default = "cooldown")]
    pub cooldown: Period,
    /// Pause and revert also where no release is on trial.
    #[serde(default)]
    pub always: bool,
}

/// A number, or one with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limit {
    Number(f64),
    Quantity(String),
}

impl Limit {
    /// In what the metric is measured in.
    pub fn value(&self, unit: MetricUnit) -> Result<f64, String> {
        match (self, unit) {
            (Self::Number(number), _) if number.is_finite() => Ok(*number),
            (Self::Number(_), _) => Err("it must be finite".into()),
            (Self::Quantity(text), MetricUnit::Bytes) => text.parse::<ByteSize>().map(|size| size.0 as f64),
            (Self::Quantity(text), MetricUnit::Milliseconds) => {
                text.parse::<Period>().map(|period| period.0.as_secs_f64() * 1e3)
            }
            (Self::Quantity(text), MetricUnit::Seconds) => {
                text.parse::<Period>().map(|period| period.0.as_secs_f64())
            }
            (Self::Quantity(_), MetricUnit::Count | MetricUnit::Flag) => {
                Err("it has no unit: write a number".into())
            }
        }
    }
}

impl TriggerSettings {
    /// What series must have.
    pub fn wanted(&self) -> Labels {
        let mut labels = self.labels.clone();
        labels.extend(self.agent.iter().map(|agent| ("agent".to_owned(), agent.to_string())));
        Labels(labels)
    }

    /// `above 200 ms`, for people.
    pub fn limit(&self, unit: MetricUnit, statistic: Stat) -> String {
        let shown = |word: &str, limit: &Option<Limit>| {
            let value = limit.as_ref()?.value(unit).ok()?;
            Some(format!("{word} {}", measured(value, unit, statistic)))
        };
        let limits = [shown("above", &self.above), shown("below", &self.below)];
        limits.into_iter().flatten().collect::<Vec<_>>().join(" or ")
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Quantity(text) => f.write_str(text),
        }
    }
}

fn window() -> Period {
    Period::secs(300)
}
fn min_samples() -> u32 {
    3
}
fn cooldown() -> Period {
    Period::secs(1800)
}

#[cfg(test)]
mod tests {
    use crate::config::fake::load_text;

    fn said(lines: &str) -> String {
        let text = format!(
            "[[agent]]\nname = \"orders\"\nkind = \"service\"\noptions = {{ command = [\"orders\"] }}\n\
             [[trigger]]\nname = \"one\"\n{lines}\n"
        );
        load_text(&text).err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_four_of_the_checklist_are_taken() {
        for lines in [
            "metric = \"store_query_ms\"\nstatistic = \"p95\"\nabove = \"200ms\"\naction = \"revert\"",
            "metric = \"agent_memory_bytes\"\nagent = \"orders\"\nabove = \"2GiB\"\nfor = \"1m\"\naction = \"pause\"",
            "metric = \"errors\"\nabove = 0.5\nwindow = \"10m\"",
            "metric = \"requests\"\nlabels = { outcome = \"forbidden\" }\nstatistic = \"sum\"\nabove = 0",
            "metric = \"probe_passing\"\nbelow = 1\nno_data = \"breach\"\nalways = true",
        ] {
            assert_eq!(said(lines), "", "{lines}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused_with_what_would_do() {
        for (lines, wanted) in [
            ("metric = \"agent_memory_byte\"\nabove = 1", "did you mean `agent_memory_bytes`?"),
            ("metric = \"agent_memory_bytes\"\nstatistic = \"p95\"\nabove = 1", "avg, min, max, last"),
            ("metric = \"store_query_ms\"\nstatistic = \"rate\"\nabove = 1", "p50, p95, p99"),
            ("metric = \"errors\"\nstatistic = \"last\"\nabove = 1", "rate"),
            ("metric = \"errors\"", "neither `above` nor `below`"),
            ("metric = \"errors\"\nabove = 1\nbelow = 2", "everything is beyond"),
            ("metric = \"errors\"\nbelow = 0", "never below"),
            ("metric = \"errors\"\nabove = -1", "always above"),
            ("metric = \"errors\"\nabove = \"2GiB\"", "no unit"),
            ("metric = \"store_query_ms\"\nabove = \"2GiB\"", "not a duration"),
            ("metric = \"errors\"\nabove = 1\nagent = \"orders\"", "is not told by agent"),
            ("metric = \"agent_memory_bytes\"\nabove = 1\nagent = \"order\"", "did you mean `orders`?"),
            ("metric = \"errors\"\nabove = 1\nwindow = \"5s\"", "10s"),
            ("metric = \"errors\"\nabove = 1\nwindow = \"25h\"", "24h"),
            ("metric = \"errors\"\nabove = 1\nwindow = \"30s\"\nmin_samples = 4", "at most 3 looks"),
            ("metric = \"errors\"\nabove = 1\ncooldown = \"0s\"", "cooldown"),
            ("metric = \"errors\"\nabove = 1\naction = \"revrt\"", "did you mean `revert`?"),
            ("metric = \"errors\"\nabove = 1\nthreshold = 2", "unknown key"),
        ] {
            let said = said(lines);
            assert!(said.contains(wanted), "{lines}: {wanted} is not in\n{said}");
        }
    }

    #[test]
    fn two_of_one_name_and_holds_without_an_end_are_refused() {
        let one = "[[trigger]]\nname = \"one\"\nmetric = \"errors\"\nabove = 1\n";
        let said = |text: &str| load_text(text).err().map(|all| all.to_string()).unwrap_or_default();
        assert!(said(&format!("{one}{one}")).contains("give each a name of its own"));
        assert!(said("[triggers]\nmax_hold = \"0s\"").contains("max_hold"));
        assert!(said("[triggers]\nmax_hold = \"400d\"").contains("max_hold"));
        assert_eq!(said(&format!("{one}[triggers]\nunattended = true\nmax_hold = \"1h\"\n")), "");
    }
}
