//! `impact`: what the release made slower or dearer: as long a time before it against after it. Both sides must have been
//! measured, and both figures are told.
use super::{
    Window,
    series::{Chosen, Figure, UNRECORDED},
    weigh::{Said, weigh},
};
use crate::{
    config::OptionProblem,
    deploy::checklist::kind::{Around, Look, problem},
    domain::{Fault, FaultKind, Period, Stat},
    metrics::{Metrics, Trace},
    readiness::{Evidence, Found},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What may be worse after than before, and by how much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImpactItemOptions")]
pub struct Options {
    /// As `agentctl metrics list` has it: store_query_ms, agent_cpu_seconds.
    metric: String,
    /// Only series with all of these.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of all series together: avg, min or max of a gauge, rate of a counter, p50, p95 or p99 of a histogram. Default avg,
    /// rate, p95.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    stat: Option<Stat>,
    /// By which share it may be worse.
    #[serde(default = "five_percent")]
    #[schemars(range(min = 0.0))]
    worse: f64,
    /// What is worse by less than that is no worse, whatever share it is: in the unit of the metric, or a size.
    #[serde(default)]
    floor: Option<Figure>,
    /// Which way it is worse.
    #[serde(default)]
    when: Direction,
    /// What is left out before and after: the deployment itself, and caches that fill.
    #[serde(default = "five_minutes")]
    settle: Period,
    /// Fewer looks, or counts of a histogram, say nothing: on each side.
    #[serde(default = "samples")]
    samples: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    #[default]
    Higher,
    Lower,
}

fn five_percent() -> f64 {
    0.05
}
fn five_minutes() -> Period {
    Period::secs(300)
}
fn samples() -> u64 {
    30
}

#[derive(Debug)]
pub struct Impact {
    chosen: Chosen,
    options: Options,
}

/// A figure of one side, and what it is told from.
type Side = Option<(f64, u64)>;

impl Look for Impact {
    const NAME: &'static str = "impact";
    const ABOUT: &'static str = "compares a recorded figure from before the release with after it";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if !options.worse.is_finite() || options.worse < 0.0 {
            problems.push(problem("/worse", "is no share", Some("worse = 0.05")));
        }
        if matches!(options.stat, Some(Stat::Last | Stat::Sum)) {
            problems.push(problem(
                "/stat",
                "cannot be compared over a time",
                Some("stat = \"avg\" or \"rate\""),
            ));
        }
        match Chosen::compile(&options.metric, &options.labels, options.stat) {
            Ok(chosen) if problems.is_empty() => Ok(Self { chosen, options }),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let Some(metrics) = &around.metrics else { return Found::skipped(UNRECORDED) };
        if around.window.is_first {
            return Found::not_applicable("it is the first release that runs here: there is no before");
        }
        let Some((before, after)) = self.sides(&around.window) else {
            return Found::skipped(format!("the window is not longer than {} yet", self.options.settle));
        };
        let needed = evidence.settings.checklist.soak.min_observed;
        match self.compare(metrics, before, after, needed).await {
            Ok(said) => weigh(vec![said], "", ""),
            Err(fault) => Found::error(fault.message),
        }
    }
}

impl Impact {
    /// Of the same length, with the deployment between them.
    fn sides(&self, window: &Window) -> Option<((Timestamp, Timestamp), (Timestamp, Timestamp))> {
        let settle = SignedDuration::try_from(self.options.settle.0).ok()?;
        let after = (window.since.checked_add(settle).ok()?, window.until);
        let length = after.1.duration_since(after.0);
        let end = window.since.checked_sub(settle).ok()?;
        (length.is_positive()).then_some(())?;
        Some(((end.checked_sub(length).ok()?, end), after))
    }

    async fn compare(
        &self,
        metrics: &Metrics,
        before: (Timestamp, Timestamp),
        after: (Timestamp, Timestamp),
        needed: f64,
    ) -> Result<Said, Fault> {
        let watched = match metrics.observed(before.0, before.1).await {
            Err(fault) if fault.kind == FaultKind::NotFound => 0.0,
            other => other?,
        };
        if watched < needed {
            return Ok(Said::Unsure(format!(
                "{:.0}% of the time before it was observed, of {:.0}% that are needed",
                (watched * 100.0).floor(),
                needed * 100.0
            )));
        }
        Ok(self.judge(self.figure(metrics, before).await?, self.figure(metrics, after).await?))
    }

    fn judge(&self, before: Side, after: Side) -> Said {
        let name = &self.chosen.name;
        let enough = |side: Side| side.filter(|(value, n)| value.is_finite() && *n >= self.options.samples);
        let (Some((old, old_n)), Some((new, new_n))) = (enough(before), enough(after)) else {
            let seen = |side: Side| side.map_or(0, |(_, n)| n);
            let (before, after, needed) = (seen(before), seen(after), self.options.samples);
            return Said::Unsure(format!(
                "{name} was seen {before} times before and {after} after, and {needed} are needed on each side"
            ));
        };
        let by = if self.options.when == Direction::Higher { new - old } else { old - new };
        let floor = self.options.floor.as_ref().map_or(0.0, Figure::value);
        let share =
            if old == 0.0 { String::new() } else { format!(", {:+.1}%", (new - old) / old.abs() * 100.0) };
        let told = format!(
            "{} of {name} was {} before (n {old_n}) and is {} after (n {new_n}){share}",
            self.chosen.stat.as_str(),
            self.chosen.amount(old),
            self.chosen.amount(new),
        );
        if by > old.abs() * self.options.worse && by > floor { Said::Breaks(told) } else { Said::Holds(told) }
    }

