//! What a declared check may look at besides the machine: the day it judges for, and the fleet.
use crate::{
    config::AgentSettings,
    domain::{FleetSnapshot, InstanceId, InstanceStatus},
    health::{Eye, Miss, Target},
    readiness::{Evidence, Found},
    resilience::{Failing, Failure},
};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};

/// How many instances of one agent are asked at once.
const AT_ONCE: usize = 8;
/// How many instances are told of one by one.
const MOST_TOLD: usize = 20;

pub struct Scene<'a> {
    /// The id of the check.
    pub check: &'a str,
    pub judged_at: Timestamp,
    pub fleet: &'a FleetSnapshot,
    pub agents: &'a [AgentSettings],
    /// What the last look that failed said of whose fault that is.
    pub said: Mutex<Option<Failing>>,
}

impl<'a> Scene<'a> {
    pub fn of(check: &'a str, evidence: &'a Evidence) -> Self {
        Self {
            check,
            judged_at: evidence.judged_at,
            fleet: evidence.fleet(),
            agents: &evidence.settings.agents,
            said: Mutex::default(),
        }
    }

    /// For a check that is about no agent.
    pub fn without_agents(check: &'a str, judged_at: Timestamp, fleet: &'a FleetSnapshot) -> Self {
        Self { check, judged_at, fleet, agents: &[], said: Mutex::default() }
    }

    /// The instances of an agent that are up. One of them at least, or what that amounts to.
    pub fn instances(&self, agent: &str) -> Result<Vec<&'a InstanceStatus>, Found> {
        let Some(status) = self.fleet.agent(agent) else {
            return Err(Found::error(format!("there is no agent `{}` to look at", agent.escape_debug())));
        };
        let up: Vec<_> = status.instances.iter().filter(|instance| instance.state.is_up()).collect();
        if up.is_empty() {
            return Err(Found::fail(format!("no instance of {} is up", status.name)));
        }
        Ok(up)
    }

    /// Looks where the options say, or at every instance of the agent: all must be as wanted.
    pub async fn see(&self, eye: &Eye, agent: Option<&str>) -> Found {
        let Some(agent) = agent else {
            let seen = eye.see(&Target::local(self.check, None)).await;
            if let Err(miss) = &seen {
                self.hear(miss);
            }
            return found(seen);
        };
        let instances = match self.instances(agent) {
            Ok(instances) => instances,
            Err(found) => return found,
        };
        let settings = self.agents.iter().find(|settings| settings.name.as_str() == agent);
        let base: Option<Arc<str>> =
            settings.and_then(|settings| settings.options.get("url")?.as_str()).map(Arc::from);
        let mut looks = Vec::new();
        for instance in instances {
            let mut target = Target::instance(instance.id.clone(), instance.port, instance.pid);
            target.base.clone_from(&base);
            looks.push(one(eye, instance.id.clone(), target));
        }
        let seen: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        // What is wrong weighs more than what could not be seen.
        let wrong = seen.iter().find(|(_, seen)| matches!(seen, Err(Miss::Wrong(_) | Miss::Answered { .. })));
        let worst = match wrong.or_else(|| seen.iter().find(|(_, seen)| seen.is_err())) {
            Some((id, Err(miss))) => {
                self.hear(miss);
                match miss {
                    Miss::Blind(why) => Found::error(format!("{id}: {why}")),
                    miss => Found::fail(format!("{id}: {miss}")),
                }
            }
            _ => Found::pass(format!("as wanted of {} instances of {agent}", seen.len())),
        };
        worst.all_seen(seen.iter().take(MOST_TOLD).map(|(id, seen)| match seen {
            Ok(seen) => format!("{id}: {seen}"),
            Err(why) => format!("{id}: {why}"),
        }))
    }
}

impl Scene<'_> {
    fn hear(&self, miss: &Miss) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(miss.failing());
    }
}

/// Named, since a closure's future cannot be sent between threads here.
async fn one(eye: &Eye, id: InstanceId, target: Target) -> (InstanceId, Result<String, Miss>) {
    (id, eye.see(&target).await)
}

/// What one look amounts to.
pub fn found(seen: Result<String, Miss>) -> Found {
    match seen {
        Ok(seen) => Found::pass(seen),
        Err(Miss::Wrong(why) | Miss::Answered { told: why, .. }) => Found::fail(why),
        Err(Miss::Blind(why)) => Found::error(why),
    }
}

/// A look on a machine with this fleet, in the tests of the kinds.
#[cfg(test)]
pub async fn tried(kind: &str, options: serde_json::Value, fleet: &FleetSnapshot) -> Found {
    let check =
        super::kind::compile(kind, &options).unwrap_or_else(|problems| panic!("{options}: {problems:?}"));
    let scene =
        Scene { check: "APP-1", judged_at: Timestamp::now(), fleet, agents: &[], said: Mutex::default() };
    check.ask(&scene).await
}

/// What is wrong with these options, by place.
#[cfg(test)]
pub fn refused(kind: &str, options: serde_json::Value) -> Vec<String> {
    let problems = super::kind::compile(kind, &options).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.pointer).collect()
}
