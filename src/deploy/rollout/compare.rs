//! Pure: what was seen of both → better, same, worse, or too little to say. Each figure is judged by itself; any that is
//! worse decides, and none that was not measured is ever taken for good.
//!
//! A candidate has just been started: that it uses less memory, or came up sooner or later than what has run for weeks,
//! is shown and speaks for nobody. Memory that is much more than what is stable uses speaks against it.
use super::sides::{Look, Seen, Sides};
use crate::{
    config::RolloutSettings,
    domain::{Point, RolloutLine, Worth},
    metrics::slope,
};
use std::collections::{BTreeSet, VecDeque};

/// Fewer of two that fail, or of errors, may be chance.
const MORE: u32 = 2;
/// Readings of memory, and over how long, before a slope is told of.
const SLOPE_POINTS: usize = 30;
const SLOPE_S: f64 = 600.0;
/// In an hour: less of it is a cache that fills.
const SLOPE_LEAST: f64 = 16.0;
const MIB: f64 = 1_048_576.0;
/// Readings whose median is the memory of now.
const NOW: usize = 5;

#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub worth: Worth,
    pub because: Vec<String>,
    pub lines: Vec<RolloutLine>,
}

pub fn compare(limits: &RolloutSettings, sides: &Sides) -> Judged {
    let Sides { stable, candidate } = sides;
    let probes: BTreeSet<&String> = stable.looks.keys().chain(candidate.looks.keys()).collect();
    let mut lines = vec![crashes(stable, candidate), errors(stable, candidate)];
    for probe in &probes {
        let none = VecDeque::new();
        let of = |side: &'_ Seen| side.looks.get(*probe).unwrap_or(&none).iter().copied().collect::<Vec<_>>();
        let (stable, candidate) = (of(stable), of(candidate));
        lines.push(failing(limits, probe, &stable, &candidate));
        for (name, share) in [("p50", 0.50), ("p95", 0.95)] {
            lines.push(latency(limits, &format!("probe {probe}: {name}"), share, &stable, &candidate));
        }
    }
    lines.push(memory(limits, stable, candidate));
    lines.push(growth(stable, candidate));
    lines.push(ready(stable, candidate));
    whole(lines, probes.is_empty())
}

fn whole(lines: Vec<RolloutLine>, no_probe: bool) -> Judged {
    let named = |line: &RolloutLine| format!("{}: {}", line.what, line.why);
    let of = |worth: Worth| lines.iter().filter(move |line| line.decides && line.worth == worth);
    let worse: Vec<String> = of(Worth::Worse).map(named).collect();
    let mut unmeasured: Vec<String> =
        of(Worth::Unmeasured).filter(|line| line.what.starts_with("probe ")).map(named).collect();
    if no_probe {
        unmeasured.push("no probe has been asked of both".into());
    }
    let better: Vec<String> = of(Worth::Better).map(named).collect();
    let (worth, because) = if !worse.is_empty() {
        (Worth::Worse, worse)
    } else if !unmeasured.is_empty() {
        (Worth::Unmeasured, unmeasured)
    } else if !better.is_empty() {
        (Worth::Better, better)
    } else {
        (Worth::Same, Vec::new())
    };
    Judged { worth, because, lines }
}

fn crashes(stable: &Seen, candidate: &Seen) -> RolloutLine {
    let mut line = counted("crashes", stable.crashes, candidate.crashes);
    if candidate.crashes > 0 {
        (line.worth, line.why) = (Worth::Worse, format!("the candidate crashed {} times", candidate.crashes));
    } else if stable.crashes > 0 {
        (line.worth, line.why) = (Worth::Better, format!("what is stable crashed {} times", stable.crashes));
    }
    line
}

fn errors(stable: &Seen, candidate: &Seen) -> RolloutLine {
    let mut line = counted("errors", stable.errors, candidate.errors);
    let told = format!("{} recorded, {} of what is stable", candidate.errors, stable.errors);
    if candidate.errors >= stable.errors.saturating_add(MORE) {
        (line.worth, line.why) = (Worth::Worse, told);
    } else if stable.errors >= candidate.errors.saturating_add(MORE) {
        (line.worth, line.why) = (Worth::Better, told);
    }
    line
}

/// The share of looks that fail.
fn failing(limits: &RolloutSettings, probe: &str, stable: &[Look], candidate: &[Look]) -> RolloutLine {
    let failed = |looks: &[Look]| number(looks.iter().filter(|look| !look.ok).count());
    let share = |looks: &[Look]| (!looks.is_empty()).then(|| percent(failed(looks), looks.len()));
    let mut line = line(&format!("probe {probe}: failing"), "%", share(stable), share(candidate));
    (line.stable_n, line.candidate_n) = (number(stable.len()), number(candidate.len()));
    let (Some(was), Some(is)) = (line.stable, line.candidate) else { return too_few(line, limits) };
    if line.stable_n.min(line.candidate_n) < limits.samples {
        return too_few(line, limits);
    }
    let (were, are) = (failed(stable), failed(candidate));
    let told = format!("{is:.1} % of {} looks fail, {was:.1} % of what is stable", line.candidate_n);
    line.worth = if is > was + limits.failure_percent && are >= were.saturating_add(MORE) {
        Worth::Worse
    } else if was > is + limits.failure_percent && were >= are.saturating_add(MORE) {
        Worth::Better
    } else {
        Worth::Same
    };
    if line.worth != Worth::Same {
        line.why = told;
    }
    line
}

