//! What others have to say of rollouts: who keeps them from being begun, and who will give a candidate work.
use crate::{
    agents::Supervisor,
    deploy::{triggers, ways},
    domain::{Fault, InstanceId, Share},
    operations::Operations,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Whatever keeps rollouts from being begun, and ends those under way.
pub trait Hold: Send + Sync {
    /// Why, completing "because …"; none while nothing is in the way.
    fn held(&self) -> BoxFuture<'_, Option<String>>;
}

/// What gives tasks to instances, once there is a queue of them: a candidate gets a share of its agent's, in steps. While
/// there is none, a candidate is only probed, and a share that is asked for is refused.
pub trait Sharing: Send + Sync {
    /// From now on; 0 % again when the candidate is gone.
    fn give<'a>(&'a self, candidate: &'a InstanceId, share: Share) -> BoxFuture<'a, Result<(), Fault>>;
}

/// The fleet is off, or is being brought to a release.
pub struct FleetIsBusy {
    pub operations: Operations,
    pub supervisor: Supervisor,
}

impl Hold for FleetIsBusy {
    fn held(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            if self.supervisor.switched_off().is_some() {
                return Some("the fleet is switched off".into());
            }
            let all = self.operations.list(u32::MAX);
            let open = all.iter().find(|it| it.resource == ways::FLEET && !it.state.is_terminal());
            open.map(|operation| format!("{} is under way ({})", operation.id, operation.title))
        })
    }
}

/// A trigger pauses what brings something new. Where that cannot be known, nothing new is begun.
pub struct Paused(pub Store);

impl Hold for Paused {
    fn held(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            match triggers::paused(&self.0).await {
                Ok(paused) => paused.into_iter().next(),
                Err(fault) => Some(format!("it is not known whether a trigger pauses it: {fault}")),
            }
        })
    }
}

/// The first of them that has something to say.
pub async fn held(holds: &[Arc<dyn Hold>]) -> Option<String> {
    for hold in holds {
        if let Some(why) = hold.held().await {
            return Some(why);
        }
    }
    None
}
