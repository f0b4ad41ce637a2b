//! Health monitoring: the monitor is shown targets that fail, stall, lie or are somebody else, and must say so; and
//! the real agents must be looked at, lately.
use crate::{
    agents::Supervisor,
    domain::{AgentState, Category, Fault, ProbeRole, ProbeState, ProbeStatus, Severity},
    readiness::{
        Check, Evidence, Found, Ground, Proof, ScratchFleet,
        check::settle,
        faults::{FaultServer, Manner},
        proof::{poll, script_agent},
    },
};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_millis(60);
const DEADLINE: Duration = Duration::from_millis(250);
const THRESHOLD: u32 = 3;
/// A busy machine may be this late.
const SLACK: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(5);

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
        deadline: None,
        quiet: false,
        run: |evidence| flip(&evidence.ground, THRESHOLD).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| stall(&evidence.ground, DEADLINE).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| lie(&evidence.ground, json!({ "$.status": "healthy" })).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| stranger(&evidence.ground, true).boxed(),
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
        deadline: None,
        quiet: false,
        run: |evidence| coverage(evidence).boxed(),
    },
];

fn dependency(name: &str, server: &FaultServer, threshold: u32, expect: Value) -> Value {
    json!({
        "name": name,
        "kind": "http",
        "every": format!("{}ms", EVERY.as_millis()),
        "deadline": format!("{}ms", DEADLINE.as_millis()),
        "failure_threshold": threshold,
        "options": { "url": server.url(), "expect": expect },
    })
}

async fn watch(ground: &Ground, dependencies: Vec<Value>) -> Result<ScratchFleet, Fault> {
    ground.fleet(json!({ "dependency": dependencies }), true).await
}

async fn stands(
    fleet: &ScratchFleet,
    target: &str,
    state: ProbeState,
    deadline: Duration,
) -> Option<ProbeStatus> {
    poll(deadline, || fleet.probes().into_iter().find(|probe| probe.target == target && probe.state == state))
        .await
}

async fn server(manner: Manner) -> Result<FaultServer, Fault> {
    FaultServer::start(manner)
        .await
        .map_err(|error| Fault::internal(format!("cannot start a local server: {error}")))
}

/// `threshold` is what the probe has, 3 is what is expected of it; a test breaks it.
async fn flip(ground: &Ground, threshold: u32) -> Found {
    let exercise = async {
        let target = server(Manner::Healthy).await?;
        let fleet = watch(ground, vec![dependency("planted", &target, threshold, json!({}))]).await?;
        if stands(&fleet, "planted", ProbeState::Passing, PATIENCE).await.is_none() {
            return Ok(Found::fail("a healthy target was not found healthy").all_seen(told(&fleet)));
        }
        target.behave(Manner::Failing);
        let changed = Instant::now();
        let limit = (EVERY * 11 / 10 + DEADLINE) * THRESHOLD + SLACK;
        let failing = stands(&fleet, "planted", ProbeState::Failing, limit).await;
        let took = changed.elapsed();
        let looks = target.hits().iter().filter(|hit| **hit >= changed).count();
        target.behave(Manner::Healthy);
        let recovered = Instant::now();
        let passing = stands(&fleet, "planted", ProbeState::Passing, limit).await;
        let back = recovered.elapsed();
        let mut proof = Proof::default();
        proof.holds(
            failing.is_some(),
            format!(
                "{} after {:.0} ms and {looks} failing looks, at most {:.0} ms are allowed",
                if failing.is_some() { "failing" } else { "still not failing" },
                took.as_secs_f64() * 1e3,
                limit.as_secs_f64() * 1e3
            ),
        );
        proof.holds(
            looks >= THRESHOLD as usize,
            format!("{looks} looks were needed, the threshold is {THRESHOLD}"),
        );
        proof.holds(
            failing.is_some() && passing.is_some(),
            format!(
                "{} after {:.0} ms of health",
                if passing.is_some() { "passing again" } else { "not passing again" },
                back.as_secs_f64() * 1e3
            ),
        );
        fleet.finish().await;
        Ok(proof.judge("the probe followed its target down and up again").seen(shortened()))
    };
    settle(exercise.await)
}

