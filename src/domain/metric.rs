//! What is measured over time: series by name and labels, what one look at them gives, and what many looks sum up to.
use super::Distribution;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetricKind {
    /// As it stands at the moment: memory, a queue.
    Gauge,
    /// Only rises, and starts again at 0: what is told of it is a rate.
    Counter,
    /// How often it came to how much: what is told of it are percentiles.
    Histogram,
}

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetricUnit {
    Count,
    Bytes,
    /// Of a processor: as a rate, cores.
    Seconds,
    Milliseconds,
    /// 0 or 1.
    Flag,
}

/// What tells series of one name apart. Values come from the manifest: data, escaped when shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Labels(pub BTreeMap<String, String>);

/// One series, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSeries {
    pub name: String,
    pub labels: Labels,
    pub kind: MetricKind,
    pub unit: MetricUnit,
}

/// What one look at a series gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    Gauge(f64),
    /// By how much it rose, and in how many seconds: more than those between two looks, where one was missed.
    Counter {
        by: f64,
        seconds: f64,
    },
    Histogram(Distribution),
}

/// What several looks in a row sum up to. Of none there is no summary: a gap stays a gap.
#[derive(Clone, Debug, PartialEq)]
pub enum Summary {
    /// `last` is its newest value.
    Gauge(Numbers),
    /// `sum` is by how much it rose, `last` in how many seconds; `min` and `max` are of its rate.
    Counter(Numbers),
    Histogram(Distribution),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// Looks; at least one.
    pub count: u64,
    pub min: f64,
    pub max: f64,
    pub sum: f64,
    pub last: f64,
}

/// One stretch of time of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it begins.
    pub at: Timestamp,
    pub value: f64,
    pub min: f64,
    pub max: f64,
    /// Looks, or what a histogram counted.
    pub count: u64,
}

/// What of a stretch of time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stat {
    Avg,
    Min,
    Max,
    Last,
    /// Of a counter: by how much it rose.
    Sum,
    /// Of a counter: a second.
    Rate,
    P50,
    P95,
    P99,
}

impl MetricKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }

    /// What is judged of it where nobody says: how it stands, how fast it rises, what nearly all are not above.
    pub fn statistic(self) -> Stat {
        match self {
            Self::Gauge => Stat::Last,
            Self::Counter => Stat::Rate,
            Self::Histogram => Stat::P95,
        }
    }
}

impl Labels {
    pub fn of<const N: usize>(labels: [(&str, &str); N]) -> Self {
        Self(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Does it have all of these?
    pub fn has(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|(name, value)| self.0.get(name) == Some(value))
    }
}

/// `agent=orders,instance=orders/0`; a comma or a backslash in a value has a backslash before it.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{name}={}", value.replace('\\', "\\\\").replace(',', "\\,"))?;
        }
        Ok(())
    }
}

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut escaped = false;
        for c in text.chars() {
            match (c, parts.last_mut()) {
                ('\\', _) if !escaped => {
                    escaped = true;
                    continue;
                }
                (',', _) if !escaped => parts.push(String::new()),
                (c, Some(part)) => part.push(c),
                (_, None) => {}
            }
            escaped = false;
        }
        let mut labels = BTreeMap::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let wrong = || format!("`{}` is no label: write it like agent=orders", part.escape_debug());
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            if name.is_empty()
                || labels.insert(name.to_owned(), value.to_owned()).is_some_and(|old| old != value)
            {
                return Err(wrong());
            }
        }
        Ok(Self(labels))
    }
}

impl Summary {
    /// Of one look.
    pub fn of(measure: Measure) -> Self {
        match measure {
            Measure::Gauge(value) => {
                Self::Gauge(Numbers { count: 1, min: value, max: value, sum: value, last: value })
            }
            Measure::Counter { by, seconds } => {
                let rate = if seconds > 0.0 { rounded(by / seconds) } else { 0.0 };
                Self::Counter(Numbers { count: 1, min: rate, max: rate, sum: by, last: seconds })
            }
            Measure::Histogram(distribution) => Self::Histogram(distribution),
        }
    }

