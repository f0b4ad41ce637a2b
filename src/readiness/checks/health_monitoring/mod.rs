//! Health monitoring: the monitor is shown targets that fail, stall, lie or are somebody else, and must say so; and
//! the real agents must be looked at, lately.
mod coverage;
mod deceit;
mod follow;
mod stage;

use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;
use serde_json::json;

pub const CHECKS: &[Check] = &[
    Check {
        id: "HM-001",
        title: "a target that fails is noticed within its threshold, and its recovery too",
        category: Category::HealthMonitoring,
        severity: Severity::Blocker,
        weight: 3,
        why: "monitoring that never changes its mind reports the day it was started",
        how: "a local server is healthy, then answers 500, then is healthy again; the probe must follow, not before its threshold and not long after",
        fix: "the monitor does not follow: `agentctl daemon logs`, then restart the daemon",
        exercised: true,
        quiet: false,
        run: |evidence| follow::down_and_up(&evidence.ground, stage::THRESHOLD).boxed(),
    },
    Check {
        id: "HM-002",
        title: "a target that stalls is cut off and delays no other",
        category: Category::HealthMonitoring,
        severity: Severity::Blocker,
        weight: 2,
        why: "one blocked health endpoint must not blind the fleet",
        how: "a local server takes requests and never answers, beside a healthy one: the first must fail at its deadline, without overlapping looks; the looks at the second must keep their pace",
        fix: "the monitor is held up: `agentctl daemon logs`; lower `deadline` of slow probes",
        exercised: true,
        quiet: false,
        run: |evidence| follow::past_a_stall(&evidence.ground, stage::DEADLINE).boxed(),
    },
    Check {
        id: "HM-003",
        title: "a 200 whose body says critical is not healthy",
        category: Category::HealthMonitoring,
        severity: Severity::Blocker,
        weight: 3,
        why: "services answer 200 while their database is down",
        how: "two local servers answer 200, one with `critical` in its body; the same probe must pass the one and fail the other",
        fix: "body assertions do not hold: `agentctl daemon logs`; give probes `expect.json`",
        exercised: true,
        quiet: false,
        run: |evidence| deceit::by_body(&evidence.ground, json!({ "$.status": "healthy" })).boxed(),
    },
    Check {
        id: "HM-004",
        title: "another process on an agent's port is not the agent",
        category: Category::HealthMonitoring,
        severity: Severity::Blocker,
        weight: 3,
        why: "when a port is taken over, a stranger's health is reported as the agent's",
        how: "a scratch agent listens nowhere while the daemon itself answers on its port; the probe must refuse it by name of the process. The same probe told to ignore identity must be fooled",
        fix: "do not set `identity = false`; `ss -ltnp` shows who holds a port",
        exercised: true,
        quiet: false,
        run: |evidence| deceit::by_stranger(&evidence.ground, true).boxed(),
    },
    Check {
        id: "HM-005",
        title: "every agent is looked at, and lately",
        category: Category::HealthMonitoring,
        severity: Severity::Blocker,
        weight: 3,
        why: "an agent without a readiness probe is ready by assertion, and an old result is a memory",
        how: "each enabled agent must have a readiness probe or answer over its own channel; each result must be younger than two of its intervals",
        fix: "give the agents named in the evidence a [[agent.probe]] with role = \"readiness\"",
        exercised: false,
        quiet: false,
        run: |evidence| coverage::of_all(evidence).boxed(),
    },
];
