//! A scratch agent prints more than anybody wants to keep.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    agents::LogQuery,
    domain::Fault,
    readiness::{
        Found, Ground, Proof, check::settle, checks::performance, proof::poll, scratch_fleet::script_agent,
        survivors,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, path::Path, time::Duration};
use tokio::time::Instant;

/// How much the scratch agent prints: one half in short lines, the other in a single one.
const FLOOD: usize = 16 << 20;
/// Rotations that are kept of its log.
const KEEP: u64 = 2;

/// What is held against the flood; a test breaks or lifts it.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Where the log of the flooding agent rotates.
    log: u64,
    /// How much the daemon may grow.
    growth: u64,
    /// How much of the flood the daemon keeps: nothing, but in a test.
    hoard: usize,
}

pub const BOUNDS: Bounds = Bounds { log: 1 << 20, growth: FLOOD as u64 / 8, hoard: 0 };
/// How long the flood may take. What is proved are bounds of memory and disk, not a speed.
const PATIENCE: Duration = Duration::from_secs(15);

pub async fn bounded(ground: &Ground, bounds: Bounds) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let go = plot.path().join("go");
        // It waits for a sign, so that what its start costs is not taken for the flood.
        let script = format!(
            "while [ ! -e '{}' ]; do sleep 0.02; done; \
             yes 0123456789abcdef0123456789abcdef | head -c {half}; echo; \
             yes 0123456789abcdef0123456789abcdef | tr -d '\\n' | head -c {half}; echo; echo the-last-line",
            go.display(),
            half = FLOOD / 2
        );
        let mut chatty = script_agent("chatty", "service", &script);
        chatty["restart"] = json!({ "policy": "never" });
        let log = json!({ "agent_max_size": format!("{}B", bounds.log), "agent_keep": KEEP });
        let fleet = ground.fleet(json!({ "daemon": { "log": log }, "agent": [chatty] }), false).await?;
        let up = fleet.instance("chatty", PATIENCE, |_, now| now.pid.is_some_and(survivors::alive)).await;
        if up.is_none() {
            return Ok(Found::error("the scratch agent did not come up"));
        }
        let before = performance::resident().unwrap_or(0);
        fs::write(&go, "").map_err(|error| Fault::internal(format!("cannot give the sign: {error}")))?;
        let started = Instant::now();
        let hoarded = vec![1_u8; bounds.hoard];
        let mut peak = before;
        let query = LogQuery { instance: "chatty/0".parse().map_err(Fault::internal)?, lines: 5 };
        let drained = poll(PATIENCE, || {
            peak = peak.max(performance::resident().unwrap_or(0));
            let (lines, _) = fleet.supervisor().logs(&query).ok()?;
            lines.iter().any(|line| line.contains("the-last-line")).then_some(())
        })
        .await;
        let took = started.elapsed();
        drop(hoarded);
        let (files, bytes) = weigh(&fleet.paths().agent_logs);
        let mut proof = Proof::default();
        proof.holds(
            drained.is_some(),
            format!(
                "{FLOOD} bytes were taken in {:.0} ms and the last line is in the log",
                took.as_secs_f64() * 1e3
            ),
        );
        let grown = peak.saturating_sub(before);
        proof.holds(before > 0 && grown <= bounds.growth, format!("the daemon's resident memory grew by at most {grown} bytes, {} are allowed, an eighth of the flood (source: VmRSS in /proc/self/status)", bounds.growth));
        proof.holds(
            (2..=KEEP + 1).contains(&files),
            format!("its log is {files} files, {KEEP} rotations and the live one are allowed"),
        );
        // A piece that is under way may pass the bound of each file.
        let bound = (KEEP + 2) * BOUNDS.log;
        proof.holds(bytes <= bound, format!("its logs hold {bytes} bytes, {bound} are allowed"));
        fleet.finish().await;
        Ok(proof.judge(format!("{FLOOD} bytes of output cost {grown} bytes of memory and {bytes} of disk")))
    };
    settle(exercise.await)
}

/// Files below a directory and their bytes.
fn weigh(dir: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => {
                let (more, of) = weigh(&entry.path());
                files += more;
                bytes += of;
            }
            Ok(meta) => {
                files += 1;
                bytes += meta.len();
            }
            Err(_) => {}
        }
    }
    (files, bytes)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-006",
    at_work: || {
        // Other tests run in this process and grow it too: what is tight in the sound case is the log.
        let loose = 1 << 30;
        let broken = [
            ("a log that does not rotate", Bounds { log: 1 << 30, growth: loose, hoard: 0 }),
            ("a daemon that keeps it all in memory", Bounds { hoard: FLOOD, ..BOUNDS }),
        ];
        tried(bounded, Bounds { growth: loose, ..BOUNDS }, broken).boxed()
    },
};