    /// Of all chosen series together: percentiles of all that was counted, means by looks, rates added up.
    async fn figure(&self, metrics: &Metrics, span: (Timestamp, Timestamp)) -> Result<Side, Fault> {
        let Chosen { name, labels, stat, .. } = &self.chosen;
        let quantile = match stat {
            Stat::P50 => Some(0.50),
            Stat::P95 => Some(0.95),
            Stat::P99 => Some(0.99),
            _ => None,
        };
        if let Some(quantile) = quantile {
            return match metrics.percentile(name, labels, span.0, span.1, quantile).await {
                Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
                other => other,
            };
        }
        Ok(together(&self.chosen.traces(metrics, span, None).await?.0, *stat))
    }
}

fn together(traces: &[Trace], stat: Stat) -> Side {
    let whole: Vec<_> = traces.iter().filter_map(|trace| trace.whole).collect();
    let n: u64 = whole.iter().map(|point| point.count).sum();
    let values = || whole.iter().map(|point| point.value);
    let value = match stat {
        Stat::Max => values().reduce(f64::max)?,
        Stat::Min => values().reduce(f64::min)?,
        Stat::Rate | Stat::Sum => (!whole.is_empty()).then(|| values().sum())?,
        _ => {
            whole.iter().map(|point| point.value * point.count as f64).sum::<f64>()
                / (n > 0).then_some(n)? as f64
        }
    };
    Some((value, n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::checklist::soak::fixture::{at, instance, points, trace};
    use serde_json::{Value, json};

    fn impact(more: Value) -> Impact {
        let mut options = json!({"metric": "store_query_ms"});
        options.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        Impact::compile(serde_json::from_value(options).expect("options")).expect("compiles")
    }

    #[test]
    fn more_than_five_percent_worse_breaks_and_one_side_alone_says_nothing() {
        let usual = impact(json!({}));
        for (before, after, holds) in [
            (Some((100.0, 500)), Some((104.9, 400)), Some(true)),
            (Some((100.0, 500)), Some((105.1, 400)), Some(false)),
            (Some((100.0, 500)), Some((40.0, 400)), Some(true)),
            (Some((0.0, 500)), Some((0.1, 400)), Some(false)),
            (None, Some((1.0, 400)), None),
            (Some((1.0, 400)), None, None),
            (Some((1.0, 400)), Some((9.0, 29)), None),
            (Some((f64::NAN, 400)), Some((1.0, 400)), None),
        ] {
            let said = usual.judge(before, after);
            let got = match said {
                Said::Holds(_) => Some(true),
                Said::Breaks(_) => Some(false),
                Said::Unsure(_) => None,
            };
            assert_eq!(got, holds, "{before:?} {after:?}: {said:?}");
        }
        let Said::Breaks(told) = usual.judge(Some((100.0, 500)), Some((130.0, 400))) else { panic!("worse") };
        assert_eq!(
            told,
            "p95 of store_query_ms was 100 ms before (n 500) and is 130 ms after (n 400), +30.0%"
        );
    }

    #[test]
    fn a_floor_hides_what_is_too_little_to_matter_and_lower_may_be_what_is_worse() {
        let floored = impact(json!({"floor": 5}));
        assert!(matches!(floored.judge(Some((0.2, 500)), Some((0.4, 500))), Said::Holds(_)));
        assert!(matches!(floored.judge(Some((0.2, 500)), Some((6.0, 500))), Said::Breaks(_)));
        let lower = impact(json!({"metric": "agent_ready", "when": "lower"}));
        assert!(matches!(lower.judge(Some((1.0, 500)), Some((0.9, 500))), Said::Breaks(_)));
        assert!(matches!(lower.judge(Some((0.9, 500)), Some((1.0, 500))), Said::Holds(_)));
    }

    #[test]
    fn both_sides_are_as_long_and_the_deployment_is_on_neither() {
        let window =
            |minutes: i64| Window { since: at(0), until: at(minutes * 60), is_first: false, soak: None };
        let impact = impact(json!({"settle": "5m"}));
        let (before, after) = impact.sides(&window(65)).expect("long enough");
        assert_eq!((after, before), ((at(300), at(3900)), (at(-3900), at(-300))));
        assert_eq!(impact.sides(&window(5)), None);
    }

    #[test]
    fn several_series_are_taken_together() {
        let of = |name, values: [f64; 2]| trace(instance(name), points(values.map(Some)));
        let traces = [of("a/0", [1.0, 3.0]), of("b/0", [4.0, 4.0])];
        assert_eq!(together(&traces, Stat::Avg), Some((3.0, 4)));
        assert_eq!(together(&traces, Stat::Rate), Some((6.0, 4)));
        assert_eq!(together(&traces, Stat::Max), Some((4.0, 4)));
        for stat in [Stat::Avg, Stat::Rate, Stat::Max] {
            assert_eq!(together(&[trace(instance("a/0"), points([None]))], stat), None);
        }
    }
}
