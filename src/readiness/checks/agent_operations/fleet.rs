//! The real fleet against its manifest: is every instance ready, and is it who it is said to be?
#[cfg(test)]
use crate::readiness::{
    Ground,
    checks::{Saboteur, tried},
    scratch_fleet::script_agent,
};
use crate::{
    config::AgentSettings,
    domain::{Admission, AgentState, FleetSnapshot},
    readiness::{Evidence, Found, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;

/// So many problems are told one by one.
const TOLD: usize = 30;

pub async fn ready(evidence: &Evidence) -> Found {
    let found = compared(&evidence.settings.agents, evidence.fleet(), &evidence.supervisor.admission());
    evidence.supervisor.candidates().iter().fold(found, |found, candidate| {
        let of = candidate.release.map(|release| format!(" of {release}")).unwrap_or_default();
        found.seen(format!("a rollout is under way: {}{of}, which is not counted", candidate.id))
    })
}

fn compared(agents: &[AgentSettings], fleet: &FleetSnapshot, admission: &Admission) -> Found {
    let mut seen = Seen::default();
    for agent in agents.iter().filter(|agent| agent.enabled) {
        let Some(status) = fleet.agent(agent.name.as_str()) else {
            seen.wanted += agent.replicas;
            seen.object(agent.name.as_str(), "not known to the supervisor".into());
            continue;
        };
        // Scaled by hand overrides the manifest; both are said where they differ.
        seen.wanted += status.replicas;
        if status.replicas != agent.replicas {
            let text = format!("scaled by hand to {}, the manifest says {}", status.replicas, agent.replicas);
            seen.object(agent.name.as_str(), text);
        }
        if status.instances.len() != status.replicas as usize {
            let text = format!("{} instances, want {}", status.instances.len(), status.replicas);
            seen.object(agent.name.as_str(), text);
        }
        for instance in &status.instances {
            let id = instance.id.to_string();
            if instance.state == AgentState::Ready {
                seen.ready += 1;
                seen.identify(&id, instance.pid);
            } else {
                let why = instance.reason.as_deref().unwrap_or("no reason given");
                seen.object(&id, format!("{}: {why}", instance.state.as_str()));
            }
        }
    }
    seen.judge(admission)
}

#[derive(Default)]
struct Seen {
    wanted: u32,
    ready: u32,
    /// Of those that are ready, the processes that carry their own name.
    identified: u32,
    /// The kernel does not let us look into them.
    hidden: u32,
    /// Of whom, and what.
    problems: Vec<(String, String)>,
}

impl Seen {
    fn object(&mut self, who: &str, what: String) {
        self.problems.push((who.to_owned(), what));
    }

    /// Asked of the kernel, not of the supervisor whose word is in question.
    fn identify(&mut self, id: &str, pid: Option<i32>) {
        let Some(pid) = pid else { return };
        match survivors::instance(pid) {
            Ok(name) if name.as_deref() == Some(id) => self.identified += 1,
            Ok(Some(other)) => self.object(id, format!("pid {pid} is {}", other.escape_debug())),
            Ok(None) => self.object(id, format!("pid {pid} is none of our processes")),
            Err(_) if survivors::alive(pid) => self.hidden += 1,
            Err(_) => self.object(id, format!("pid {pid} is gone")),
        }
    }

    fn judge(self, admission: &Admission) -> Found {
        let counted = format!("{} of {} instances are ready", self.ready, self.wanted);
        let found = if matches!(admission, Admission::Closed(_)) {
            Found::fail("the agent system is switched off: nothing runs")
        } else if self.wanted == 0 {
            Found::fail("the manifest enables no agent: there is no fleet to ship")
        } else if self.problems.is_empty() && self.ready == self.wanted && self.hidden > 0 {
            Found::warn(format!("{counted}, but {} of their processes may not be looked into", self.hidden))
        } else if let (Admission::Limited(limited), true) =
            (admission, self.problems.is_empty() && self.ready == self.wanted)
        {
            Found::warn(format!("{counted}, but the fleet is {limited}"))
        } else if self.problems.is_empty() && self.ready == self.wanted {
            Found::pass(counted.clone())
        } else {
            let first = self
                .problems
                .first()
                .map_or("the counts differ".into(), |(who, what)| format!("{who}: {what}"));
            Found::fail(format!("{counted}; {first}"))
        };
        let found = found
            .seen(format!("{counted} (source: the supervisor's snapshot against the manifest)"))
            .seen(format!(
                "processes that carry the name of their instance: {}; that may not be looked into: {} (source: /proc/*/environ)",
                self.identified, self.hidden
            ));
        let more = self.problems.len().saturating_sub(TOLD);
        let told = self.problems.iter().take(TOLD).map(|(who, what)| format!("{who}: {what}"));
        let found = found.all_seen(told);
        // All of them are named: a waiver must not speak for what it was not shown.
        let found = self
            .problems
            .iter()
            .fold(found, |found, (who, what)| found.about(format!("agent/{who}"), what.clone()));
        if more > 0 { found.seen(format!("and {more} more")) } else { found }
    }
}

/// What is changed in a sound snapshot and its manifest before they are compared.
#[cfg(test)]
type Change = fn(&mut Vec<AgentSettings>, &mut FleetSnapshot, &mut Admission);

#[cfg(test)]
async fn after(ground: &Ground, change: Change) -> Found {
    use serde_json::json;
    let agents = ["orders", "billing"].map(|name| script_agent(name, "process", super::ANSWERS));
    let fleet = ground.fleet(json!({ "agent": agents }), false).await.expect("a fleet");
    let both = |fleet: &FleetSnapshot| {
        fleet.agents.iter().all(|agent| agent.state == AgentState::Ready).then(|| fleet.clone())
    };
    let mut snapshot = fleet.until(super::PATIENCE, both).await.expect("both are ready");
    let (mut manifest, mut admission) = (fleet.settings().agents.clone(), Admission::Open);
    change(&mut manifest, &mut snapshot, &mut admission);
    let found = compared(&manifest, &snapshot, &admission);
    fleet.finish().await;
    found
}

/// Changes the first agent of a snapshot.
#[cfg(test)]
fn first(fleet: &mut FleetSnapshot, change: impl FnOnce(&mut crate::domain::AgentStatus)) {
    let mut agents: Vec<_> = fleet.agents.to_vec();
    change(std::sync::Arc::make_mut(&mut agents[0]));
    fleet.agents = agents.into();
}

#[cfg(test)]
fn limited() -> Admission {
    let by = crate::domain::Principal::user(0);
    let (at, reason, clients) = (jiff::Timestamp::UNIX_EPOCH, "OPS-17".into(), vec![by.clone()]);
    Admission::Limited(crate::domain::Limited { at, by, reason, clients })
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-001",
    at_work: || {
        let broken: [(_, Change); 8] = [
            ("an instance that is not ready", |_, fleet, _| {
                first(fleet, |agent| agent.instances[0].state = AgentState::BackingOff);
            }),
            ("an instance that is missing", |_, fleet, _| first(fleet, |agent| agent.instances.clear())),
            ("a process that is somebody else's", |_, fleet, _| {
                let pid = i32::try_from(std::process::id()).ok();
                first(fleet, |agent| agent.instances[0].pid = pid);
            }),
            ("the process of another instance", |_, fleet, _| {
                let pid = fleet.agents[1].instances[0].pid;
                first(fleet, |agent| agent.instances[0].pid = pid);
            }),
            ("an agent that nobody started", |manifest, _, _| {
                let mut third = manifest[0].clone();
                third.name = "third".parse().expect("a name");
                manifest.push(third);
            }),
            ("a scale by hand", |_, fleet, _| first(fleet, |agent| agent.replicas = 2)),
            ("a system that is switched off", |_, _, admission| *admission = Admission::Closed(None)),
            ("a system that works for a few", |_, _, admission| *admission = limited()),
        ];
        tried(after, (|_, _, _| {}) as Change, broken).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn counts_that_differ_and_an_empty_fleet_are_no_pass() {
        let judge = |wanted, ready, admission: &Admission| {
            Seen { wanted, ready, ..Seen::default() }.judge(admission).outcome
        };
        assert_eq!(judge(2, 2, &Admission::Open), Outcome::Pass);
        assert_eq!(judge(224, 111, &Admission::Open), Outcome::Fail);
        assert_eq!(judge(0, 0, &Admission::Open), Outcome::Fail, "an empty fleet is no pass");
        assert_eq!(judge(2, 2, &Admission::Closed(None)), Outcome::Fail);
        assert_eq!(judge(2, 2, &limited()), Outcome::Warn, "it does not work for everybody");
        assert_eq!(judge(2, 1, &limited()), Outcome::Fail);
        let hidden = Seen { wanted: 2, ready: 2, hidden: 1, ..Seen::default() };
        assert_eq!(hidden.judge(&Admission::Open).outcome, Outcome::Warn, "who it is was not seen");
    }
}
