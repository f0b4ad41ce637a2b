//! Agent operations: the real fleet runs as the manifest says, and the supervisor's controls are exercised on real
//! children of a scratch fleet.
mod adoption;
mod canary;
mod fleet;
mod flood;
mod history;
mod limits;
mod logs;
mod order;
mod rehearsed;
mod restart;
mod start;
mod stop;
mod triggers;

use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;
use std::time::Duration;

/// How long a scratch agent may take to come up, be restarted or settle. Nothing is proved by this wait, so a busy
/// machine may have it all.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a scratch agent of kind `process` does that answers every request.
const ANSWERS: &str = r#"while IFS= read -r line; do id=${line#*'"id":'}; id=${id%%,*};
    printf '{"jsonrpc":"2.0","id":%s,"result":"pong"}\n' "$id"; done"#;

pub const CHECKS: &[Check] = &[
    Check {
        id: "AO-001",
        title: "every enabled agent is ready and itself, and there are as many as the manifest says",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 3,
        why: "a fleet that claims 224 agents and runs 111 is not the fleet that was approved",
        how: "the supervisor's instances are counted against the manifest, each must be ready, and its process must carry its name in its environment",
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
        run: |evidence| canary::answers(evidence).boxed(),
    },
    Check {
        id: "AO-003",
        title: "a killed agent is restarted, and one that must not be is not",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 3,
        why: "restarting is what supervision is for",
        how: "two scratch agents are killed with SIGKILL: on-failure must come back as a new process and not before its backoff, never must stay down",
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
        how: "a scratch agent ignores TERM and forks twice into a session of its own; after stop no process with its mark may live. A polite one must have had time to write its farewell. Once in cgroups and once without",
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
        how: "a scratch agent prints 16 MiB, half of them in one line; the daemon's resident memory may grow by an eighth of that, its log must rotate at 1 MiB and stay within its files and bytes, and its last line must be there",
        fix: "lower daemon.log.agent_max_size and agent_keep; `agentctl daemon logs`",
        exercised: true,
        quiet: true,
        run: |evidence| flood::bounded(&evidence.ground, flood::BOUNDS).boxed(),
    },
    Check {
        id: "AO-007",
        title: "an agent starts once what it needs is ready",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent that is started before its dependency fails, is restarted, and may be latched for it",
        how: "of two scratch agents one needs the other, which takes 300 ms to become ready and stands behind it in the manifest; by its own word and by the events it must be started after that",
        fix: "the supervisor does not keep the order: `agentctl daemon logs`, then restart the daemon",
        exercised: true,
        quiet: false,
        run: |evidence| order::kept(&evidence.ground, &["base"]).boxed(),
    },
    Check {
        id: "AO-008",
        title: "agents have not been restarted in the last hour",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "a fleet that is ready now and was not ten minutes ago will not be in ten minutes",
        how: "the store's events of the last hour: an end that was followed by a start, of whatever cause but a stop by hand; one or two of an instance are a warning, three or a latch fail",
        fix: "`agentctl agent logs NAME` of those named in the evidence; an hour without a restart settles it",
        exercised: false,
        quiet: false,
        run: |evidence| history::calm(evidence).boxed(),
    },
    Check {
        id: "AO-009",
        title: "logs rotate and lose no line",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 1,
        why: "the line that is missing is the one that explains the incident",
        how: "a scratch agent prints 15,000 numbered lines past its log's size of 256 KiB; over all files every line must be there once, whole, in order, and no file may pass its bound",
        fix: "look at the room and the rights in the log directory: `agentctl doctor`",
        exercised: true,
        quiet: false,
        run: |evidence| logs::rotated(&evidence.ground, (logs::SIZE, logs::KEEP)).boxed(),
    },
    Check {
        id: "AO-010",
        title: "a start that hangs is ended at its timeout",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 1,
        why: "an agent that is starting for ever is down, and nobody is told",
        how: "a scratch agent that never answers has 300 ms to become ready; within 4 s more it must have failed as start timeout and its process be gone",
        fix: "the supervisor does not heed start_timeout: `agentctl daemon logs`, then restart the daemon",
        exercised: true,
        quiet: false,
        run: |evidence| start::cut(&evidence.ground, start::LIMIT_MS).boxed(),
    },
    Check {
        id: "AO-011",
        title: "a port that is held is named with its holder, and taken once it is free",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 1,
        why: "two agents on one port look like one that is well",
        how: "the daemon itself listens on a port that a scratch agent wants: nothing may be started, the reason must name port and pid; once it lets go the agent must be started",
        fix: "/proc/net/tcp cannot be read, or not /proc/PID/fd: `agentctl doctor`",
        exercised: true,
        quiet: false,
        run: |evidence| start::preflight(&evidence.ground, true).boxed(),
    },
    Check {
        id: "AO-012",
        title: "an agent's limits are the kernel's, and what is beyond is refused",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "a limit that is only written down ends with the machine out of memory",
        how: "a scratch agent is limited to 64 MiB and 64 open files: /proc/PID/limits must say so, and 256 MiB at once must be refused to it",
        fix: "`agentctl doctor` shows what the machine allows; run agentd outside of what forbids setrlimit",
        exercised: true,
        quiet: false,
        run: |evidence| limits::applied(&evidence.ground, (limits::MEMORY, limits::OPEN_FILES)).boxed(),
    },
    Check {
        id: "AO-013",
        title: "living agents are taken over by the next daemon",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "a crash of the daemon must not be a crash of the fleet, nor run it twice",
        how: "a scratch supervisor goes without a goodbye and another is launched over its store: the agent must keep its pid, be shown as adopted, and answer over the channel that stayed",
        fix: "the state directory or its FIFOs were changed: `agentctl doctor`, then restart the agents",
        exercised: true,
        quiet: false,
        run: |evidence| adoption::taken_over(&evidence.ground, ANSWERS).boxed(),
    },
    Check {
        id: "AO-014",
        title: "the last rehearsal of a return passed and is fresh",
        category: Category::AgentOperations,
        severity: Severity::Major,
        weight: 2,
        why: "a release that was good in spring need not start on the database of autumn, and the night it is needed is late to learn that",
        how: "the record of rehearsals, for what a rollback would return to now: the last must have passed with every agent and be no older than max_age of [rehearsal]; none, an old one or one that left agents out is a warning, one that failed fails",
        fix: "`agentctl rollback rehearse`; `agentctl rollback rehearsals` says what came of the last",
        exercised: false,
        quiet: false,
        run: |evidence| rehearsed::fresh(evidence).boxed(),
    },
    Check {
        id: "AO-015",
        title: "the declared triggers would fire, and on nothing else",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "a trigger that cannot fire is a rollback that everybody counts on and nobody gets",
        how: "for each [[trigger]], with its times shortened, what it waits for is recorded in a scratch store and judged by the code that judges what runs: it must fire; it must not on what is healthy, and must call it unmeasured where nothing was recorded. One that is stopped, or pauses, is a warning",
        fix: "`agentctl rollback triggers` shows how each stands; `agentctl rollback triggers reset NAME` and `resume` let them act again",
        exercised: true,
        quiet: false,
        run: |evidence| triggers::act(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[super::Saboteur] = &[
    fleet::SABOTEUR,
    canary::SABOTEUR,
    restart::SABOTEUR_OF_RESTARTED,
    restart::SABOTEUR_OF_LATCHED,
    stop::SABOTEUR,
    flood::SABOTEUR,
    order::SABOTEUR,
    history::SABOTEUR,
    logs::SABOTEUR,
    start::SABOTEUR_OF_CUT,
    start::SABOTEUR_OF_PREFLIGHT,
    limits::SABOTEUR,
    adoption::SABOTEUR,
    rehearsed::SABOTEUR,
    triggers::SABOTEUR,
];
