//! Performance: the figures that the documents promise, measured on this machine, now, with nothing else of the
//! validation running. Each is a median or a percentile of several with its spread; no samples are no pass, and what
//! straddles its limit is unmeasured.
mod canary;
mod daemon;
mod figure;
mod fleet;
mod queries;
mod status;

#[cfg(test)]
use super::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;
use std::{future::ready, io};

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
        run: |evidence| queries::timed(&evidence.store, queries::TEN).boxed(),
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
        run: |evidence| queries::timed(&evidence.store, queries::FIVE_AT_ONCE).boxed(),
    },
    Check {
        id: "PF-003",
        title: "each agent answers a ping within 2 s at the 95th percentile",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent that answers slowly when idle answers not at all under load",
        how: "every process agent is pinged five times, and each is judged by its own answers; a ping to none is no sample, one without an answer counts as 2 s",
        fix: "`agentctl agent logs NAME` of the slowest named in the evidence",
        exercised: true,
        quiet: true,
        run: |evidence| canary::of_all(evidence).boxed(),
    },
    Check {
        id: "PF-004",
        title: "the daemon's resident memory is under 100 MB",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 1,
        why: "supervision must leave the machine to the agents",
        how: "resident pages of the daemon's own process, five times; the median counts",
        fix: "restart the daemon and watch `agentctl status`; report it if it grows",
        exercised: false,
        quiet: true,
        run: |_| daemon::memory(std::process::id()).boxed(),
    },
    Check {
        id: "PF-005",
        title: "the daemon uses less than 10 % of a core",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 1,
        why: "supervision must leave the machine to the agents",
        how: "processor time of the daemon's own process over five windows of 200 ms while no check runs; the median counts",
        fix: "probe less often: raise `every` of the probes",
        exercised: false,
        quiet: true,
        run: |_| daemon::processor(std::process::id()).boxed(),
    },
    Check {
        id: "PF-006",
        title: "the daemon's last start took less than 5 s",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 1,
        why: "while the daemon starts nobody restarts an agent that ends",
        how: "from before it read its configuration until its sockets were served, by the daemon's own monotonic clock; a start that nobody timed is unmeasured",
        fix: "`agentctl daemon logs` has the times of its steps; a migration or a slow disk is the usual cause",
        exercised: false,
        quiet: true,
        run: |evidence| ready(daemon::last_start(evidence.started)).boxed(),
    },
    Check {
        id: "PF-007",
        title: "status takes less than 100 ms at the 95th percentile",
        category: Category::Performance,
        severity: Severity::Blocker,
        weight: 1,
        why: "in an incident it is the first thing that is asked for",
        how: "two hundred requests to the daemon's own socket, each over a new connection and through the same door as an operator's; each answer must be a status",
        fix: "`agentctl daemon logs`; a full disk or a machine without free processor time is the usual cause",
        exercised: true,
        quiet: true,
        run: |evidence| status::asked(&evidence.paths.socket).boxed(),
    },
    Check {
        id: "PF-008",
        title: "the agents hold less memory than their limits",
        category: Category::Performance,
        severity: Severity::Major,
        weight: 1,
        why: "the kernel limits each process; an agent of many processes can outgrow its limit all the same",
        how: "memory of every process of each instance that has a limit, from /proc, five times; the median of each against its limit and of all against the sum",
        fix: "raise `limits.memory` of the agents named, or find what they keep: `agentctl agent logs NAME`",
        exercised: false,
        quiet: true,
        run: |evidence| fleet::within_limits(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    queries::SABOTEUR_OF_TEN,
    queries::SABOTEUR_OF_FIVE,
    canary::SABOTEUR,
    daemon::HOARDER,
    daemon::SPINNER,
    daemon::LATE_STARTER,
    status::SABOTEUR,
    fleet::SABOTEUR,
];

/// Resident bytes of this process.
pub fn resident() -> io::Result<u64> {
    daemon::resident(std::process::id())
}
