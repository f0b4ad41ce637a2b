//! What a firing depends on beside its metric: what runs, what is under way, who holds what, and what may be done
//! without being asked.
use super::history::time;
use crate::{
    config::{Settings, TriggerSettings},
    deploy::{Releases, ways::FLEET},
    domain::{
        Fault, FiringState, OperationSummary, ReleaseId, ReleaseState, TriggerAction, TriggerFiring,
        TriggerHold,
    },
    operations::Operations,
    store::Store,
};
use jiff::Timestamp;

/// What begins a rollback, as [approvals] calls it.
const BEGIN: &str = "ways/begin";

pub struct Scene {
    pub now: Timestamp,
    /// When the release was last changed, or a change was given up: what was measured before says nothing of now.
    pub floor: i64,
    pub busy: Option<OperationSummary>,
    pub current: Option<ReleaseId>,
    pub on_trial: bool,
    /// Somebody switched the fleet off: no trigger switches it on again.
    pub off: bool,
    pub holds: Vec<TriggerHold>,
    pub firings: Vec<TriggerFiring>,
    /// A rollback needs somebody's approval, and nobody said that triggers go without.
    pub attended: bool,
}

impl Scene {
    pub async fn look(
        settings: &Settings,
        store: &Store,
        releases: &Releases,
        operations: &Operations,
        (off, now): (bool, Timestamp),
    ) -> Result<Self, Fault> {
        let of_fleet = operations.list(u32::MAX).into_iter().filter(|operation| operation.resource == FLEET);
        let (mut busy, mut floor) = (None, i64::MIN);
        for operation in of_fleet {
            match operation.ended_at {
                // A look tells of the ten seconds before it, too.
                Some(ended) => floor = floor.max(ended.as_second().saturating_add(super::judge::LOOK_S)),
                None => busy = Some(operation),
            }
        }
        let current = releases.current().await?;
        let standing = match current {
            Some(id) => Some(releases.get(id).await?.standing),
            None => None,
        };
        Ok(Self {
            now,
            off,
            floor,
            busy,
            current,
            on_trial: standing.is_some_and(|standing| standing.state == ReleaseState::OnTrial),
            holds: store.trigger_holds().await?,
            firings: store.standing_firings().await?,
            attended: settings.approvals.required.contains(BEGIN) && !settings.triggers.unattended,
        })
    }

    /// What a trigger did last, or what of it still stands.
    pub fn last(&self, name: &str) -> Option<&TriggerFiring> {
        let mine = || self.firings.iter().filter(|firing| firing.trigger == name);
        let stands = |firing: &&TriggerFiring| {
            matches!(firing.state, FiringState::Intended | FiringState::Reverting | FiringState::Stopped)
        };
        mine().find(stands).or_else(|| mine().next_back())
    }

    pub fn hold(&self, name: &str) -> Option<&TriggerHold> {
        self.holds.iter().find(|hold| hold.holds(name, self.now))
    }

    /// What it would do now, and why that is less than what is declared.
    pub fn action(&self, trigger: &TriggerSettings) -> (TriggerAction, Option<String>) {
        let only = |why: String| (TriggerAction::Observe, Some(why));
        match trigger.action {
            TriggerAction::Observe => (TriggerAction::Observe, None),
            _ if !self.on_trial && !trigger.always => only("it only observes: no release is on trial".into()),
            TriggerAction::Pause => (TriggerAction::Pause, None),
            TriggerAction::Revert if self.off => {
                only("it only observes: the fleet is switched off, and a rollback would start it".into())
            }
            TriggerAction::Revert => match self.firings.iter().find(|firing| firing.state == FiringState::Stopped) {
                Some(stopped) => {
                    let name = &stopped.trigger;
                    only(format!(
                        "it only observes: trigger {name} is stopped (`agentctl rollback triggers reset {name}`)"
                    ))
                }
                None if self.attended => only(
                    "it only observes: ways/begin needs an approval, and `unattended` under [triggers] is not set".into(),
                ),
                None => (TriggerAction::Revert, None),
            },
        }
    }
}

/// Why no deployment may begin: what pauses, a sentence each.
pub async fn paused(store: &Store) -> Result<Vec<String>, Fault> {
    let firings = store.standing_firings().await?.into_iter();
    let pausing = firings.filter(|firing| firing.state == FiringState::Paused);
    Ok(pausing
        .map(|firing| {
            let since = time(firing.at.as_second()).strftime("%Y-%m-%d %H:%MZ");
            format!(
                "trigger {} pauses deployments since {since}: {} (`agentctl rollback triggers resume`)",
                firing.trigger, firing.told
            )
        })
        .collect())
}

/// Which triggers do nothing by themselves because somebody holds them, a sentence each.
pub async fn held(store: &Store) -> Result<Vec<String>, Fault> {
    Ok(store.trigger_holds().await?.iter().map(TriggerHold::sentence).collect())
}
