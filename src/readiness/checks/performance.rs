//! Performance: the figures that the documents promise, measured on this machine, now, with nothing else of the
//! validation running. Each is a median of several rounds with its spread; no samples are no pass.
use crate::{
    domain::{Category, Severity},
    readiness::{Check, Evidence, Found},
};
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, io, time::Duration};
use tokio::time::Instant;

const ROUNDS: usize = 5;
/// Of queries, more: a neighbour's burst may take several.
const QUERY_ROUNDS: usize = 15;
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// Asking every instance of a large fleet would measure our own queue.
const PINGED: usize = 20;

pub const CHECKS: &[Check] = &[
    Check {
        id: "PF-001",
        title: "ten queries take less than 100 ms",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 2,
        why: "status, validate and every decision wait for the store",
        how: "fifteen rounds of ten real reads through the pool, one after another; the median counts; and the same samples must fail a limit they do not meet",
        fix: "move the state directory to a faster disk, or shorten [retention]",
        exercised: true,
        quiet: true,
        run: |evidence| queries(evidence, 10, 1, 100.0).boxed(),
    },
    Check {
        id: "PF-002",
        title: "five concurrent queries take less than 200 ms",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 2,
        why: "a pool that serves one at a time is no pool",
        how: "fifteen rounds of five real reads at once; the median counts; and the same samples must fail a limit they do not meet",
        fix: "raise store.readers_min, or move the state directory to a faster disk",
        exercised: true,
        quiet: true,
        run: |evidence| queries(evidence, 5, 5, 200.0).boxed(),
    },
    Check {
        id: "PF-003",
        title: "agents answer a ping within 2 s at the 95th percentile",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent that answers slowly when idle answers not at all under load",
        how: "up to 20 process agents are pinged three times each; a ping to none is no sample",
        fix: "`agentctl agent logs NAME` of the slowest named in the evidence",
        exercised: true,
        quiet: true,
        run: |evidence| canary(evidence).boxed(),
    },
    Check {
        id: "PF-004",
        title: "the daemon's resident memory is under 100 MB",
        category: Category::Performance,
        severity: Severity::Major,
        weight: 1,
        why: "supervision must leave the machine to the agents",
        how: "resident pages of the daemon's own process, five times",
        fix: "restart the daemon and watch `agentctl status`; report it if it grows",
        exercised: false,
        quiet: true,
        run: |_| memory().boxed(),
    },
    Check {
        id: "PF-005",
        title: "the daemon uses less than 10 % of a core",
        category: Category::Performance,
        severity: Severity::Major,
        weight: 1,
        why: "supervision must leave the machine to the agents",
        how: "processor time of the daemon's own process over five windows of 200 ms while no check runs",
        fix: "probe less often: raise `every` of the probes",
        exercised: false,
        quiet: true,
        run: |_| processor().boxed(),
    },
];

async fn queries(evidence: &Evidence, count: usize, concurrent: usize, limit: f64) -> Found {
    let mut rounds = Vec::new();
    for _ in 0..QUERY_ROUNDS {
        let started = Instant::now();
        match evidence.store.time_queries(count, concurrent).await {
            // A round with fewer answers than asked for is not a round.
            Ok(times) if times.len() == count => rounds.push(started.elapsed().as_secs_f64() * 1e3),
            Ok(times) => return Found::error(format!("{} of {count} queries were timed", times.len())),
            Err(error) => return Found::error(error.to_string()),
        }
    }
    let what = format!("{count} queries, {concurrent} at a time");
    with_counter_proof(&what, "ms", &rounds, limit, Figure::Median)
}

async fn canary(evidence: &Evidence) -> Found {
    let mut agents = evidence.canaries();
    if agents.is_empty() && !evidence.expects_canaries() {
        return Found::not_applicable("the fleet has no process agent that takes a ping");
    }
    agents.truncate(PINGED);
    let (mut times, mut slowest) = (Vec::new(), (0.0, String::new()));
    for id in &agents {
        for _ in 0..3 {
            let started = Instant::now();
            let answer = evidence.supervisor.request(id, "ping", json!({}), PING_DEADLINE).await;
            let took = started.elapsed().as_secs_f64() * 1e3;
            if let Err(fault) = answer
                && fault.kind != crate::domain::FaultKind::Refused
            {
                return Found::fail(format!("{id} gave no answer: {fault}"));
            }
            if took > slowest.0 {
                slowest = (took, id.to_string());
            }
            times.push(took);
        }
    }
    with_counter_proof("a ping", "ms", &times, 2000.0, Figure::P95).seen(format!(
        "{} agents pinged; the slowest was {} with {:.1} ms",
        agents.len(),
        slowest.1,
        slowest.0
    ))
}