/// `deadline` is what the stalled probe has, 250 ms is what is expected of it; a test breaks it.
async fn stall(ground: &Ground, deadline: Duration) -> Found {
    let exercise = async {
        let (silent, healthy) = (server(Manner::Silent).await?, server(Manner::Healthy).await?);
        let mut stalled = dependency("stalled", &silent, 1, json!({}));
        stalled["deadline"] = json!(format!("{}ms", deadline.as_millis()));
        let fleet = watch(ground, vec![stalled, dependency("healthy", &healthy, 1, json!({}))]).await?;
        let up = stands(&fleet, "healthy", ProbeState::Passing, PATIENCE).await.is_some();
        let cut = poll(DEADLINE * 4 + SLACK, || {
            fleet.probes().into_iter().find(|p| p.target == "stalled" && p.state == ProbeState::Failing)
        })
        .await;
        // Long enough for the looks at the healthy one to show whether they keep their pace.
        let enough = healthy.hits().len() + 6;
        let paced = poll(EVERY * 12 + SLACK, || (healthy.hits().len() >= enough).then_some(())).await;
        let hits = healthy.hits();
        let widest = hits.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let mut proof = Proof::default();
        let took = cut.as_ref().and_then(|probe| probe.last.as_ref()).map_or(f64::NAN, |last| last.took_ms);
        let bound = (DEADLINE + SLACK).as_secs_f64() * 1e3;
        proof.holds(
            took <= bound,
            format!(
                "the stalled look was given up after {took:.0} ms, its deadline is {} ms",
                DEADLINE.as_millis()
            ),
        );
        proof.holds(
            silent.most_open() <= 1,
            format!("{} looks at the stalled target were open at once", silent.most_open()),
        );
        proof.holds(up && paced.is_some(), format!("the healthy target was looked at {} times", hits.len()));
        proof.holds(
            widest <= EVERY * 11 / 10 + SLACK,
            format!(
                "the widest gap between its looks was {:.0} ms, its interval is {} ms",
                widest.as_secs_f64() * 1e3,
                EVERY.as_millis()
            ),
        );
        fleet.finish().await;
        Ok(proof.judge("the stalled target was cut off and held up nobody").seen(shortened()))
    };
    settle(exercise.await)
}

/// `assertion` is what the probe demands of the body; a test breaks it.
async fn lie(ground: &Ground, assertion: Value) -> Found {
    let exercise = async {
        let (honest, lying) = (server(Manner::Healthy).await?, server(Manner::Lying).await?);
        let expect = json!({ "status": 200, "json": assertion });
        let probes = vec![
            dependency("honest", &honest, THRESHOLD, expect.clone()),
            dependency("lying", &lying, THRESHOLD, expect),
        ];
        let fleet = watch(ground, probes).await?;
        let honest = stands(&fleet, "honest", ProbeState::Passing, PATIENCE).await;
        let limit = (EVERY * 11 / 10 + DEADLINE) * THRESHOLD + SLACK;
        let lying = stands(&fleet, "lying", ProbeState::Failing, limit).await;
        let mut proof = Proof::default();
        proof.holds(
            honest.is_some(),
            format!("200 with a healthy body {}", if honest.is_some() { "passes" } else { "does not pass" }),
        );
        let detail = lying.as_ref().and_then(|probe| probe.last.as_ref()).map(|last| last.detail.clone());
        proof.holds(
            lying.is_some(),
            match detail {
                Some(detail) => format!("200 with a critical body fails: {detail}"),
                None => "200 with a critical body is taken for health".into(),
            },
        );
        fleet.finish().await;
        Ok(proof.judge("the body decided, not the status").seen(shortened()))
    };
    settle(exercise.await)
}

