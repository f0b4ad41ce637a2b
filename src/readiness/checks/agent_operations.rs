//! Agent operations: the real fleet runs as the manifest says, and the supervisor's controls are exercised on real
//! children of a scratch fleet.
use crate::{
    agents::LogQuery,
    domain::{AgentState, Category, Fault, FaultKind, Severity},
    readiness::{
        Check, Evidence, Found, Ground, Proof,
        check::settle,
        proof::{poll, script_agent},
        survivors,
    },
};
use futures_util::{FutureExt, future::join_all};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tokio::time::Instant;

/// How long a scratch agent may take to come up, be restarted or settle on a busy machine.
const PATIENCE: Duration = Duration::from_secs(6);
/// Where the log of the flooding agent rotates.
const FLOOD_LOG: u64 = 1 << 20;
/// How much the daemon may grow under the flood.
const FLOOD_GROWTH: u64 = 12 << 20;
const CANARY: Duration = Duration::from_secs(2);

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
        deadline: None,
        quiet: false,
        run: |evidence| fleet_ready(evidence).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| canary(evidence).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| restart(&evidence.ground, "on-failure").boxed(),
    },
    Check {
        id: "AO-004",
        title: "a crash loop is latched, and a clean end is not",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent that can never start must not burn the machine for ever",
        how: "a scratch agent that always fails must be latched after three failures and not be started again; one that ends well must not be latched",
        fix: "the restart policy does not latch: `agentctl daemon logs`, then restart the daemon",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| crash_loop(&evidence.ground, "3 in 30s").boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| stop(&evidence.ground).boxed(),
    },
    Check {
        id: "AO-006",
        title: "an agent that floods its output costs bounded memory and disk",
        category: Category::AgentOperations,
        severity: Severity::Blocker,
        weight: 2,
        why: "one chatty agent must not take the daemon, or the disk, with it",
        how: "a scratch agent prints 16 MiB; the daemon's resident memory may grow by 12 MiB, its log must rotate and stay within its bound, and its last line must be there",
        fix: "lower daemon.log.agent_max_size and agent_keep; `agentctl daemon logs`",
        exercised: true,
        deadline: None,
        quiet: true,
        run: |evidence| flood(&evidence.ground, FLOOD_LOG, FLOOD_GROWTH).boxed(),
    },
];

async fn fleet_ready(evidence: &Evidence) -> Found {
    let fleet = evidence.fleet();
    let mut wanted = 0;
    let mut problems = Vec::new();
    let mut ready = 0;
    for agent in evidence.settings.agents.iter().filter(|agent| agent.enabled) {
        let Some(status) = fleet.agent(agent.name.as_str()) else {
            wanted += agent.replicas;
            problems.push(format!("{}: not known to the supervisor", agent.name));
            continue;
        };
        // Scaled by hand overrides the manifest; both are said where they differ.
        wanted += status.replicas;
        if status.replicas != agent.replicas {
            problems.push(format!(
                "{}: scaled by hand to {}, the manifest says {}",
                agent.name, status.replicas, agent.replicas
            ));
        }
        if status.instances.len() != status.replicas as usize {
            problems.push(format!(
                "{}: {} instances, want {}",
                agent.name,
                status.instances.len(),
                status.replicas
            ));
        }
        for instance in &status.instances {
            if instance.state == AgentState::Ready {
                ready += 1;
            } else {
                let why = instance.reason.as_deref().unwrap_or("no reason given");
                problems.push(format!("{}: {}: {why}", instance.id, instance.state.as_str()));
            }
        }
    }
    let system_off = evidence.settings.agent_system == crate::config::AgentSystem::Off;
    judge_fleet(wanted, ready, &problems, system_off)
}

fn judge_fleet(wanted: u32, ready: u32, problems: &[String], system_off: bool) -> Found {
    let counted = format!("{ready} of {wanted} instances are ready");
    let found = if system_off {
        Found::fail("the agent system is switched off: nothing runs")
    } else if wanted == 0 {
        Found::fail("the manifest enables no agent: there is no fleet to ship")
    } else if problems.is_empty() && ready == wanted {
        Found::pass(counted.clone())
    } else {
        let first = problems.first().map_or("the counts differ", String::as_str);
        Found::fail(format!("{counted}; {first}"))
    };
    let more = problems.len().saturating_sub(30);
    let found = found.seen(format!("{counted} (source: the supervisor's snapshot against the manifest)"));
    let found = found.all_seen(problems.iter().take(30).cloned());
    if more > 0 { found.seen(format!("and {more} more")) } else { found }
}

