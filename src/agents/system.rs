//! The whole fleet off and on again by the switch; and whether anything of it is alive.
use super::{
    Supervisor,
    actor::{Handle, Order, Then},
    cgroup::CgroupTree,
    plan::Plan,
    procfs,
    supervisor::deliver,
    switch::Thrown,
};
use crate::{
    config::AgentSystem,
    domain::{Admission, Fault, Limited, SwitchedOff},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::Instant};

impl Supervisor {
    /// None while the switch is on; the file may say off nevertheless.
    pub fn switched_off(&self) -> Option<SwitchedOff> {
        self.0.shared.switch.thrown().off
    }

    /// None while it works for everybody who may ask.
    pub fn limited(&self) -> Option<Limited> {
        self.0.shared.switch.thrown().limited
    }

    /// Who may ask for work now: what the switch and the manifest amount to.
    pub fn admission(&self) -> Admission {
        let on = self.roster().settings.agent_system == AgentSystem::On;
        let Thrown { off, limited } = self.0.shared.switch.thrown();
        Admission::of(on, off, limited)
    }

    /// From here on nothing is started, whoever asks; then every agent is stopped in reverse order, and killed at the
    /// deadline. Off already, it stops what is left.
    pub async fn switch_off(&self, off: SwitchedOff, deadline: Duration) -> Result<(), Fault> {
        let turn = self.turn().await?;
        if self.switched_off().is_none() {
            self.throw(Thrown { off: Some(off), limited: self.limited() }).await?;
        }
        let disabled = self.disable();
        drop(turn); // the stops may take long, and need not hold up others
        self.stop_in_order(Instant::now() + deadline).await;
        for (plan, handles) in disabled {
            for handle in handles {
                deliver(&handle, Order::Plan(plan.clone(), Then::Disable)).await?;
            }
        }
        Ok(())
    }

    /// Every agent may run again that the manifest wants and nobody stopped by hand. Returns before they are ready. A
    /// limit that was there before it was off is there again.
    pub async fn switch_on(&self) -> Result<(), Fault> {
        if self.switched_off().is_some() {
            let turn = self.turn().await?;
            self.throw(Thrown { off: None, limited: self.limited() }).await?;
            drop(turn);
        }
        self.apply_again().await
    }

    /// The same, for everybody: a limit is lifted.
    pub async fn open(&self) -> Result<(), Fault> {
        let turn = self.turn().await?;
        self.throw(Thrown::default()).await?;
        drop(turn);
        self.apply_again().await
    }

    /// The fleet runs, for these alone. One that was off is on again.
    pub async fn limit(&self, limited: Limited) -> Result<(), Fault> {
        let turn = self.turn().await?;
        self.throw(Thrown { off: None, limited: Some(limited) }).await?;
        drop(turn);
        self.apply_again().await
    }

    async fn apply_again(&self) -> Result<(), Fault> {
        let settings = self.roster().settings.clone();
        self.apply(settings).await.map(drop)
    }

    /// Processes of this fleet that are alive: those that bear its mark, and whatever is in its cgroups.
    pub async fn living(&self) -> Result<Vec<i32>, Fault> {
        let shared = Arc::clone(&self.0.shared);
        let look = move || {
            let marked = procfs::marked(&shared.fleet_id).into_iter().map(|process| process.pid);
            let held = shared.cgroups.iter().flat_map(CgroupTree::members);
            marked.chain(held).collect::<BTreeSet<_>>().into_iter().collect()
        };
        spawn_blocking(look)
            .await
            .map_err(|panic| Fault::internal(format!("cannot look for what is alive: {panic}")))
    }

    async fn throw(&self, thrown: Thrown) -> Result<(), Fault> {
        let shared = Arc::clone(&self.0.shared);
        spawn_blocking(move || shared.switch.set(thrown))
            .await
            .map_err(|panic| Fault::internal(format!("cannot throw the switch: {panic}")))?
    }

    /// Nobody wakes an agent from here on; what runs is not touched yet.
    fn disable(&self) -> Vec<(Arc<Plan>, Vec<Handle>)> {
        let mut roster = self.roster();
        let agents = roster.agents.values_mut();
        agents
            .map(|agent| {
                agent.plan = Arc::new(Plan { enabled: false, ..Plan::clone(&agent.plan) });
                (agent.plan.clone(), agent.instances.clone())
            })
            .collect()
    }
}
