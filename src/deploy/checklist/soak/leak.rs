//! `leak`: what agents and the daemon hold does not grow and grow. The slope over the window with its 95 % interval: it
//! leaks if even the low end is above what is allowed, it holds if even the high end is under it, and else nobody knows.
use super::{
    series::{Chosen, Figure, UNRECORDED, settled, unseen},
    weigh::{Said, weigh},
};
use crate::{
    config::OptionProblem,
    deploy::checklist::kind::{Around, Look, problem},
    domain::{Fault, Period, Point, Stat},
    metrics::{Metrics, Slope, slope},
    readiness::{Evidence, Found},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How much each instance, and the daemon itself, may grow an hour.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "LeakItemOptions")]
pub struct Options {
    /// Of resident memory: a size such as 8MiB.
    memory: Figure,
    /// Of open descriptors.
    files: f64,
    /// Of processes, and threads of the daemon.
    processes: f64,
    /// What is left out at the beginning, where caches fill.
    settle: Period,
    /// Fewer points than that say nothing.
    #[schemars(range(min = 4))]
    points: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: Figure::Size(crate::domain::ByteSize(8 << 20)),
            files: 4.0,
            processes: 1.0,
            settle: Period::secs(600),
            points: 12,
        }
    }
}

pub struct Leak(Options);

/// When something of an instance began anew: what it held before is no part of what it holds now.
type Cuts = BTreeMap<String, Vec<Timestamp>>;

impl Look for Leak {
    const NAME: &'static str = "leak";
    const ABOUT: &'static str =
        "looks whether memory, descriptors or processes grow over the window, with 95 % confidence";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let figures = [
            ("/memory", options.memory.value()),
            ("/files", options.files),
            ("/processes", options.processes),
        ];
        let wrong = figures.into_iter().filter(|(_, value)| !value.is_finite() || *value < 0.0);
        let mut problems: Vec<_> = wrong
            .map(|(at, _)| problem(at, "is less than nothing", Some("write how much an hour it may grow")))
            .collect();
        if options.points < 4 {
            problems.push(problem("/points", "are too few for a slope", Some("at least 4")));
        }
        if problems.is_empty() { Ok(Self(options)) } else { Err(problems) }
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let Some(metrics) = &around.metrics else { return Found::skipped(UNRECORDED) };
        let span = match settled(&around.window, self.0.settle) {
            Ok(span) => span,
            Err(early) => return early,
        };
        match self.ask(evidence, metrics, span).await {
            Ok(said) => {
                weigh(said, "figures do not grow beyond what is allowed", "nothing of it was recorded")
            }
            Err(fault) => Found::error(fault.message),
        }
    }
}