async fn canary(evidence: &Evidence) -> Found {
    let instances = evidence.canaries();
    let Some(first) = instances.first() else {
        return if evidence.expects_canaries() {
            Found::fail("no process agent is up")
        } else {
            Found::not_applicable("the fleet has no process agent that takes a ping")
        };
    };
    let mut stranger = first.clone();
    stranger.index = u32::MAX;
    let refused = evidence.supervisor.request(&stranger, "ping", Value::Null, CANARY).await;
    let asked = join_all(instances.iter().map(|id| async move {
        let started = Instant::now();
        let answer = evidence.supervisor.request(id, "ping", json!({}), CANARY).await;
        // An error is an answer: the agent reads its channel and speaks the protocol.
        let answered = match &answer {
            Ok(_) => true,
            Err(fault) => fault.kind == FaultKind::Refused,
        };
        let said = answer.err().map_or_else(|| "pong".into(), |fault| fault.to_string());
        (id.to_string(), answered, started.elapsed(), said)
    }))
    .await;
    let mut proof = Proof::default();
    proof.holds(
        refused.is_err(),
        format!(
            "{stranger}, which does not exist, {}",
            if refused.is_err() { "was refused" } else { "answered" }
        ),
    );
    for (id, answered, took, said) in &asked {
        proof.holds(*answered, format!("{id}: {said} after {:.1} ms", took.as_secs_f64() * 1e3));
    }
    proof.judge(format!("{} process instances answered", asked.len()))
}

/// `policy` is what the agent that should come back has; a test breaks it.
async fn restart(ground: &Ground, policy: &str) -> Found {
    let exercise = async {
        let mut phoenix = script_agent("phoenix", "service", "exec sleep 600");
        phoenix["restart"] = json!({ "policy": policy, "backoff": "20ms..100ms", "latch": "5 in 30s" });
        let mut mortal = script_agent("mortal", "service", "exec sleep 600");
        mortal["restart"] = json!({ "policy": "never" });
        let fleet = ground.fleet(json!({ "agent": [phoenix, mortal] }), false).await?;
        let up = |name: &'static str| {
            fleet.instance(name, PATIENCE, |_, instance| instance.pid.is_some_and(survivors::alive))
        };
        let (Some(phoenix), Some(mortal)) = (up("phoenix").await, up("mortal").await) else {
            return Ok(Found::error("the scratch agents did not come up"));
        };
        let killed_at = Instant::now();
        for pid in [phoenix.pid, mortal.pid].into_iter().flatten() {
            survivors::kill(pid);
        }
        let back = fleet
            .instance("phoenix", Duration::from_secs(2), |_, now| {
                now.pid.is_some_and(|pid| Some(pid) != phoenix.pid && survivors::alive(pid))
            })
            .await;
        let took = killed_at.elapsed();
        let down =
            fleet.instance("mortal", PATIENCE, |_, now| !now.state.is_up() && now.state.is_settled()).await;
        let mut proof = Proof::default();
        match &back {
            Some(now) => proof.holds(
                true,
                format!(
                    "on-failure: pid {} was killed, pid {} runs {:.0} ms later (backoff 20 ms)",
                    phoenix.pid.unwrap_or(0),
                    now.pid.unwrap_or(0),
                    took.as_secs_f64() * 1e3
                ),
            ),
            None => proof.holds(false, "on-failure: the killed agent was not restarted within 2 s"),
        };
        proof.holds(back.as_ref().is_some_and(|now| now.restarts >= 1), "its restart is counted");
        match &down {
            Some(now) => {
                proof.holds(now.restarts == 0, format!("never: the killed agent is {}", now.state.as_str()))
            }
            None => proof.holds(false, "never: the killed agent did not stay down"),
        };
        fleet.finish().await;
        Ok(proof.judge("the killed agent came back as a new process, the other stayed down"))
    };
    settle(exercise.await)
}

