//! Recorded metrics as items ask for them: by name and labels, in steps that all lie within the window.
use super::Window;
use crate::{
    config::OptionProblem,
    deploy::checklist::kind::problem,
    domain::{
        Fault, FaultKind, Labels, MetricKind, MetricUnit, Period, Stat, few_digits, in_bytes, nearest,
        one_line,
    },
    metrics::{Asked, METRICS, Metrics, Trace},
    readiness::{Evidence, Found},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A line of so many points has every shape that matters.
const ENOUGH: i64 = 360;
/// What one answer of the metrics may hold, with room.
const MOST_IN_ALL: i64 = 90_000;
const STEPS_S: [i64; 9] = [10, 30, 60, 120, 300, 600, 1800, 3600, 7200];

/// Some series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub name: String,
    pub labels: Labels,
    pub stat: Stat,
    pub unit: MetricUnit,
}

/// A figure as it is written: a number in the unit of its metric, or a size.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Figure {
    Number(f64),
    Size(crate::domain::ByteSize),
}

impl Figure {
    pub fn value(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Size(size) => size.0 as f64,
        }
    }
}

impl Chosen {
    /// Refuses a name that is never measured and a figure that is never told of it.
    pub fn compile(
        name: &str,
        labels: &BTreeMap<String, String>,
        stat: Option<Stat>,
    ) -> Result<Self, Vec<OptionProblem>> {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == name) else {
            let near = nearest(name, METRICS.iter().map(|metric| metric.name));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let hint = hint.as_deref().or(Some("`agentctl metrics list` shows what is measured"));
            return Err(vec![problem(
                "/metric",
                format!("nothing called `{}` is measured", one_line(name)),
                hint,
            )]);
        };
        let suits: Vec<Stat> = Stat::ALL.iter().copied().filter(|stat| stat.suits(metric.kind)).collect();
        let stat = stat.unwrap_or(match metric.kind {
            MetricKind::Gauge => Stat::Avg,
            MetricKind::Counter => Stat::Rate,
            MetricKind::Histogram => Stat::P95,
        });
        if !suits.contains(&stat) {
            let suits: Vec<&str> = suits.into_iter().map(Stat::as_str).collect();
            let message = format!("`{name}` is a {}, which has no {}", metric.kind.as_str(), stat.as_str());
            let hint = format!("it has {}", suits.join(", "));
            return Err(vec![problem("/stat", message, Some(&hint))]);
        }
        Ok(Self { name: name.to_owned(), labels: Labels(labels.clone()), stat, unit: metric.unit })
    }

    /// Of which the catalogue says that it is there.
    pub fn of(name: &str, stat: Stat) -> Self {
        let unit = METRICS.iter().find(|metric| metric.name == name).map(|metric| metric.unit);
        Self {
            name: name.to_owned(),
            labels: Labels::default(),
            stat,
            unit: unit.unwrap_or(MetricUnit::Count),
        }
    }

    /// With its unit, three figures at most.
    pub fn amount(&self, value: f64) -> String {
        match (self.unit, self.stat) {
            (MetricUnit::Bytes, _) => in_bytes(value),
            (MetricUnit::Milliseconds, _) => format!("{} ms", few_digits(value)),
            (MetricUnit::Seconds, Stat::Sum) => format!("{} s", few_digits(value)),
            (MetricUnit::Seconds, _) => format!("{} cores", few_digits(value)),
            (MetricUnit::Count | MetricUnit::Flag, Stat::Rate) => format!("{}/s", few_digits(value)),
            (MetricUnit::Count | MetricUnit::Flag, _) => few_digits(value),
        }
    }

    /// `orders/0 agent_memory_bytes`, escaped.
    pub fn called(&self, labels: &Labels) -> String {
        let whose = ["instance", "probe"].iter().find_map(|key| labels.0.get(*key));
        match (whose, labels.0.get("target")) {
            (Some(whose), Some(target)) => format!("{} {} {}", one_line(target), one_line(whose), self.name),
            (Some(whose), None) => format!("{} {}", one_line(whose), self.name),
            (None, _) if labels.0.is_empty() => self.name.clone(),
            (None, _) => format!("{} {}", one_line(&labels.to_string()), self.name),
        }
    }

    /// Steps that are wholly in this time, as fine as makes sense or as `least` says; no series has less than that. What
    /// was never measured has no traces.
    pub async fn traces(
        &self,
        metrics: &Metrics,
        (since, until): (Timestamp, Timestamp),
        least: Option<Duration>,
    ) -> Result<(Vec<Trace>, Duration), Fault> {
        let series = match metrics.known(Some(&self.name)).await {
            Ok(known) => known.iter().filter(|kept| kept.series.labels.has(&self.labels)).count(),
            Err(fault) if fault.kind == FaultKind::NotFound => 0,
            Err(fault) => return Err(fault),
        };
        let step_s = step((since, until), least, i64::try_from(series).unwrap_or(i64::MAX));
        let step = Duration::from_secs(step_s.unsigned_abs());
        let Some(from) = first_step((since, until), step_s).filter(|_| series > 0) else {
            return Ok((Vec::new(), step));
        };
        // A time ends with the look at its very end, which is of the next.
        let to = until.checked_sub(SignedDuration::from_secs(1)).unwrap_or(until);
        let asked = Asked {
            name: self.name.clone(),
            labels: self.labels.clone(),
            since: from,
            until: to,
            step: Some(step),
            stat: Some(self.stat),
        };
        Ok((metrics.query(asked).await?.series, step))
    }
}