async fn memory() -> Found {
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        match resident() {
            Ok(bytes) => samples.push(bytes as f64 / 1e6),
            Err(error) => return Found::error(format!("cannot read the daemon's memory: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    judge("resident memory", "MB", &samples, 100.0, Figure::Median).seen("source: VmRSS in /proc/self/status")
}

async fn processor() -> Found {
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let (before, started) = (spent(), Instant::now());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let window = started.elapsed();
        match (before, spent()) {
            (Ok(before), Ok(after)) => {
                samples.push(after.saturating_sub(before).as_secs_f64() / window.as_secs_f64() * 100.0);
            }
            (Err(error), _) | (_, Err(error)) => {
                return Found::error(format!("cannot read the processor time of the daemon: {error}"));
            }
        }
    }
    judge("of a core", "%", &samples, 10.0, Figure::Median)
        .seen("source: /proc/self/task/*/schedstat, five windows of 200 ms")
}

/// Resident bytes of this process.
pub fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no VmRSS in /proc/self/status"))
}

/// Processor time of this process so far: the first number of each thread's schedstat, in nanoseconds. A thread that
/// ends takes its share along, so a window may read low by that much.
fn spent() -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_ascii_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    if nanoseconds == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel keeps no schedstat"));
    }
    Ok(Duration::from_nanos(nanoseconds))
}

#[derive(Clone, Copy, Debug)]
enum Figure {
    Median,
    P95,
}

/// The judgement, and beside it the same samples against a limit that they cannot meet: it must refuse them.
fn with_counter_proof(what: &str, unit: &str, samples: &[f64], limit: f64, figure: Figure) -> Found {
    let found = judge(what, unit, samples, limit, figure);
    let Some(value) = pick(samples, figure) else { return found };
    let tight = value / 2.0;
    if judge(what, unit, samples, tight, figure).outcome != crate::domain::Outcome::Fail {
        return Found::fail(format!(
            "the same samples passed a limit of {tight:.3} {unit}, half of what was measured"
        ));
    }
    found.seen(format!(
        "counter-proof: a limit of {tight:.3} {unit}, half of what was measured, refuses the same samples"
    ))
}

fn judge(what: &str, unit: &str, samples: &[f64], limit: f64, figure: Figure) -> Found {
    let Some(value) = pick(samples, figure) else {
        return Found::error(format!("nothing was measured: no sample of {what}"));
    };
    let name = match figure {
        Figure::Median => "median",
        Figure::P95 => "95th percentile",
    };
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let said = format!("{what}: {name} {value:.3} {unit}, limit {limit} {unit}");
    let found = if value < limit { Found::pass(said) } else { Found::fail(said) };
    found.seen(format!("{} samples from {low:.3} to {high:.3} {unit}", samples.len()))
}

/// None without samples, or with one that is no number.
fn pick(samples: &[f64], figure: Figure) -> Option<f64> {
    if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = match figure {
        Figure::Median => sorted.len().div_ceil(2),
        Figure::P95 => (sorted.len() * 95).div_ceil(100),
    };
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn no_sample_is_no_pass_and_the_figure_decides() {
        let table: &[(&[f64], f64, Figure, Outcome)] = &[
            (&[], 100.0, Figure::Median, Outcome::Error),
            (&[1.0, f64::NAN], 100.0, Figure::Median, Outcome::Error),
            (&[1.0, 2.0, 3.0], 100.0, Figure::Median, Outcome::Pass),
            (&[1.0, 2.0, 900.0], 100.0, Figure::Median, Outcome::Pass),
            (&[1.0, 200.0, 900.0], 100.0, Figure::Median, Outcome::Fail),
            (&[100.0], 100.0, Figure::Median, Outcome::Fail),
            (&[1.0, 1.0, 200.0, 200.0], 100.0, Figure::Median, Outcome::Pass),
            (&[1.0, 1.0, 200.0, 200.0, 200.0], 100.0, Figure::Median, Outcome::Fail),
            (&[1.0, 1.0, 1.0, 2500.0], 2000.0, Figure::P95, Outcome::Fail),
        ];
        for (samples, limit, figure, outcome) in table {
            assert_eq!(
                judge("it", "ms", samples, *limit, *figure).outcome,
                *outcome,
                "{samples:?} {figure:?}"
            );
        }
        assert_eq!(with_counter_proof("it", "ms", &[0.0], 1.0, Figure::Median).outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn memory_and_processor_are_really_measured() {
        let resting = memory().await;
        assert!(matches!(resting.outcome, Outcome::Pass | Outcome::Fail), "{resting:?}");
        assert!(resident().expect("a figure") > 1_000_000, "less than any program has");
        let before = spent().expect("a figure");
        let mut sum = 0_u64;
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {
            sum = sum.wrapping_add(1);
        }
        assert!(spent().expect("a figure") > before, "{sum} steps cost nothing");
    }
}