/// `latch` is what the failing agent has; a test breaks it. Three failures are expected.
async fn crash_loop(ground: &Ground, latch: &str) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let tally = plot.path().join("starts");
        let script = format!("echo start >> '{}'; exit 1", tally.display());
        let mut looping = script_agent("looping", "service", &script);
        looping["restart"] = json!({ "policy": "on-failure", "backoff": "10ms..20ms", "latch": latch });
        let mut clean = script_agent("clean", "service", "exit 0");
        clean["restart"] = json!({ "policy": "on-failure", "backoff": "10ms..20ms", "latch": latch });
        let fleet = ground.fleet(json!({ "agent": [looping, clean] }), false).await?;
        let latched = fleet
            .instance("looping", Duration::from_secs(4), |_, now| now.state == AgentState::CrashLooping)
            .await;
        let starts = || fs::read_to_string(&tally).map_or(0, |text| text.lines().count());
        let at_latch = starts();
        // Many times its longest backoff: whoever starts it again does so now.
        let again = poll(Duration::from_millis(300), || (starts() > at_latch).then(starts)).await;
        let clean = fleet.instance("clean", PATIENCE, |_, now| now.state.is_settled()).await;
        let mut proof = Proof::default();
        match &latched {
            Some(now) => proof.holds(
                true,
                format!(
                    "latched after {at_latch} starts: {}",
                    now.reason.as_deref().unwrap_or("no reason given")
                ),
            ),
            None => proof.holds(false, format!("not latched after {at_latch} starts in 4 s")),
        };
        proof.holds((1..=4).contains(&at_latch), format!("{at_latch} starts, 3 failures are allowed"));
        proof.holds(
            again.is_none(),
            format!(
                "{} starts in the 300 ms after (longest backoff 20 ms)",
                again.unwrap_or(at_latch) - at_latch
            ),
        );
        let state = clean.as_ref().map_or("not settled", |now| now.state.as_str());
        proof.holds(state == AgentState::Stopped.as_str(), format!("the agent that ended well is {state}"));
        fleet.finish().await;
        Ok(proof.judge("the failing agent was latched and left alone, the one that ended well was not"))
    };
    settle(exercise.await)
}

async fn stop(ground: &Ground) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let farewell = plot.path().join("farewell");
        let stubborn = "trap '' TERM HUP INT; \
            (setsid /bin/sh -c \"trap '' TERM HUP INT; while :; do sleep 0.2; done\" </dev/null >/dev/null 2>&1 &) & \
            while :; do sleep 0.2; done";
        let polite = format!(
            "trap 'echo well > \"{}\"; exit 0' TERM; while :; do sleep 0.02; done",
            farewell.display()
        );
        let mut polite = script_agent("polite", "service", &polite);
        polite["stop_timeout"] = json!("3s");
        let fleet = ground
            .fleet(json!({ "agent": [script_agent("stubborn", "service", stubborn), polite] }), false)
            .await?;
        let mark = fleet.mark().to_owned();
        // The main shell, its sleep, the shell in another session and its sleep, and the polite two.
        let family = poll(PATIENCE, || {
            let pids = survivors::marked(&mark).ok()?;
            let apart = pids.iter().filter(|pid| survivors::leads_session(**pid)).count();
            (pids.len() >= 4 && apart >= 1).then_some(pids)
        })
        .await;
        let Some(family) = family else {
            return Ok(Found::error(
                "the scratch agent did not fork into a session of its own: is setsid installed?",
            ));
        };
        let started = Instant::now();
        let names: Vec<_> =
            fleet.supervisor().snapshot().agents.iter().map(|agent| agent.name.clone()).collect();
        let stopped = fleet.supervisor().stop(&names).await;
        let took = started.elapsed();
        let left = survivors::marked(&mark)
            .map_err(|error| Fault::internal(format!("cannot read /proc: {error}")))?;
        let mut proof = Proof::default();
        proof.holds(
            stopped.is_ok(),
            match &stopped {
                Ok(()) => format!(
                    "stop ended after {:.0} ms (stop_timeout 400 ms and 3 s)",
                    took.as_secs_f64() * 1e3
                ),
                Err(fault) => fault.to_string(),
            },
        );
        judge_survivors(&mut proof, family.len(), left.len(), farewell.exists());
        fleet.finish().await;
        Ok(proof.judge(format!(
            "all {} processes are gone, a double fork that ignores TERM included",
            family.len()
        )))
    };
    settle(exercise.await)
}

