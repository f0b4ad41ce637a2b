//! The daemon's own triggers, as readiness sees them: the same judge, on scratch.
use crate::{
    config::TriggerSettings,
    deploy::triggers,
    domain::{Fault, FiringState, Sight},
    readiness::{Hindrance, Triggering},
    store::Store,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;

pub struct Judge(Store);

impl Judge {
    pub fn of(store: &Store) -> Self {
        Self(store.clone())
    }
}

impl Triggering for Judge {
    fn hindrance(&self) -> BoxFuture<'_, Result<Hindrance, Fault>> {
        Box::pin(async {
            let mut standing = triggers::paused(&self.0).await?;
            let firings = self.0.standing_firings().await?.into_iter();
            let stopped = firings.filter(|firing| firing.state == FiringState::Stopped);
            standing.extend(stopped.map(|firing| {
                let name = &firing.trigger;
                format!(
                    "trigger {name} is stopped: {} (`agentctl rollback triggers reset {name}`)",
                    firing.why
                )
            }));
            Ok(Hindrance { standing, held: triggers::held(&self.0).await? })
        })
    }

    fn would_fire(
        &self,
        store: Store,
        trigger: TriggerSettings,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(bool, Sight), Fault>> {
        Box::pin(async move { triggers::try_out(&store, &trigger, now).await })
    }
}
