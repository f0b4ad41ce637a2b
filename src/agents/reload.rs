//! A reload: everything that can be refused is refused before anything is touched, and then each agent is changed whole
//! or left as it was.
use super::{
    ApplyReport, Supervisor,
    actor::{Order, Then},
    apply::{self, Change},
    plan::{self, Plan},
    supervisor::PATIENCE,
    users,
};
use crate::{
    config::Settings,
    domain::{AgentName, Fault, FaultKind},
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::timeout;

/// Agents that could not be brought to their new settings, and why.
type Stuck = BTreeMap<AgentName, Fault>;

impl Supervisor {
    /// Brings the fleet to new settings, restarting only what changed. A fault either changed nothing, or names the
    /// agents that are still as they were, under supervision as before; the same reload then tries those again.
    pub async fn apply(&self, settings: Arc<Settings>) -> Result<ApplyReport, Fault> {
        let _turn = self.turn().await?;
        let shared = &self.0.shared;
        let names: Vec<AgentName> = settings.agents.iter().map(|agent| agent.name.clone()).collect();
        let kept = shared.store.kept_of_agents().await?;
        let uids = users::granted(&shared.store, kept.uids, &names, shared.clock.now()).await?;
        let plans = plan::plans(&settings, &uids, self.switched_off().is_none())?;
        let desires: BTreeMap<_, _> = kept.desires.into_iter().collect();
        let old = self.roster().plans();
        let report = apply::diff(&old, &plans);
        shared.bound_starts(settings.daemon.start_concurrency);

        let mut stuck = Stuck::new();
        let removals = report.removed.iter().map(|name| async move { (name, self.retire(name, 0).await) });
        for (name, ended) in join_all(removals).await {
            match ended {
                Ok(()) => self.roster().remove(name),
                Err(fault) => drop(stuck.insert(name.clone(), fault)),
            }
        }
        let mut fresh = Vec::new();
        for plan in plans {
            if !self.roster().agents.contains_key(plan.name()) {
                fresh.push(plan);
            } else if let Err(fault) = self.renew(&plan).await {
                stuck.insert(plan.name().clone(), fault);
            }
        }
        {
            let mut roster = self.roster();
            let left = stuck.keys().filter(|name| !names.contains(name)).cloned();
            roster.order = names.iter().cloned().chain(left).collect();
            roster.settings = settings.clone();
        }
        self.populate(fresh, desires, BTreeMap::new());
        for name in report.updated.iter().chain(&report.restarted) {
            if !stuck.contains_key(name)
                && let Err(fault) = self.resize(name).await
            {
                stuck.insert(name.clone(), fault);
            }
        }
        shared.board.needs.keep(|name| {
            names.iter().any(|agent| agent.as_str() == name)
                || stuck.keys().any(|agent| agent.as_str() == name)
                || settings.dependencies.iter().any(|dependency| dependency.name == name)
        });
        if stuck.is_empty() { Ok(report) } else { Err(halfway(&stuck)) }
    }

    /// Gives an agent its new plan: a place in the box of every instance first, so that all of them get it or none.
    async fn renew(&self, plan: &Arc<Plan>) -> Result<(), Fault> {
        let (handles, then, change) = {
            let mut roster = self.roster();
            let Some(agent) = roster.agents.get_mut(plan.name()) else { return Ok(()) };
            let change = apply::change(&agent.plan, plan);
            let then = match (agent.plan.enabled, plan.enabled) {
                (true, false) => Then::Disable,
                (false, true) if !agent.desire.stopped => Then::Wake,
                _ if change == Change::Restart => Then::Restart,
                _ => Then::Nothing,
            };
            (agent.instances.clone(), then, change)
        };
        let mut places = Vec::new();
        if change != Change::None {
            for handle in &handles {
                match timeout(PATIENCE, handle.orders.reserve()).await {
                    Ok(Ok(place)) => places.push(place),
                    Ok(Err(_)) => {} // an actor that is gone needs no plan
                    Err(_) => {
                        let message =
                            format!("cannot reach an instance of {}: too many orders wait", plan.name());
                        return Err(Fault::new(FaultKind::Busy, message));
                    }
                }
            }
        }
        if let Some(agent) = self.roster().agents.get_mut(plan.name()) {
            agent.plan = plan.clone();
        }
        for place in places {
            place.send(Order::Plan(plan.clone(), then));
        }
        Ok(())
    }
}

fn halfway(stuck: &Stuck) -> Fault {
    let kind = stuck.values().next().map_or(FaultKind::Internal, |fault| fault.kind);
    let each: Vec<String> = stuck.iter().map(|(name, fault)| format!("{name} ({})", fault.message)).collect();
    Fault::new(
        kind,
        format!(
            "cannot finish the reload: still as before: {}; every other agent is renewed",
            each.join(", ")
        ),
    )
    .hint("`agentctl status` shows them; `agentctl config reload` tries them again")
}
