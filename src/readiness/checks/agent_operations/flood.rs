//! A scratch agent prints more than anybody wants to keep.
use crate::{
    agents::LogQuery,
    domain::Fault,
    readiness::{
        Found, Ground, Proof,
        check::settle,
        checks::performance,
        proof::{poll, script_agent},
        survivors,
    },
};
use serde_json::json;
use std::{fs, path::Path, time::Duration};
use tokio::time::Instant;

/// Where the log of the flooding agent rotates.
pub const LOG: u64 = 1 << 20;
/// How much the daemon may grow under the flood.
pub const GROWTH: u64 = 6 << 20;
/// How long the flood may take. What is proved are bounds of memory and disk, not a speed.
const PATIENCE: Duration = Duration::from_secs(15);

/// `max_size` is where its log rotates and `growth` how much the daemon may grow; a test breaks the one and lifts the other.
pub async fn bounded(ground: &Ground, max_size: u64, growth: u64) -> Found {
    const FLOOD: u64 = 8 << 20;
    const KEEP: u64 = 2;
    let exercise = async {
        let plot = ground.plot()?;
        let go = plot.path().join("go");
        // It waits for a sign, so that what its start costs is not taken for the flood.
        let script = format!(
            "while [ ! -e '{}' ]; do sleep 0.02; done; \
             yes 0123456789abcdef0123456789abcdef | head -c {FLOOD}; echo; echo the-last-line",
            go.display()
        );
        let mut chatty = script_agent("chatty", "service", &script);
        chatty["restart"] = json!({ "policy": "never" });
        let log = json!({ "agent_max_size": format!("{max_size}B"), "agent_keep": KEEP });
        let fleet = ground.fleet(json!({ "daemon": { "log": log }, "agent": [chatty] }), false).await?;
        let up = fleet.instance("chatty", PATIENCE, |_, now| now.pid.is_some_and(survivors::alive)).await;
        if up.is_none() {
            return Ok(Found::error("the scratch agent did not come up"));
        }
        let before = performance::resident().unwrap_or(0);
        fs::write(&go, "").map_err(|error| Fault::internal(format!("cannot give the sign: {error}")))?;
        let started = Instant::now();
        let mut peak = before;
        let query = LogQuery { instance: "chatty/0".parse().map_err(Fault::internal)?, lines: 5 };
        let drained = poll(PATIENCE, || {
            peak = peak.max(performance::resident().unwrap_or(0));
            let (lines, _) = fleet.supervisor().logs(&query).ok()?;
            lines.iter().any(|line| line.contains("the-last-line")).then_some(())
        })
        .await;
        let took = started.elapsed();
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
        proof.holds(before > 0 && grown <= growth, format!("the daemon's resident memory grew by at most {grown} bytes, {growth} are allowed (source: VmRSS in /proc/self/status)"));
        proof.holds(files >= 2, format!("its log is {files} files: it rotated"));
        // A piece that is under way may pass the bound of each file.
        let bound = (KEEP + 2) * LOG;
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
mod tests {
    use super::*;
    use crate::readiness::checks::tells_apart;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_bounded_and_a_log_that_does_not_rotate_is_found() {
        // Other tests run in this process and grow it too: what is tight here is the log.
        let exercise = async |ground: &Ground, max_size| bounded(ground, max_size, 1 << 30).await;
        tells_apart(exercise, LOG, [1 << 30]).await;
    }
}