/// Of looks that passed: how long it takes to fail says nothing.
fn latency(
    limits: &RolloutSettings,
    what: &str,
    share: f64,
    stable: &[Look],
    candidate: &[Look],
) -> RolloutLine {
    let passed = |looks: &[Look]| {
        let mut took: Vec<f64> = looks.iter().filter(|look| look.ok).map(|look| look.took_ms).collect();
        took.sort_unstable_by(f64::total_cmp);
        took
    };
    let (stable, candidate) = (passed(stable), passed(candidate));
    let mut line = line(what, "ms", rank(&stable, share), rank(&candidate, share));
    (line.stable_n, line.candidate_n) = (number(stable.len()), number(candidate.len()));
    let (Some(was), Some(is)) = (line.stable, line.candidate) else { return too_few(line, limits) };
    if line.stable_n.min(line.candidate_n) < limits.samples {
        return too_few(line, limits);
    }
    let least = limits.latency_least.0.as_secs_f64() * 1e3;
    beyond(line, was, is, limits.latency_percent, least)
}

fn memory(limits: &RolloutSettings, stable: &Seen, candidate: &Seen) -> RolloutLine {
    let now = |side: &Seen| {
        let mut last: Vec<f64> = side.memory.iter().rev().take(NOW).map(|(_, bytes)| bytes / MIB).collect();
        last.sort_unstable_by(f64::total_cmp);
        rank(&last, 0.5)
    };
    let mut line = line("memory", "MiB", now(stable), now(candidate));
    (line.stable_n, line.candidate_n) = (number(stable.memory.len()), number(candidate.memory.len()));
    let (Some(was), Some(is)) = (line.stable, line.candidate) else {
        line.why = "the kernel told of neither or of one only".into();
        return line;
    };
    let line = beyond(line, was, is, limits.memory_percent, limits.memory_least.0 as f64 / MIB);
    RolloutLine { decides: line.worth == Worth::Worse, ..line }
}

fn growth(stable: &Seen, candidate: &Seen) -> RolloutLine {
    let of = |side: &Seen| {
        let point = |(at, bytes): &(jiff::Timestamp, f64)| {
            let value = bytes / MIB;
            Point { at: *at, value, min: value, max: value, count: 1 }
        };
        let points: Vec<Point> = side.memory.iter().map(point).collect();
        let lasted = points.last()?.at.duration_since(points.first()?.at).as_secs_f64();
        (points.len() >= SLOPE_POINTS && lasted >= SLOPE_S).then(|| slope(&points)).flatten()
    };
    let (was, is) = (of(stable), of(candidate));
    let mut line =
        line("memory growth", "MiB/h", was.map(|slope| slope.per_hour), is.map(|slope| slope.per_hour));
    (line.stable_n, line.candidate_n) = (number(stable.memory.len()), number(candidate.memory.len()));
    let (Some(was), Some(is)) = (was, is) else {
        line.why = format!("needs {SLOPE_POINTS} readings over {} minutes", SLOPE_S / 60.0);
        return RolloutLine { decides: false, ..line };
    };
    line.worth = Worth::Same;
    if is.low > was.high.max(0.0) + SLOPE_LEAST {
        line.worth = Worth::Worse;
        line.why = format!("it rises by {:.1} to {:.1} MiB an hour", is.low, is.high);
    }
    RolloutLine { decides: line.worth == Worth::Worse, ..line }
}

/// Of one start each: a figure, and no verdict.
fn ready(stable: &Seen, candidate: &Seen) -> RolloutLine {
    let mut line = line("time to ready", "s", stable.ready_s, candidate.ready_s);
    (line.stable_n, line.candidate_n) =
        (u32::from(stable.ready_s.is_some()), u32::from(candidate.ready_s.is_some()));
    line.why = "one start each proves nothing".into();
    RolloutLine { decides: false, ..line }
}

/// Worse or better only where both the share and the least are passed.
fn beyond(line: RolloutLine, was: f64, is: f64, percent: f64, least: f64) -> RolloutLine {
    let apart = |more: f64, less: f64| more > less * (1.0 + percent / 100.0) && more > less + least;
    let worth = if apart(is, was) {
        Worth::Worse
    } else if apart(was, is) {
        Worth::Better
    } else {
        Worth::Same
    };
    let why = if worth == Worth::Same {
        String::new()
    } else {
        let unit = &line.unit;
        format!("{is:.1} {unit}, {was:.1} {unit} of what is stable (n = {})", line.candidate_n)
    };
    RolloutLine { worth, why, ..line }
}

fn too_few(line: RolloutLine, limits: &RolloutSettings) -> RolloutLine {
    let n = line.stable_n.min(line.candidate_n);
    RolloutLine { worth: Worth::Unmeasured, why: format!("{n} of {} looks", limits.samples), ..line }
}

fn line(what: &str, unit: &str, stable: Option<f64>, candidate: Option<f64>) -> RolloutLine {
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    RolloutLine {
        what: what.to_owned(),
        unit: unit.to_owned(),
        stable: stable.map(rounded),
        candidate: candidate.map(rounded),
        stable_n: 0,
        candidate_n: 0,
        worth: Worth::Unmeasured,
        decides: true,
        why: String::new(),
    }
}

/// Of counts there is nothing to wait for: what happened has happened.
fn counted(what: &str, stable: u32, candidate: u32) -> RolloutLine {
    let line = line(what, "", Some(f64::from(stable)), Some(f64::from(candidate)));
    RolloutLine { stable_n: stable, candidate_n: candidate, worth: Worth::Same, ..line }
}

/// The nearest rank.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn rank(sorted: &[f64], share: f64) -> Option<f64> {
    let at = ((sorted.len() as f64 * share).ceil() as usize).max(1) - 1;
    sorted.get(at).copied()
}

fn percent(part: u32, whole: usize) -> f64 {
    f64::from(part) / whole as f64 * 100.0
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
