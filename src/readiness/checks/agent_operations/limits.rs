//! The limits of a scratch agent, asked of the kernel and tried out.
use super::PATIENCE;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{Found, Ground, Proof, check::settle, proof::poll, scratch_fleet::script_agent, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::fs;

pub const OPEN_FILES: Option<u64> = Some(64);
pub const MEMORY: Option<u64> = Some(64 << 20);

/// What the scratch agent is limited to; a test leaves one out.
pub async fn applied(ground: &Ground, (memory, open_files): (Option<u64>, Option<u64>)) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let answer = plot.path().join("answer");
        // One piece of 256 MiB, four times what it may have.
        let script = format!(
            "if dd if=/dev/zero of=/dev/null bs=256M count=1 2>/dev/null; then echo taken; else echo refused; fi \
             > '{0}.part'; mv '{0}.part' '{0}'; exec sleep 600",
            answer.display()
        );
        let mut greedy = script_agent("greedy", "service", &script);
        greedy["limits"] =
            json!({ "memory": memory.map(|bytes| format!("{bytes}B")), "open_files": open_files });
        greedy["restart"] = json!({ "policy": "never" });
        let fleet = ground.fleet(json!({ "agent": [greedy] }), false).await?;
        let up = fleet.instance("greedy", PATIENCE, |_, now| now.pid.is_some_and(survivors::alive)).await;
        let Some(pid) = up.and_then(|up| up.pid) else {
            return Ok(Found::error("the scratch agent did not come up"));
        };
        let word = poll(PATIENCE, || fs::read_to_string(&answer).ok()).await;
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))
            .map_err(|error| Fault::internal(format!("cannot read the limits of {pid}: {error}")))?;
        fleet.finish().await;
        let Some(word) = word else {
            return Ok(Found::error("the scratch agent did not say how it fared"));
        };
        Ok(judge(&limits, word.trim()))
    };
    settle(exercise.await)
}

fn judge(limits: &str, word: &str) -> Found {
    let mut proof = Proof::default();
    for (name, wanted) in [("Max data size", MEMORY), ("Max open files", OPEN_FILES)] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let bounds: Vec<&str> = line.split_whitespace().take(2).collect();
        let wanted = wanted.unwrap_or(0).to_string();
        proof.holds(
            bounds == [wanted.as_str(), wanted.as_str()],
            format!("{name}: {} (soft/hard), want {wanted} (source: /proc/PID/limits)", bounds.join("/")),
        );
    }
    proof.holds(word == "refused", format!("256 MiB at once were {}", word.escape_debug()));
    proof.judge("a scratch agent is limited in memory and open files, and was refused what is beyond")
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-012",
    at_work: || {
        let broken = [
            ("memory without a limit", (None, OPEN_FILES)),
            ("open files without a limit", (MEMORY, None)),
            ("memory with a limit that is too high", (Some(1 << 30), OPEN_FILES)),
        ];
        tried(applied, (MEMORY, OPEN_FILES), broken).boxed()
    },
};