/// `identity` is whether the guarded probe asks whose listener answers; a test breaks it.
async fn stranger(ground: &Ground, identity: bool) -> Found {
    let exercise = async {
        let impostor = server(Manner::Healthy).await?;
        let port = impostor.address.port();
        let agent = |name: &str, identity: bool| {
            let mut agent = script_agent(name, "service", "exec sleep 600");
            agent["probe"] = json!([{
                "name": "ready",
                "role": "readiness",
                "kind": "tcp",
                "every": format!("{}ms", EVERY.as_millis()),
                "deadline": format!("{}ms", DEADLINE.as_millis()),
                "options": { "port": port, "identity": identity },
            }]);
            agent
        };
        let agents = [agent("guarded", identity), agent("fooled", false)];
        let fleet = ground.fleet(json!({ "agent": agents }), true).await?;
        let fooled = fleet.instance("fooled", PATIENCE, |_, now| now.state == AgentState::Ready).await;
        // It must have been looked at, and refused for what it is.
        let refused = poll(SLACK * 2, || {
            let probe = fleet.probes().into_iter().find(|probe| probe.target == "guarded/0")?;
            probe.last.filter(|last| !last.ok)
        })
        .await;
        let ready = fleet
            .supervisor()
            .snapshot()
            .agent("guarded")
            .is_some_and(|agent| agent.state == AgentState::Ready);
        let mut proof = Proof::default();
        proof.holds(
            fooled.is_some(),
            format!(
                "without the identity check port {port} {}",
                if fooled.is_some() {
                    "passes: the listener really answers"
                } else {
                    "does not pass: nothing is proved"
                }
            ),
        );
        let named =
            refused.as_ref().is_some_and(|last| last.detail.contains(&std::process::id().to_string()));
        proof.holds(
            named,
            match &refused {
                Some(last) => format!("with it the probe fails: {}", last.detail),
                None => "with it the stranger on the port is taken for the agent".into(),
            },
        );
        proof.holds(
            !ready,
            format!("the agent is {}", if ready { "ready, on a stranger's answer" } else { "not ready" }),
        );
        fleet.finish().await;
        Ok(proof.judge("the stranger was told from the agent").seen(shortened()))
    };
    settle(exercise.await)
}

async fn coverage(evidence: &Evidence) -> Found {
    let probes = evidence.probes();
    let now = evidence.clock.now();
    let mut looks = Vec::new();
    for agent in evidence.settings.agents.iter().filter(|agent| agent.enabled) {
        let asked = Supervisor::probes_of(agent).iter().any(|probe| probe.role == ProbeRole::Readiness);
        let own_channel = agent.kind == "process" && agent.options.get("ping") != Some(&Value::Bool(false));
        let Some(status) = evidence.fleet().agent(agent.name.as_str()) else { continue };
        for instance in status.instances.iter().filter(|instance| instance.state.is_up()) {
            let id = instance.id.to_string();
            let mine = probes.iter().filter(|probe| probe.target == id && probe.role == ProbeRole::Readiness);
            looks.push(Look {
                covered: asked || own_channel,
                stale: mine.filter_map(|probe| staleness(probe, now, instance.started_at)).collect(),
                id,
            });
        }
    }
    judge_coverage(&looks)
}

struct Look {
    id: String,
    covered: bool,
    /// Probes whose last result is too old or missing, with how old.
    stale: Vec<String>,
}

/// None if it is fresh, blocked, or had no time yet.
fn staleness(probe: &ProbeStatus, now: Timestamp, started: Option<Timestamp>) -> Option<String> {
    if probe.state == ProbeState::Blocked {
        return None;
    }
    let allowed = probe.every_s * 2.2 + 10.0;
    let since = probe.last.as_ref().map(|last| last.at).or(started)?;
    let age = now.duration_since(since).as_secs_f64();
    (age > allowed).then(|| match probe.last {
        Some(_) => {
            format!("{}: its result is {age:.0} s old, it is due every {} s", probe.name, probe.every_s)
        }
        None => format!("{}: no result in {age:.0} s", probe.name),
    })
}

fn judge_coverage(looks: &[Look]) -> Found {
    if looks.is_empty() {
        return Found::error("no agent is up, so there was nothing to look at");
    }
    let uncovered: Vec<_> = looks
        .iter()
        .filter(|look| !look.covered)
        .map(|look| format!("{}: no readiness probe", look.id))
        .collect();
    let stale: Vec<_> =
        looks.iter().flat_map(|look| look.stale.iter().map(|what| format!("{}: {what}", look.id))).collect();
    let found = match (uncovered.first(), stale.first()) {
        (None, None) => {
            Found::pass(format!("all {} instances have a readiness probe with a fresh result", looks.len()))
        }
        _ => Found::fail(format!(
            "{} of {} instances have no readiness probe, {} results are stale",
            uncovered.len(),
            looks.len(),
            stale.len()
        )),
    };
    found
        .seen(format!("{} instances that are up (source: the monitor's snapshot)", looks.len()))
        .all_seen(uncovered.into_iter().chain(stale).take(30))
}

