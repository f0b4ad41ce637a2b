//! What a firing does: a row first, together with its event and its line in the audit trail; then, of a rollback, its
//! beginning. What cannot be begun is not tried again: it stops, and says so as loudly as agentd can.
use super::{
    scene::Scene,
    service::{Looked, Triggers},
};
use crate::{
    config::TriggerSettings,
    deploy::Wish,
    domain::{
        Act, Fault, FaultCategory, FaultKind, FaultSeverity, FiringState, Principal, PrincipalKind,
        TriggerAction, TriggerFiring, WayKind,
    },
    errors::Failure,
    store::FiringEnd,
};

/// Where paging begins, once there is somebody to page.
const STOPPED: &str = "triggers.stopped";

/// agentd itself.
pub fn principal() -> Principal {
    Principal { kind: PrincipalKind::Service, name: "agentd".into() }
}

/// How the reason of a rollback begins that was begun for a firing.
pub fn mark(firing: &TriggerFiring) -> String {
    format!("trigger {}, firing {}: ", firing.trigger, firing.id)
}

fn act(trigger: &str, action: &'static str) -> Act {
    let act = Act::of_daemon(rustix::process::geteuid().as_raw(), format!("trigger {trigger}"), action);
    Act { principal: principal(), ..act }
}

impl Triggers {
    /// Told, or paused: a row, and nothing outside the store.
    pub(super) async fn told(
        &self,
        trigger: &TriggerSettings,
        scene: &Scene,
        looked: &Looked,
        (action, told, why): (TriggerAction, String, String),
    ) -> Result<(), Fault> {
        let state = if action == TriggerAction::Pause { FiringState::Paused } else { FiringState::Told };
        let firing = TriggerFiring { action, state, why, ..new(trigger, scene, looked, told) };
        let firing = self.0.parts.store.add_firing(act(&trigger.name, "triggers/fire"), firing).await?;
        tracing::warn!(trigger = firing.trigger, firing = firing.id, "{} {}", firing.told, firing.why);
        Ok(())
    }

    /// Rolls back in full, unless anything stands against it or would be lost.
    pub(super) async fn revert(
        &self,
        trigger: &TriggerSettings,
        scene: &Scene,
        looked: &Looked,
        told: String,
    ) -> Result<(), Fault> {
        let wish = Wish { kind: WayKind::Full, to: None, backup: None, unproved: false };
        let by = principal();
        let plan = match self.0.parts.ways.plan(&wish, &by).await {
            Ok(plan) if plan.against.is_empty() && plan.lost.is_empty() => plan,
            Ok(plan) => {
                let why = plan.against.into_iter().chain(plan.lost).collect::<Vec<_>>().join("; ");
                let why = format!("it does not roll back by itself: {why}");
                return self.stopped(trigger, scene, looked, told, why).await;
            }
            Err(fault) => {
                let why = format!("it cannot plan a rollback: {}", fault.message);
                return self.stopped(trigger, scene, looked, told, why).await;
            }
        };
        let firing = TriggerFiring { state: FiringState::Intended, ..new(trigger, scene, looked, told) };
        let firing = self.0.parts.store.add_firing(act(&trigger.name, "triggers/fire"), firing).await?;
        let reason = format!("{}{}", mark(&firing), firing.told);
        tracing::error!(trigger = firing.trigger, firing = firing.id, "rolling back: {reason}");
        let object = plan.to.map_or_else(|| "full".into(), |to| format!("full release/{to}"));
        let begin = act(&trigger.name, "ways/begin").on(object);
        self.0.parts.trail.intend(begin.clone()).await?;
        let begun = self.0.parts.ways.begin(&wish, plan.digest, &by, &reason).await;
        self.0.parts.trail.ended(begin, begun.as_ref().map(drop)).await;
        match begun {
            Ok(operation) => {
                let (state, why) = (FiringState::Reverting, String::new());
                self.moved(&firing, FiringEnd { state, operation: Some(operation), by, why }).await
            }
            // Somebody else was first: it is judged again once that is done.
            Err(fault) if fault.kind == FaultKind::Conflict => {
                self.ended(&firing, FiringState::Abandoned, fault.message).await
            }
            Err(fault) => {
                self.stop(&firing, format!("its rollback could not be begun: {}", fault.message)).await
            }
        }
    }

    /// A firing that stops where it stands: no rollback of it was begun.
    pub(super) async fn stopped(
        &self,
        trigger: &TriggerSettings,
        scene: &Scene,
        looked: &Looked,
        told: String,
        why: String,
    ) -> Result<(), Fault> {
        let firing = TriggerFiring {
            state: FiringState::Stopped,
            ended_at: Some(scene.now),
            ended_by: Some(principal()),
            why,
            ..new(trigger, scene, looked, told)
        };
        let firing = self.0.parts.store.add_firing(act(&trigger.name, "triggers/fire"), firing).await?;
        self.shout(&firing);
        Ok(())
    }

    pub(super) async fn stop(&self, firing: &TriggerFiring, why: String) -> Result<(), Fault> {
        self.ended(firing, FiringState::Stopped, why.clone()).await?;
        self.shout(&TriggerFiring { why, ..firing.clone() });
        Ok(())
    }

    pub(super) async fn ended(
        &self,
        firing: &TriggerFiring,
        state: FiringState,
        why: String,
    ) -> Result<(), Fault> {
        self.moved(firing, FiringEnd { state, operation: None, by: principal(), why }).await
    }

    pub(super) async fn moved(&self, firing: &TriggerFiring, end: FiringEnd) -> Result<(), Fault> {
        let said = (end.state.as_str(), end.why.clone());
        self.0.parts.store.move_firing(act(&firing.trigger, "triggers/settle"), firing.id, end).await?;
        tracing::info!(trigger = firing.trigger, firing = firing.id, "{} {}", said.0, said.1);
        Ok(())
    }

    fn shout(&self, firing: &TriggerFiring) {
        let TriggerFiring { trigger, told, why, .. } = firing;
        let message = format!("cannot go on by itself: trigger {trigger} is stopped: {why}");
        tracing::error!(trigger, "{message} ({told})");
        let fault = Fault::new(FaultKind::Refused, message)
            .category(FaultCategory::Agent)
            .severity(FaultSeverity::Critical)
            .hint(format!(
                "roll back by hand if it is needed; then `agentctl rollback triggers reset {trigger}`"
            ));
        self.0.parts.errors.record(Failure::new(STOPPED, fault).context(told.clone()));
    }
}

fn new(trigger: &TriggerSettings, scene: &Scene, looked: &Looked, told: String) -> TriggerFiring {
    TriggerFiring {
        id: 0,
        trigger: trigger.name.clone(),
        at: scene.now,
        action: trigger.action,
        state: FiringState::Told,
        release: scene.current,
        value: looked.reading.value,
        told,
        operation: None,
        ended_at: None,
        ended_by: None,
        why: String::new(),
    }
}
