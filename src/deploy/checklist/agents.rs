//! `agents`: every instance of every agent that should be up is ready, now.
use super::kind::{Around, Look};
use crate::{
    config::OptionProblem,
    domain::{AgentState, FleetSnapshot},
    readiness::{Evidence, Found},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// How many that are not ready are told one by one.
const MOST_TOLD: usize = 20;

/// Asks whether agents are ready.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "AgentsItemOptions")]
pub struct Options {
    /// Which; default all that are enabled.
    names: Vec<String>,
}

pub struct Agents(Vec<String>);

impl Look for Agents {
    const NAME: &'static str = "agents";
    const ABOUT: &'static str = "looks whether every instance of every enabled agent is ready";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        Ok(Self(options.names))
    }

    async fn look(&self, evidence: &Evidence, _: &Around) -> Found {
        let enabled = evidence.settings.agents.iter().filter(|agent| agent.enabled);
        let mut names: Vec<&str> = enabled.map(|agent| agent.name.as_str()).collect();
        if !self.0.is_empty() {
            names = self.0.iter().map(String::as_str).collect();
        }
        judge(evidence.fleet(), &names)
    }
}

fn judge(fleet: &FleetSnapshot, names: &[&str]) -> Found {
    let (mut ready, mut wrong) = (0_usize, Vec::new());
    for name in names {
        let Some(agent) = fleet.agent(name) else {
            wrong.push(format!("{} is not there", name.escape_debug()));
            continue;
        };
        let up = agent.instances.iter().filter(|instance| instance.state == AgentState::Ready).count();
        ready += up;
        let due = agent.replicas.max(1) as usize;
        if up < due {
            wrong.push(format!("{name} has {up} of {due} instances ready, and is {}", agent.state.as_str()));
        }
    }
    match wrong.first() {
        None if ready == 0 => Found::fail("no agent is enabled, so nothing would serve"),
        None => Found::pass(format!("{ready} instances of {} agents are ready", names.len())),
        Some(first) => {
            Found::fail(format!("{} of {} agents are not ready: {first}", wrong.len(), names.len()))
                .all_seen(wrong.into_iter().take(MOST_TOLD))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deploy::checklist::fixture::fleet, domain::Outcome};

    #[test]
    fn one_instance_that_is_not_ready_is_enough_to_object() {
        let all = fleet(&[
            ("orders", 2, &[AgentState::Ready, AgentState::Ready]),
            ("billing", 1, &[AgentState::Ready]),
        ]);
        let found = judge(&all, &["orders", "billing"]);
        assert_eq!(
            (found.outcome, found.summary.as_str()),
            (Outcome::Pass, "3 instances of 2 agents are ready")
        );
        let one = fleet(&[("orders", 2, &[AgentState::Ready, AgentState::Starting])]);
        for (names, told) in [
            (&["orders"][..], "orders has 1 of 2 instances ready"),
            (&["orders", "billing"], "billing is not there"),
            (&[], "no agent is enabled"),
        ] {
            let found = judge(&one, names);
            assert_eq!(found.outcome, Outcome::Fail, "{found:?}");
            assert!(format!("{} {:?}", found.summary, found.evidence).contains(told), "{told}: {found:?}");
        }
        let none = fleet(&[("orders", 1, &[])]);
        assert_eq!(judge(&none, &["orders"]).outcome, Outcome::Fail);
    }
}
