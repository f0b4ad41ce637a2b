//! Is it up? Every agent that the configuration wants, of the release that it should be, ready, its probes passing; and
//! still so a little later.
use super::{
    MIGRATE_UP,
    hands::{Hands, course, way_back},
};
use crate::{
    config::Settings,
    domain::{AgentState, AgentStatus, Fault, FaultKind, ProbeState, ProbeStatus, ReleaseId},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// It must be well for so long without a break: who comes up only to fall over is not up.
pub const STEADY: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// Beyond what the slowest agent may take twice over.
pub const MARGIN: Duration = Duration::from_secs(30);

pub struct Verify(pub Arc<Hands>);

impl Step for Verify {
    fn name(&self) -> &'static str {
        super::VERIFY
    }

    fn title(&self) -> &'static str {
        super::title(super::VERIFY)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            runs(&self.0, course(at)?.to, at).await?;
            let fleet = self.0.supervisor.snapshot();
            Ok(json!({ "agents": fleet.agents.len(), "instances": fleet.instances().count() }))
        })
    }

    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { way_back(at, at.left(MIGRATE_UP).is_some()) })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }
}

/// Until the fleet stands as it should, or it is plain that it will not.
pub async fn runs(hands: &Hands, release: Option<ReleaseId>, at: &Site) -> Result<(), Fault> {
    let settings = hands.settings.borrow().clone();
    let slowest = settings.agents.iter().map(|agent| agent.start_timeout.0).max().unwrap_or_default();
    let end = Instant::now() + slowest * 2 + MARGIN;
    let mut well_since: Option<Instant> = None;
    loop {
        let fleet = hands.supervisor.snapshot();
        let standing = judge(&settings, &fleet.agents, &hands.monitor.snapshot(), release);
        match standing {
            Standing::Well => {
                let since = *well_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= STEADY {
                    return Ok(());
                }
                at.note("all of it is ready, and must stay so");
            }
            Standing::Lost(why) => return Err(failed(&why)),
            Standing::Coming(why) if Instant::now() >= end => return Err(failed(&why)),
            Standing::Coming(why) => {
                at.note(&why);
                well_since = None;
            }
        }
        sleep(LOOK).await;
    }
}

fn failed(why: &str) -> Fault {
    Fault::new(FaultKind::Unavailable, format!("cannot call it up: {why}"))
        .hint("`agentctl agent logs NAME` shows its last words")
}

#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    Well,
    /// Not yet, and who keeps it waiting.
    Coming(String),
    /// It will not, without somebody's help.
    Lost(String),
}

/// Pure: what the fleet and its probes amount to.
pub fn judge(
    settings: &Settings,
    agents: &[Arc<AgentStatus>],
    probes: &[ProbeStatus],
    release: Option<ReleaseId>,
) -> Standing {
    let mut waits = None;
    for wanted in settings.agents.iter().filter(|agent| agent.enabled) {
        let name = &wanted.name;
        let Some(agent) = agents.iter().find(|agent| agent.name == *name) else {
            waits.get_or_insert_with(|| format!("{name} is not known yet"));
            continue;
        };
        if agent.instances.len() != agent.replicas as usize {
            waits.get_or_insert_with(|| {
                format!("{name} has {} of {} instances", agent.instances.len(), agent.replicas)
            });
        }
        for instance in &agent.instances {
            let (id, state) = (&instance.id, instance.state);
            let why = instance.reason.as_deref().unwrap_or("no reason given");
            if matches!(state, AgentState::Failed | AgentState::CrashLooping) {
                return Standing::Lost(format!("{id} is {}: {why}", state.as_str()));
            }
            if state != AgentState::Ready {
                waits.get_or_insert_with(|| format!("{id} is {}", state.as_str()));
            } else if wanted.artifact.is_some() && release.is_some() && instance.release != release {
                let runs = instance.release.map_or_else(|| "none".into(), |runs| runs.to_string());
                waits.get_or_insert_with(|| format!("{id} runs the code of release {runs}"));
            }
        }
    }
    let failing = probes.iter().find(|probe| probe.state != ProbeState::Passing);
    if let Some(probe) = failing {
        let detail = probe.last.as_ref().map_or("not asked yet", |last| last.detail.as_str());
        waits.get_or_insert_with(|| {
            format!("probe {} of {} does not pass: {detail}", probe.name, probe.target)
        });
    }
    waits.map_or(Standing::Well, Standing::Coming)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn settings() -> Settings {
        serde_json::from_value(json!({ "agent": [
            { "name": "orders", "kind": "process", "artifact": "code", "options": {} },
            { "name": "billing", "kind": "process", "options": {} },
            { "name": "asleep", "kind": "process", "enabled": false, "options": {} },
        ] }))
        .expect("settings")
    }

    fn agent(name: &str, more: Value) -> Arc<AgentStatus> {
        let mut instance = json!({
            "id": format!("{name}/0"), "state": "ready", "generation": 1, "restarts": 0, "separation": "own-user",
        });
        for (key, value) in more.as_object().expect("a table") {
            instance[key] = value.clone();
        }
        let agent = json!({
            "name": name, "kind": "process", "tier": "default", "state": "ready", "replicas": 1, "instances": [instance],
        });
        Arc::new(serde_json::from_value(agent).expect("an agent"))
    }

    fn judged(orders: Value, probe: ProbeState) -> Standing {
        let agents = [agent("orders", orders), agent("billing", json!({}))];
        let probe = json!({
            "target": "orders/0", "name": "up", "kind": "tcp", "role": "readiness", "state": probe, "streak": 1,
            "every_s": 1.0,
        });
        let probes = [serde_json::from_value(probe).expect("a probe")];
        judge(&settings(), &agents, &probes, Some(ReleaseId(2)))
    }

    #[test]
    fn up_is_ready_of_the_right_release_and_with_probes_that_pass() {
        let right = json!({ "release": "r-2" });
        assert_eq!(judged(right.clone(), ProbeState::Passing), Standing::Well);
        for state in [ProbeState::Failing, ProbeState::Unknown, ProbeState::Blocked] {
            assert!(matches!(judged(right.clone(), state), Standing::Coming(_)), "{state:?}");
        }
        for coming in [
            json!({}),
            json!({ "release": "r-1" }),
            json!({ "release": "r-2", "state": "starting" }),
            json!({ "release": "r-2", "state": "disabled" }),
            json!({ "release": "r-2", "state": "degraded" }),
            json!({ "release": "r-2", "state": "backing-off" }),
        ] {
            assert!(matches!(judged(coming.clone(), ProbeState::Passing), Standing::Coming(_)), "{coming}");
        }
        for lost in ["failed", "crash-looping"] {
            let standing =
                judged(json!({ "release": "r-2", "state": lost, "reason": "exit 1" }), ProbeState::Passing);
            assert!(matches!(&standing, Standing::Lost(why) if why.contains("exit 1")), "{standing:?}");
        }
        assert!(matches!(
            judge(&settings(), &[agent("orders", right)], &[], Some(ReleaseId(2))),
            Standing::Coming(_)
        ));
        assert_eq!(judge(&Settings::default(), &[], &[], None), Standing::Well, "nothing is wanted");
    }
}
