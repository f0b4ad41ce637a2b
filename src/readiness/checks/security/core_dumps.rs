//! The daemon holds secrets in memory: no crash may write it to a file, and no process of its own user may read it.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::readiness::{Evidence, Found, Proof};
#[cfg(test)]
use futures_util::FutureExt;
use rustix::process::{DumpableBehavior, dumpable_behavior};
use std::fs;

pub async fn off(_: &Evidence) -> Found {
    let limits = match fs::read_to_string("/proc/self/limits") {
        Ok(limits) => limits,
        Err(error) => return Found::error(format!("cannot ask the kernel of our limits: {error}")),
    };
    match dumpable_behavior() {
        Ok(dumpable) => judge(&limits, dumpable != DumpableBehavior::NotDumpable),
        Err(error) => Found::error(format!("cannot ask the kernel whether we can be dumped: {error}")),
    }
}

fn judge(limits: &str, dumpable: bool) -> Found {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let Some(line) = line else { return Found::error("the kernel tells no limit of core files") };
    let limit: Vec<&str> = line.split_whitespace().take(2).collect();
    let mut proof = Proof::default();
    proof.holds(
        limit == ["0", "0"],
        format!("the daemon's core files are limited to {} bytes (soft/hard; RLIMIT_CORE)", limit.join("/")),
    );
    // A core pattern that is a pipe takes no notice of the limit.
    let can = if dumpable { "can" } else { "cannot" };
    proof.holds(
        !dumpable,
        format!("the daemon {can} be dumped or read by a process of its user (PR_GET_DUMPABLE)"),
    );
    proof.judge("a crash of the daemon writes no secret to a file")
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-011",
    at_work: || {
        async {
            let limits = |soft: &str, hard: &str| {
                format!("Limit   Soft Limit   Hard Limit   Units\nMax core file size        {soft}      {hard}     bytes\n")
            };
            // As the kernel has it of a process that nobody hardened: this one, unless where it runs has no cores.
            let own = fs::read_to_string("/proc/self/limits").expect("limits");
            Tried {
                sound: vec![judge(&limits("0", "0"), false)],
                broken: vec![
                    ("a core limit that is none", judge(&limits("unlimited", "unlimited"), false)),
                    ("a core limit that can be raised", judge(&limits("0", "unlimited"), false)),
                    ("a memory that can be dumped", judge(&limits("0", "0"), true)),
                    ("a process that nobody hardened", judge(&own, true)),
                ],
            }
        }
        .boxed()
    },
};