fn judge_survivors(proof: &mut Proof, before: usize, left: usize, farewell: bool) {
    proof.holds(
        left == 0,
        format!("{left} of {before} processes with the scratch mark survive (source: /proc/*/environ)"),
    );
    proof.holds(
        farewell,
        format!(
            "the polite agent {} its farewell before it ended",
            if farewell { "wrote" } else { "could not write" }
        ),
    );
}

/// `max_size` is where its log rotates and `growth` how much the daemon may grow; a test breaks the one and lifts the other.
async fn flood(ground: &Ground, max_size: u64, growth: u64) -> Found {
    const FLOOD: u64 = 16 << 20;
    const KEEP: u64 = 2;
    let exercise = async {
        let script =
            format!("yes 0123456789abcdef0123456789abcdef | head -c {FLOOD}; echo; echo the-last-line");
        let mut chatty = script_agent("chatty", "service", &script);
        chatty["restart"] = json!({ "policy": "never" });
        let log = json!({ "agent_max_size": format!("{max_size}B"), "agent_keep": KEEP });
        let before = super::performance::resident().unwrap_or(0);
        let fleet = ground.fleet(json!({ "daemon": { "log": log }, "agent": [chatty] }), false).await?;
        let started = Instant::now();
        let mut peak = before;
        let query = LogQuery { instance: "chatty/0".parse().map_err(Fault::internal)?, lines: 5 };
        let drained = poll(Duration::from_secs(8), || {
            peak = peak.max(super::performance::resident().unwrap_or(0));
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
        let bound = (KEEP + 2) * FLOOD_LOG;
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
    use crate::{domain::Outcome, resilience::Clock};
    use tempfile::TempDir;

    fn ground() -> (TempDir, Ground) {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        (base, ground)
    }

    async fn cleared(ground: &Ground, base: &TempDir) {
        assert!(ground.close(Duration::from_secs(20)).await, "scratch copies are left");
        assert!(!base.path().join("scratch").exists(), "files are left");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restart_is_proved_and_a_policy_that_does_not_restart_is_found() {
        let (base, ground) = ground();
        let found = restart(&ground, "on-failure").await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let broken = restart(&ground, "never").await;
        assert_eq!(broken.outcome, Outcome::Fail, "{broken:?}");
        cleared(&ground, &base).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_latch_is_proved_and_one_that_never_latches_is_found() {
        let (base, ground) = ground();
        let found = crash_loop(&ground, "3 in 30s").await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let broken = crash_loop(&ground, "1000000 in 1s").await;
        assert_eq!(broken.outcome, Outcome::Fail, "{broken:?}");
        cleared(&ground, &base).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_verified_stop_is_proved() {
        let (base, ground) = ground();
        let found = stop(&ground).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        cleared(&ground, &base).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_bounded_and_a_log_that_does_not_rotate_is_found() {
        let (base, ground) = ground();
        // Other tests run in this process and grow it too: what is tight here is the log.
        let found = flood(&ground, FLOOD_LOG, 1 << 30).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let broken = flood(&ground, 1 << 30, 1 << 30).await;
        assert_eq!(broken.outcome, Outcome::Fail, "{broken:?}");
        cleared(&ground, &base).await;
    }

    #[test]
    fn survivors_and_rudeness_are_found() {
        for (left, farewell, outcome) in
            [(0, true, Outcome::Pass), (1, true, Outcome::Fail), (0, false, Outcome::Fail)]
        {
            let mut proof = Proof::default();
            judge_survivors(&mut proof, 6, left, farewell);
            assert_eq!(proof.judge("well").outcome, outcome);
        }
    }

    #[test]
    fn a_fleet_that_is_not_what_the_manifest_says_is_found() {
        let problem = vec!["orders/1: failed: import error".to_owned()];
        assert_eq!(judge_fleet(2, 2, &[], false).outcome, Outcome::Pass);
        assert_eq!(judge_fleet(224, 111, &[], false).outcome, Outcome::Fail);
        assert_eq!(judge_fleet(2, 1, &problem, false).outcome, Outcome::Fail);
        assert_eq!(judge_fleet(2, 2, &problem, false).outcome, Outcome::Fail);
        assert_eq!(judge_fleet(0, 0, &[], false).outcome, Outcome::Fail, "an empty fleet is no pass");
        assert_eq!(judge_fleet(2, 2, &[], true).outcome, Outcome::Fail);
    }
}
