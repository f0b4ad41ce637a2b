//! `level`: a figure stays within its limit through the whole window, not only on average; the worst stretch is named.
use super::{
    series::{Chosen, Figure, UNRECORDED, first_step, settled, unseen},
    weigh::{Said, weigh},
};
use crate::{
    config::OptionProblem,
    deploy::checklist::kind::{Around, Look, problem},
    domain::{Fault, Labels, MetricKind, Period, Point, Stat},
    metrics::{METRICS, Metrics, Trace},
    readiness::{Evidence, Found},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// What may not be exceeded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LevelItemOptions")]
pub struct Options {
    /// As `agentctl metrics list` has it: store_query_ms, requests, agent_memory_bytes.
    metric: String,
    /// Only series with all of these.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of each stretch: avg, min, max or last of a gauge, rate or sum of a counter, p50, p95 or p99 of a histogram.
    /// Default avg, rate, p95.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    stat: Option<Stat>,
    /// Of a counter: the share of these series of all series of the metric, 0 to 1, as for errors among requests. Labels
    /// may then have alternatives: "internal|timeout".
    #[serde(default)]
    share: bool,
    /// In the unit of the metric, or a size.
    #[serde(default)]
    at_most: Option<Figure>,
    #[serde(default)]
    at_least: Option<Figure>,
    /// How long the stretches are that must hold, each by itself.
    #[serde(default = "five_minutes")]
    window: Period,
    /// What is left out at the beginning.
    #[serde(default)]
    settle: Period,
    /// Fewer looks, or counts of a histogram, or requests of a share, say nothing.
    #[serde(default = "samples")]
    samples: u64,
}

fn five_minutes() -> Period {
    Period::secs(300)
}
fn samples() -> u64 {
    30
}

#[derive(Debug)]
pub struct Level {
    chosen: Chosen,
    options: Options,
}

impl Look for Level {
    const NAME: &'static str = "level";
    const ABOUT: &'static str = "looks whether a recorded figure stayed within its limit all the time";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if options.at_most.is_none() && options.at_least.is_none() {
            problems.push(problem("/at_most", "is missing, and so is `at_least`", Some("at_most = 100")));
        }
        if options.window.0 < Duration::from_secs(10) {
            problems.push(problem(
                "/window",
                "is shorter than 10s, and a look is made every ten seconds",
                None,
            ));
        }
        let counter =
            METRICS.iter().any(|metric| metric.name == options.metric && metric.kind == MetricKind::Counter);
        if options.share && (!counter || options.labels.is_empty()) {
            let message = "is told of some series of a counter among all of them";
            problems.push(problem(
                "/share",
                message,
                Some("labels = { outcome = \"internal\" }, metric = \"requests\""),
            ));
        }
        let stat = if options.share { Some(Stat::Sum) } else { options.stat };
        match Chosen::compile(&options.metric, &options.labels, stat) {
            Ok(chosen) if problems.is_empty() => Ok(Self { chosen, options }),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let Some(metrics) = &around.metrics else { return Found::skipped(UNRECORDED) };
        let span = match settled(&around.window, self.options.settle) {
            Ok(span) => span,
            Err(early) => return early,
        };
        match self.ask(evidence, metrics, span).await {
            Ok(said) => weigh(
                said,
                "series stayed within it",
                &format!("nothing was recorded of {}", self.chosen.name),
            ),
            Err(fault) => Found::error(fault.message),
        }
    }
}