impl Leak {
    async fn ask(
        &self,
        evidence: &Evidence,
        metrics: &Metrics,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<Said>, Fault> {
        let Options { memory, files, processes, .. } = &self.0;
        let cuts = cuts(metrics, span).await?;
        let mut said = Vec::new();
        for (name, allowed) in [
            ("agent_memory_bytes", memory.value()),
            ("agent_open_files", *files),
            ("agent_processes", *processes),
            ("daemon_memory_bytes", memory.value()),
            ("daemon_open_files", *files),
            ("daemon_threads", *processes),
        ] {
            let chosen = Chosen::of(name, Stat::Avg);
            let (traces, _) = chosen.traces(metrics, span, None).await?;
            if name.starts_with("daemon_") && traces.iter().all(|trace| trace.points.is_empty()) {
                said.push(Said::Unsure(format!("{name} was not recorded")));
            }
            for id in unseen(evidence, &chosen, &traces) {
                said.push(Said::Unsure(format!("{id} {name} was not recorded")));
            }
            for trace in traces.iter().filter(|trace| !trace.points.is_empty()) {
                let whose = trace.labels.0.get("instance").and_then(|id| cuts.get(id));
                let cuts = whose.map_or(&[][..], Vec::as_slice);
                said.push(self.judge(
                    &chosen,
                    &chosen.called(&trace.labels),
                    (&trace.points, cuts),
                    span,
                    allowed,
                ));
            }
        }
        Ok(said)
    }

    fn judge(
        &self,
        chosen: &Chosen,
        called: &str,
        (points, cuts): (&[Point], &[Timestamp]),
        (since, until): (Timestamp, Timestamp),
        allowed: f64,
    ) -> Said {
        let lives = lives(points, cuts);
        let enough = |life: &&[Point]| life.len() >= self.0.points as usize;
        let hourly = |slope: &Slope| {
            let amount = |value| chosen.amount(value);
            format!(
                "{called} grows by {} an hour ({} to {}), allowed are {}",
                amount(slope.per_hour),
                amount(slope.low),
                amount(slope.high),
                amount(allowed)
            )
        };
        // One that is restarted before it is too large leaks all the same.
        let mut steepest: Option<Slope> = None;
        for found in lives.iter().copied().filter(enough).filter_map(slope) {
            if found.low > allowed && steepest.as_ref().is_none_or(|known| found.low > known.low) {
                steepest = Some(found);
            }
        }
        if let Some(found) = steepest {
            return Said::Breaks(hourly(&found));
        }
        let length = |life: &[Point]| match (life.first(), life.last()) {
            (Some(first), Some(last)) => last.at.duration_since(first.at).as_secs_f64(),
            _ => 0.0,
        };
        let longest =
            lives.iter().copied().max_by(|a, b| length(a).total_cmp(&length(b))).unwrap_or_default();
        if longest.len() < self.0.points as usize {
            let (seen, needed) = (longest.len(), self.0.points);
            return Said::Unsure(format!("{called} has {seen} points in a row, and {needed} are needed"));
        }
        if length(longest) < until.duration_since(since).as_secs_f64() / 2.0 {
            let parts = lives.len();
            return Said::Unsure(format!(
                "{called} was seen for less than half of the time, in {parts} parts"
            ));
        }
        match slope(longest) {
            Some(found) if found.high <= allowed => Said::Holds(hourly(&found)),
            Some(found) => Said::Unsure(format!("{}: it cannot be told yet", hourly(&found))),
            None => Said::Unsure(format!("{called} has no slope that could be told")),
        }
    }
}

/// Where an instance was not ready, or was restarted, in this time.
async fn cuts(metrics: &Metrics, span: (Timestamp, Timestamp)) -> Result<Cuts, Fault> {
    let mut cuts = Cuts::new();
    for (chosen, is_cut) in [
        (Chosen::of("agent_ready", Stat::Min), (|value| value < 1.0) as fn(f64) -> bool),
        (Chosen::of("agent_restarts", Stat::Sum), |value| value > 0.0),
    ] {
        for trace in chosen.traces(metrics, span, None).await?.0 {
            let Some(instance) = trace.labels.0.get("instance") else { continue };
            let times = trace.points.iter().filter(|point| is_cut(point.value)).map(|point| point.at);
            cuts.entry(instance.clone()).or_default().extend(times);
        }
    }
    for times in cuts.values_mut() {
        times.sort_unstable();
    }
    Ok(cuts)
}

/// Points in a row without a cut between or at them; `cuts` in order.
fn lives<'a>(points: &'a [Point], cuts: &[Timestamp]) -> Vec<&'a [Point]> {
    let (mut lives, mut rest) = (Vec::new(), points);
    for cut in cuts {
        let (before, after) = rest.split_at(rest.partition_point(|point| point.at < *cut));
        lives.push(before);
        rest = after.split_at(after.partition_point(|point| point.at <= *cut)).1;
    }
    lives.push(rest);
    lives.retain(|life| !life.is_empty());
    lives
}

#[cfg(test)]
#[path = "leak_tests.rs"]
mod tests;