/// Instances that run here now and of which there is nothing among these: they were not seen.
pub fn unseen(evidence: &Evidence, chosen: &Chosen, traces: &[Trace]) -> Vec<String> {
    if !chosen.name.starts_with("agent_") {
        return Vec::new();
    }
    let seen: BTreeSet<&str> = traces
        .iter()
        .filter(|trace| !trace.points.is_empty())
        .filter_map(|trace| trace.labels.0.get("instance"))
        .map(String::as_str)
        .collect();
    let wanted = |agent: &str| chosen.labels.0.get("agent").is_none_or(|only| only == agent);
    let here =
        evidence.fleet().instances().filter(|(agent, one)| one.pid.is_some() && wanted(agent.name.as_str()));
    here.map(|(_, one)| one.id.to_string()).filter(|id| !seen.contains(id.as_str())).collect()
}

/// Without metrics nothing was recorded.
pub const UNRECORDED: &str = "nothing records metrics here, so there is nothing to judge by";

/// From so long after the window began; what is to be said where it is not longer than that.
pub fn settled(window: &Window, settle: Period) -> Result<(Timestamp, Timestamp), Found> {
    let later = SignedDuration::try_from(settle.0).unwrap_or(SignedDuration::MAX);
    match window.since.checked_add(later) {
        Ok(since) if since < window.until => Ok((since, window.until)),
        _ if settle.0.is_zero() => Err(Found::skipped("the window has only just begun")),
        _ => Err(Found::skipped(format!("the window is not longer than {settle} yet, which are left out"))),
    }
}

/// The first whole step in this time; none if none is over.
pub fn first_step((since, until): (Timestamp, Timestamp), step_s: i64) -> Option<Timestamp> {
    let first = (since.as_second() + step_s - 1).div_euclid(step_s) * step_s;
    Timestamp::from_second(first).ok().filter(|first| *first < until)
}

fn step((since, until): (Timestamp, Timestamp), least: Option<Duration>, series: i64) -> i64 {
    let length = until.duration_since(since).as_secs().max(1);
    let fits = |step: i64| (length / step + 2).saturating_mul(series.max(1)) <= MOST_IN_ALL;
    if let Some(least) = least {
        let mut step = i64::try_from(least.as_secs()).unwrap_or(i64::MAX / 4).max(10);
        while !fits(step) && step < length {
            step *= 2;
        }
        return step;
    }
    let good = |step: &i64| length / step <= ENOUGH && fits(*step);
    STEPS_S.into_iter().find(good).unwrap_or(STEPS_S[STEPS_S.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_fine_as_makes_sense_and_no_answer_is_too_large() {
        let of = |minutes: i64, least: Option<u64>, series| {
            let since = Timestamp::UNIX_EPOCH;
            step((since, since + SignedDuration::from_mins(minutes)), least.map(Duration::from_secs), series)
        };
        for (minutes, least, series, want) in [
            (1, None, 1, 10),
            (60, None, 1, 10),
            (61, None, 1, 30),
            (24 * 60, None, 1, 300),
            (48 * 60, None, 3000, 7200),
            (60, Some(300), 1, 300),
            (48 * 60, Some(10), 3000, 10240),
        ] {
            assert_eq!(of(minutes, least, series), want, "{minutes} {least:?} {series}");
        }
    }

    #[test]
    fn only_what_is_measured_and_told_can_be_chosen() {
        let of = |name, stat| Chosen::compile(name, &BTreeMap::new(), stat);
        for (name, stat) in [
            ("store_query_ms", Stat::P95),
            ("agent_memory_bytes", Stat::Avg),
            ("agent_cpu_seconds", Stat::Rate),
        ] {
            assert_eq!(of(name, None).expect(name).stat, stat);
        }
        let unknown = of("store_query_m", None).expect_err("it is none");
        assert!(
            unknown[0].hint.as_deref().is_some_and(|hint| hint.contains("store_query_ms")),
            "{unknown:?}"
        );
        let unsuited = of("agent_ready", Some(Stat::P95)).expect_err("a gauge");
        assert_eq!(unsuited[0].pointer, "/stat");
    }

    #[test]
    fn what_others_named_is_escaped_and_figures_have_units() {
        let chosen = Chosen::of("agent_memory_bytes", Stat::Avg);
        let labels = Labels::of([("agent", "a"), ("instance", "a\u{1b}[2J/0")]);
        assert!(!chosen.called(&labels).contains('\u{1b}'));
        assert_eq!(chosen.called(&Labels::default()), "agent_memory_bytes");
        let probe = Labels::of([("probe", "ready"), ("target", "orders/0")]);
        assert_eq!(chosen.called(&probe), "orders/0 ready agent_memory_bytes");
        assert_eq!(chosen.amount(1536.0), "1.50 KiB");
        assert_eq!(Chosen::of("agent_cpu_seconds", Stat::Rate).amount(0.256), "0.26 cores");
        assert_eq!(Chosen::of("errors", Stat::Rate).amount(3.0), "3/s");
    }
}
