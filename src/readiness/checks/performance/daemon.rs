//! What the daemon itself costs: memory, processor, and the time it took to start.
use super::figure::{Figure, Limit};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::readiness::{Found, Started};
#[cfg(test)]
use futures_util::FutureExt;
use std::{collections::BTreeMap, ffi::OsString, fs, io, time::Duration};
use tokio::time::Instant;

const ROUNDS: usize = 5;
const WINDOW: Duration = Duration::from_millis(200);
const LONGEST_START: Duration = Duration::from_secs(5);

pub async fn memory(pid: u32) -> Found {
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        match resident(pid) {
            Ok(bytes) => samples.push(bytes as f64 / 1e6),
            Err(error) => return Found::error(format!("cannot read the daemon's memory: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Limit { what: "resident memory", unit: "MB", below: 100.0, figure: Figure::Median }
        .judge(&samples)
        .seen(format!("source: VmRSS in /proc/{pid}/status"))
}

pub async fn processor(pid: u32) -> Found {
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let (before, started) = (spent(pid), Instant::now());
        tokio::time::sleep(WINDOW).await;
        let window = started.elapsed();
        match (before, spent(pid)) {
            (Ok(before), Ok(after)) => {
                samples.push(between(&before, &after).as_secs_f64() / window.as_secs_f64() * 100.0);
            }
            (Err(error), _) | (_, Err(error)) => {
                return Found::error(format!("cannot read the processor time of the daemon: {error}"));
            }
        }
    }
    Limit { what: "of a core", unit: "%", below: 10.0, figure: Figure::Median }
        .judge(&samples)
        .seen(format!("source: /proc/{pid}/task/*/schedstat, {ROUNDS} windows of {WINDOW:?}"))
}

/// There is one last start, and so one sample.
pub fn last_start(started: Option<Started>) -> Found {
    let samples: Vec<_> = started.iter().map(|started| started.took.as_secs_f64()).collect();
    let found = Limit {
        what: "the last start, until the daemon answered",
        unit: "s",
        below: LONGEST_START.as_secs_f64(),
        figure: Figure::Median,
    }
    .judge(&samples);
    match started {
        Some(started) => found.seen(format!("it began at {} (source: the daemon's own clock)", started.at)),
        None => found,
    }
}

/// Resident bytes of a process.
pub fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no VmRSS in /proc/{pid}/status")))
}

/// Processor time of a process so far: the first number of each thread's schedstat, in nanoseconds. A thread that
/// ends takes its share along, so a window may read low by that much.
fn spent(pid: u32) -> io::Result<BTreeMap<OsString, u64>> {
    let mut nanoseconds = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        let spent = text.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        nanoseconds.insert(task.file_name(), spent);
    }
    if nanoseconds.values().all(|spent| *spent == 0) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel keeps no schedstat"));
    }
    Ok(nanoseconds)
}

/// Thread by thread: one that ended meanwhile must not take its past from what the others spent.
fn between(before: &BTreeMap<OsString, u64>, after: &BTreeMap<OsString, u64>) -> Duration {
    let since =
        |(task, after): (&OsString, &u64)| after.saturating_sub(before.get(task).copied().unwrap_or(0));
    Duration::from_nanos(after.iter().map(since).sum())
}

/// A real process that is modest, and one that is not; both end with the test.
#[cfg(test)]
struct Stranger(std::process::Child);

#[cfg(test)]
impl Stranger {
    fn shell(script: &str) -> Self {
        use std::process::{Command, Stdio};
        let mut command = Command::new("/bin/sh");
        Self(
            command
                .args(["-c", script])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("a shell"),
        )
    }
}

#[cfg(test)]
impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
async fn greedy() -> Tried {
    use crate::readiness::proof::poll;
    use std::io::Write;
    let modest = Stranger::shell("exec sleep 60");
    // It keeps what has no end of line yet.
    let mut hoarder = Stranger::shell("exec tail");
    let mut input = hoarder.0.stdin.take().expect("a pipe");
    input.write_all(&vec![b'x'; 150_000_000]).expect("taken");
    let pid = hoarder.0.id();
    let full = || resident(pid).ok().filter(|bytes| *bytes > 120_000_000);
    poll(Duration::from_secs(20), full).await.expect("it hoards");
    Tried {
        sound: vec![memory(modest.0.id()).await],
        broken: vec![("a process that has grown", memory(pid).await)],
    }
}

#[cfg(test)]
async fn busy() -> Tried {
    let (idle, spins) = (Stranger::shell("exec sleep 60"), Stranger::shell("while :; do :; done"));
    let mut found = processor(spins.0.id()).await;
    // On a machine that is busy with more than this, it may be given next to nothing for a while.
    for _ in 0..20 {
        if found.outcome == crate::domain::Outcome::Fail {
            break;
        }
        found = processor(spins.0.id()).await;
    }
    Tried { sound: vec![processor(idle.0.id()).await], broken: vec![("a process that spins", found)] }
}

#[cfg(test)]
pub const HOARDER: Saboteur = Saboteur { of: "PF-004", at_work: || greedy().boxed() };

#[cfg(test)]
pub const SPINNER: Saboteur = Saboteur { of: "PF-005", at_work: || busy().boxed() };

#[cfg(test)]
pub const LATE_STARTER: Saboteur = Saboteur {
    of: "PF-006",
    at_work: || {
        async {
            let after = |took| {
                let at = jiff::Timestamp::UNIX_EPOCH;
                last_start(Some(Started { at, took: Duration::from_millis(took) }))
            };
            Tried { sound: vec![after(300)], broken: vec![("a start of six seconds", after(6000))] }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_start_that_nobody_timed_is_unmeasured() {
        assert_eq!(last_start(None).outcome, Outcome::Error);
    }

    #[test]
    fn memory_and_processor_are_really_measured() {
        let own = std::process::id();
        assert!(resident(own).expect("a figure") > 1_000_000, "less than any program has");
        assert!(resident(0).is_err());
        let mut busy = std::process::Command::new("/bin/sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .expect("a child");
        let mut first = None;
        let cost = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            match (&first, spent(busy.id()).ok()) {
                (Some(first), Some(now)) => between(first, &now) > Duration::ZERO,
                (_, now) => {
                    first = now;
                    false
                }
            }
        });
        busy.kill().and_then(|()| busy.wait()).expect("its end");
        assert!(cost, "a program that does nothing but count costs nothing: {first:?}");
    }

    #[test]
    fn a_thread_that_ended_takes_nothing_from_the_others() {
        let at = |threads: &[(&str, u64)]| {
            threads.iter().map(|(id, spent)| (OsString::from(id), *spent)).collect()
        };
        let spent = between(&at(&[("1", 100), ("2", 9_000)]), &at(&[("1", 150), ("3", 7)]));
        assert_eq!(spent, Duration::from_nanos(57));
    }
}
