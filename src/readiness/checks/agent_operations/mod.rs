//! Agent operations: the real fleet runs as the manifest says, and the supervisor's controls are exercised on real
//! children of a scratch fleet.
mod fleet;
mod flood;
mod restart;
mod stop;

use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;
use std::time::Duration;

/// How long a scratch agent may take to come up, be restarted or settle. Nothing is proved by this wait, so a busy
/// machine may have it all.
const PATIENCE: Duration = Duration::from_secs(12);

pub const CHECKS: &[Check] = &[
    Check {
        id: "AO-001",
        title: "every enabled agent is ready, and there are as many as the manifest says",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 3,
        why: "a fleet that claims 224 agents and runs 111 is not the fleet that was approved",
        how: "the supervisor's instances are counted against the manifest, each must be ready",
        fix: "`agentctl status` names the agents that are not well; `agentctl agent show NAME` says why",
        exercised: false,
        quiet: false,
        run: |evidence| fleet::ready(evidence).boxed(),
    },
    Check {
        id: "AO-002",
        title: "every process agent answers a request",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "a process can live and take no work",
        how: "each instance of kind process is sent a ping over its own channel; an instance that does not exist must be refused",
        fix: "`agentctl agent logs NAME` shows what it said last; `agentctl agent restart NAME` starts it afresh",
        exercised: true,
        quiet: false,
        run: |evidence| fleet::answers(evidence).boxed(),
    },
    Check {
        id: "AO-003",
        title: "a killed agent is restarted, and one that must not be is not",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 3,
        why: "restarting is what supervision is for",
        how: "two scratch agents are killed with SIGKILL: on-failure must come back as a new process, never must stay down",
        fix: "the supervisor does not restart as told: `agentctl daemon logs`, then restart the daemon",
        exercised: true,
        quiet: false,
        run: |evidence| restart::restarted(&evidence.ground, "on-failure").boxed(),
    },
    Check {
        id: "AO-004",
        title: "a crash loop is latched, and a clean end is not",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent that can never start must not burn the machine for ever",
        how: "a scratch agent that always fails must be latched after three failures and not be started again while another with the same backoff is; one that ends well must not be latched",
        fix: "the restart policy does not latch: `agentctl daemon logs`, then restart the daemon",
        exercised: true,
        quiet: false,
        run: |evidence| restart::latched(&evidence.ground, "3 in 30s").boxed(),
    },
    Check {
        id: "AO-005",
        title: "a stop leaves no survivor, and lets a polite agent finish",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 3,
        why: "a survivor keeps its port, its memory and its spending",
        how: "a scratch agent ignores TERM and forks twice into a session of its own; after stop no process with its mark may live. A polite one must have had time to write its farewell",
        fix: "something on this machine keeps processes alive: `agentctl doctor` shows cgroups and limits",
        exercised: true,
        quiet: false,
        run: |evidence| stop::verified(&evidence.ground, stop::by_supervisor).boxed(),
    },
    Check {
        id: "AO-006",
        title: "an agent that floods its output costs bounded memory and disk",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "one chatty agent must not take the daemon, or the disk, with it",
        how: "a scratch agent prints 8 MiB; the daemon's resident memory may grow by 6 MiB, its log must rotate and stay within its bound, and its last line must be there",
        fix: "lower daemon.log.agent_max_size and agent_keep; `agentctl daemon logs`",
        exercised: true,
        quiet: true,
        run: |evidence| flood::bounded(&evidence.ground, flood::LOG, flood::GROWTH).boxed(),
    },
];