impl Level {
    async fn ask(
        &self,
        evidence: &Evidence,
        metrics: &Metrics,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<Said>, Fault> {
        let stretch = self.options.window;
        if first_step(span, i64::try_from(stretch.0.as_secs()).unwrap_or(i64::MAX / 2)).is_none() {
            return Ok(vec![Said::Unsure(format!("no stretch of {stretch} of the window has begun yet"))]);
        }
        let least = Some(stretch.0);
        if self.options.share {
            let all = Chosen { labels: Labels::default(), ..self.chosen.clone() };
            let (all, step) = all.traces(metrics, span, least).await?;
            let some: Vec<Trace> =
                all.iter().filter(|trace| is_one(&self.chosen.labels, &trace.labels)).cloned().collect();
            if all.is_empty() {
                return Ok(Vec::new());
            }
            let points = shares(&some, &all);
            return Ok(vec![self.judge("the share", &points, step)]);
        }
        let (traces, step) = self.chosen.traces(metrics, span, least).await?;
        let unseen = unseen(evidence, &self.chosen, &traces).into_iter();
        let mut said: Vec<Said> =
            unseen.map(|id| Said::Unsure(format!("{id} {} was not recorded", self.chosen.name))).collect();
        let seen = traces.iter().filter(|trace| !trace.points.is_empty());
        said.extend(seen.map(|trace| self.judge(&self.chosen.called(&trace.labels), &trace.points, step)));
        Ok(said)
    }

    fn judge(&self, called: &str, points: &[Point], step: Duration) -> Said {
        let Options { at_most, at_least, samples, .. } = &self.options;
        let finite: Vec<&Point> = points.iter().filter(|point| point.value.is_finite()).collect();
        let highest = finite.iter().max_by(|a, b| a.value.total_cmp(&b.value));
        let lowest = finite.iter().min_by(|a, b| a.value.total_cmp(&b.value));
        let mut held = Vec::new();
        for (limit, worst, above) in [(at_most, highest, true), (at_least, lowest, false)] {
            let (Some(limit), Some(worst)) = (limit.as_ref().map(Figure::value), worst) else { continue };
            let broken = if above { worst.value > limit } else { worst.value < limit };
            let told = format!(
                "{called} was {} at its worst, {}, of {} {}",
                self.amount(worst.value),
                stretch(worst.at, step),
                if above { "at most" } else { "at least" },
                self.amount(limit)
            );
            if broken {
                return Said::Breaks(told);
            }
            held.push(told);
        }
        let seen: u64 = finite.iter().map(|point| point.count).sum();
        if seen < *samples || held.is_empty() {
            return Said::Unsure(format!("{called} was seen {seen} times, and {samples} are needed"));
        }
        Said::Holds(held.join("; "))
    }

    fn amount(&self, value: f64) -> String {
        if self.options.share { format!("{:.2}%", value * 100.0) } else { self.chosen.amount(value) }
    }
}

/// Step by step: what rose of some, of what rose of all; where nothing rose there is no share.
fn shares(some: &[Trace], all: &[Trace]) -> Vec<Point> {
    let sums = |traces: &[Trace]| {
        let mut sums: BTreeMap<Timestamp, f64> = BTreeMap::new();
        for point in traces.iter().flat_map(|trace| &trace.points) {
            *sums.entry(point.at).or_default() += point.value;
        }
        sums
    };
    let (some, all) = (sums(some), sums(all));
    let share = |(at, all): (Timestamp, f64)| {
        let value = some.get(&at).copied().unwrap_or_default() / all;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = all.round() as u64;
        (all > 0.0).then_some(Point { at, value, min: value, max: value, count })
    };
    all.into_iter().filter_map(share).collect()
}

fn is_one(wanted: &Labels, labels: &Labels) -> bool {
    wanted
        .0
        .iter()
        .all(|(key, value)| labels.0.get(key).is_some_and(|is| value.split('|').any(|one| one == is)))
}

fn stretch(at: Timestamp, step: Duration) -> String {
    let end = SignedDuration::try_from(step).ok().and_then(|step| at.checked_add(step).ok()).unwrap_or(at);
    format!("{} to {}", at.strftime("%m-%d %H:%M:%S"), end.strftime("%H:%M:%SZ"))
}

#[cfg(test)]
#[path = "level_tests.rs"]
mod tests;