    pub fn kind(&self) -> MetricKind {
        match self {
            Self::Gauge(_) => MetricKind::Gauge,
            Self::Counter(_) => MetricKind::Counter,
            Self::Histogram(_) => MetricKind::Histogram,
        }
    }

    /// What comes after it, added. Of another kind it says nothing here.
    pub fn add(&mut self, later: &Self) {
        match (self, later) {
            (Self::Gauge(mine), Self::Gauge(later)) => *mine = mine.with(later, later.last),
            (Self::Counter(mine), Self::Counter(later)) => {
                *mine = mine.with(later, rounded(mine.last + later.last));
            }
            (Self::Histogram(mine), Self::Histogram(later)) => mine.add(later),
            _ => {}
        }
    }

    /// Without one, the average of a gauge, the rate of a counter, the median of a histogram. None where it says
    /// nothing of that kind, or where nothing was counted.
    pub fn tell(&self, stat: Option<Stat>) -> Option<f64> {
        let share = |quantile| match self {
            Self::Histogram(distribution) => distribution.quantile(quantile).map(milliseconds),
            _ => None,
        };
        match (self, stat) {
            (_, Some(Stat::P50)) | (Self::Histogram(_), None) => share(0.50),
            (_, Some(Stat::P95)) => share(0.95),
            (_, Some(Stat::P99)) => share(0.99),
            (Self::Histogram(all), Some(Stat::Min)) => all.least().map(milliseconds),
            (Self::Histogram(all), Some(Stat::Max)) => all.most().map(milliseconds),
            (Self::Histogram(all), Some(Stat::Avg)) => all.mean().map(|micros| micros / 1e3),
            (Self::Gauge(n) | Self::Counter(n), Some(Stat::Min)) => Some(n.min),
            (Self::Gauge(n) | Self::Counter(n), Some(Stat::Max)) => Some(n.max),
            (Self::Gauge(n), Some(Stat::Avg) | None) => Some(n.sum / n.count.max(1) as f64),
            (Self::Gauge(n), Some(Stat::Last)) => Some(n.last),
            (Self::Counter(n), Some(Stat::Sum)) => Some(n.sum),
            (Self::Counter(n), Some(Stat::Rate | Stat::Avg) | None) => (n.last > 0.0).then(|| n.sum / n.last),
            (Self::Histogram(_), Some(Stat::Last | Stat::Sum | Stat::Rate))
            | (Self::Gauge(_), Some(Stat::Sum | Stat::Rate))
            | (Self::Counter(_), Some(Stat::Last)) => None,
        }
    }

    pub fn count(&self) -> u64 {
        match self {
            Self::Gauge(numbers) | Self::Counter(numbers) => numbers.count,
            Self::Histogram(distribution) => distribution.count(),
        }
    }
}

impl Numbers {
    fn with(&self, later: &Self, last: f64) -> Self {
        Self {
            count: self.count + later.count,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            sum: rounded(self.sum + later.sum),
            last,
        }
    }
}

impl Stat {
    /// Can it be told of this kind?
    pub fn suits(self, kind: MetricKind) -> bool {
        match self {
            Self::Avg | Self::Min | Self::Max => true,
            Self::Last => kind == MetricKind::Gauge,
            Self::Sum | Self::Rate => kind == MetricKind::Counter,
            Self::P50 | Self::P95 | Self::P99 => kind == MetricKind::Histogram,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Last => "last",
            Self::Sum => "sum",
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    pub const ALL: &'static [Self] = &[
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Last,
        Self::Sum,
        Self::Rate,
        Self::P50,
        Self::P95,
        Self::P99,
    ];
}

impl FromStr for Stat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|stat| stat.as_str() == text);
        found.ok_or_else(|| "not one of avg, min, max, last, sum, rate, p50, p95, p99".into())
    }
}

/// To thousandths, on which sums do not drift: added in any order they come to the same. What is too large for that has
/// no thousandths to speak of.
pub fn rounded(value: f64) -> f64 {
    if value.abs() < 1e12 { (value * 1e3).round() / 1e3 } else { value }
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
#[path = "metric_tests.rs"]
mod tests;