fn told(fleet: &ScratchFleet) -> Vec<String> {
    let line = |probe: ProbeStatus| {
        let detail = probe.last.map_or_else(|| "no result".into(), |last| last.detail);
        format!("{}: {:?}: {detail}", probe.target, probe.state)
    };
    fleet.probes().into_iter().map(line).collect()
}

fn shortened() -> String {
    format!(
        "scratch interval {} ms and deadline {} ms, shortened for the proof",
        EVERY.as_millis(),
        DEADLINE.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Outcome, ProbeResult},
        resilience::Clock,
    };
    use tempfile::TempDir;

    fn ground() -> (TempDir, Ground) {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        (base, ground)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn following_is_proved_and_a_probe_that_never_or_too_soon_changes_its_mind_is_found() {
        let (_base, ground) = ground();
        for (threshold, outcome) in [(THRESHOLD, Outcome::Pass), (1000, Outcome::Fail), (1, Outcome::Fail)] {
            let found = flip(&ground, threshold).await;
            assert_eq!(found.outcome, outcome, "{threshold}: {found:?}");
        }
        assert!(ground.close(PATIENCE * 4).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cut_is_proved_and_a_deadline_that_does_not_cut_is_found() {
        let (_base, ground) = ground();
        let found = stall(&ground, DEADLINE).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let broken = stall(&ground, Duration::from_secs(60)).await;
        assert_eq!(broken.outcome, Outcome::Fail, "{broken:?}");
        assert!(ground.close(PATIENCE * 4).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lie_is_caught_and_a_probe_that_reads_no_body_is_found() {
        let (_base, ground) = ground();
        let found = lie(&ground, json!({ "$.status": "healthy" })).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let broken = lie(&ground, json!({})).await;
        assert_eq!(broken.outcome, Outcome::Fail, "{broken:?}");
        assert!(ground.close(PATIENCE * 4).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stranger_is_caught_and_a_probe_that_asks_no_identity_is_found() {
        let (_base, ground) = ground();
        let found = stranger(&ground, true).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let broken = stranger(&ground, false).await;
        assert_eq!(broken.outcome, Outcome::Fail, "{broken:?}");
        assert!(ground.close(PATIENCE * 4).await);
    }

    #[test]
    fn an_agent_nobody_looks_at_and_an_old_result_are_found() {
        let look = |covered, stale: &[&str]| Look {
            id: "orders/0".into(),
            covered,
            stale: stale.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(judge_coverage(&[look(true, &[])]).outcome, Outcome::Pass);
        assert_eq!(judge_coverage(&[look(true, &[]), look(false, &[])]).outcome, Outcome::Fail);
        assert_eq!(judge_coverage(&[look(true, &["ready: old"])]).outcome, Outcome::Fail);
        assert_eq!(judge_coverage(&[]).outcome, Outcome::Error);

        let at = |second| Timestamp::from_second(second).expect("a time");
        let probe = |last: Option<i64>| ProbeStatus {
            target: "orders/0".into(),
            name: "ready".into(),
            kind: "tcp".into(),
            role: ProbeRole::Readiness,
            state: ProbeState::Passing,
            last: last.map(|s| ProbeResult { at: at(s), ok: true, took_ms: 1.0, detail: String::new() }),
            streak: 1,
            since: None,
            every_s: 30.0,
            blocked_by: None,
        };
        assert_eq!(staleness(&probe(Some(1000)), at(1060), None), None);
        assert!(staleness(&probe(Some(1000)), at(1100), None).is_some());
        assert!(staleness(&probe(None), at(1100), Some(at(1000))).is_some(), "never looked at");
        assert_eq!(staleness(&probe(None), at(1010), Some(at(1000))), None, "it had no time yet");
    }
}
