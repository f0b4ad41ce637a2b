//! What the settings ask of health: each agent's probes and each dependency's, compiled once.
use super::probe::{Ask, Seen, compile};
use crate::{
    agents::Supervisor,
    config::{DependencySettings, ProbeSettings, Settings},
    domain::{AgentName, ProbeRole},
    health::{Miss, Target, judge::Thresholds},
    resilience::{Policies, Policy},
};
use futures_util::future::BoxFuture;
use std::{collections::BTreeMap, sync::Arc};

/// One probe, ready to be asked. Shared by all replicas of its agent.
pub struct Planned {
    pub settings: ProbeSettings,
    pub probe: Arc<dyn Ask>,
    /// What guards it. Agents have none: whether to restart one is judged by its probe alone, which must not be kept
    /// from asking it.
    pub policy: Option<Policy>,
}

#[derive(Default)]
pub struct AgentPlan {
    pub probes: Vec<Arc<Planned>>,
    /// Where an agent that runs elsewhere answers.
    pub base: Option<Arc<str>>,
}

#[derive(Default)]
pub struct Plan {
    pub agents: BTreeMap<AgentName, AgentPlan>,
    pub dependencies: BTreeMap<Arc<str>, Arc<Planned>>,
}

impl Plan {
    /// What has not changed since `before` stays the very same probe, with what it has learnt.
    pub fn new(settings: &Settings, before: &Self, policies: &Policies) -> Self {
        let agents = settings.agents.iter().filter(|agent| agent.enabled).map(|agent| {
            let old = before.agents.get(&agent.name).map_or(&[][..], |plan| &plan.probes);
            let keep = |wanted: ProbeSettings| match old.iter().find(|planned| planned.settings == wanted) {
                Some(planned) => Arc::clone(planned),
                None => Arc::new(Planned::new(wanted)),
            };
            let base = agent.options.get("url").and_then(|url| url.as_str()).map(Arc::from);
            let probes = Supervisor::probes_of(agent).into_iter().map(keep).collect();
            (agent.name.clone(), AgentPlan { probes, base })
        });
        let dependencies = settings.dependencies.iter().map(|dependency| {
            let name: Arc<str> = dependency.name.as_str().into();
            let wanted = of_dependency(dependency);
            let planned = match before.dependencies.get(&name) {
                Some(planned) if planned.settings == wanted => Arc::clone(planned),
                _ => Arc::new(Planned { policy: policies.get(&name), ..Planned::new(wanted) }),
            };
            (name, planned)
        });
        Self { agents: agents.collect(), dependencies: dependencies.collect() }
    }
}

impl Planned {
    pub fn new(settings: ProbeSettings) -> Self {
        let probe = compile(&settings.kind, &settings.options).unwrap_or_else(|problems| {
            let first = problems.first().map_or(String::new(), |p| format!(": {} {}", p.pointer, p.message));
            Arc::new(Broken(format!("the probe is misconfigured{first}")))
        });
        Self { settings, probe, policy: None }
    }

    pub fn thresholds(&self) -> Thresholds {
        Thresholds { failures: self.settings.failure_threshold, successes: self.settings.success_threshold }
    }
}

/// Stands in for options that were never verified: fails, since nothing was seen.
struct Broken(String);

impl Ask for Broken {
    fn ask<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(async { Err(Miss::blind(&self.0)) })
    }
}

fn of_dependency(dependency: &DependencySettings) -> ProbeSettings {
    ProbeSettings {
        name: dependency.name.clone(),
        role: ProbeRole::Readiness,
        kind: dependency.kind.clone(),
        every: dependency.every,
        deadline: dependency.deadline,
        failure_threshold: dependency.failure_threshold,
        success_threshold: dependency.success_threshold,
        options: dependency.options.clone(),
    }
}
