//! What is asked and what is told; and what is said where there is nothing of the kind.
use super::catalogue::METRICS;
use crate::{
    domain::{Fault, Labels, MetricKind, MetricUnit, Point, Stat, nearest, one_line},
    store::KeptSeries,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// What is asked of one name.
#[derive(Clone, Debug)]
pub struct Asked {
    pub name: String,
    /// Series that have all of these.
    pub labels: Labels,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Without one, as fine as an eye can tell apart.
    pub step: Option<Duration>,
    /// Without one, the average of a gauge, the rate of a counter, the median of a histogram.
    pub stat: Option<Stat>,
}

/// What is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub name: String,
    pub kind: MetricKind,
    pub unit: MetricUnit,
    pub stat: Stat,
    pub since: Timestamp,
    pub until: Timestamp,
    pub step_s: u64,
    pub series: Vec<Trace>,
}

/// One series over time. A step without a point is a gap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub labels: Labels,
    /// All of the time as one, from everything that was counted in it; none if nothing was.
    pub whole: Option<Point>,
    pub points: Vec<Point>,
}

/// A name, and what there is of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    pub name: String,
    pub kind: MetricKind,
    pub unit: MetricUnit,
    pub about: String,
    pub series: u64,
    /// Of the only series there is: five minutes each, oldest first; nothing for a gap.
    pub recent: Vec<Option<f64>>,
}

/// What an instance used over a time, as far as it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    pub agent: String,
    pub instance: String,
    /// Cores.
    pub cpu: Option<f64>,
    pub cpu_max: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub memory_bytes_max: Option<f64>,
    /// Looks at its memory.
    pub looks: u64,
}

pub fn no_such_name(name: &str) -> Fault {
    let fault = Fault::not_found(format!("cannot find a metric named `{}`", one_line(name)));
    match nearest(name, METRICS.iter().map(|metric| metric.name)) {
        // Known, and nothing was measured yet.
        Some(near) if near == name => {
            fault.hint("nothing of it was measured yet: a look is made every ten seconds")
        }
        Some(near) => fault.hint(format!("did you mean `{near}`? `agentctl metrics list` shows all")),
        None => fault.hint("`agentctl metrics list` shows all"),
    }
}

pub fn no_such_labels(name: &str, labels: &Labels, known: &[KeptSeries]) -> Fault {
    let message = format!("cannot find a series of `{name}` with {}", one_line(&labels.to_string()));
    let fault = Fault::not_found(message);
    for (key, value) in &labels.0 {
        let values: BTreeSet<&str> =
            known.iter().filter_map(|kept| kept.series.labels.0.get(key)).map(String::as_str).collect();
        if values.is_empty() {
            let names: BTreeSet<&str> =
                known.iter().flat_map(|kept| kept.series.labels.0.keys()).map(String::as_str).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return fault.hint(if names.is_empty() {
                format!("`{name}` has no labels")
            } else {
                format!("its labels are {names}")
            });
        }
        if !values.contains(value.as_str())
            && let Some(near) = nearest(value, values.into_iter())
        {
            return fault.hint(format!("did you mean {key}={}?", one_line(near)));
        }
    }
    fault.hint(format!("`agentctl metrics list --name {name}` shows its series"))
}
