//! What readiness wants to know of triggers, and to see judged; `boot` supplies it, since they act in a room above.
use crate::{
    config::TriggerSettings,
    domain::{Fault, Sight},
    store::Store,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;

/// What keeps the daemon's own from acting, a sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hindrance {
    /// Somebody has to look: one is stopped, or pauses.
    pub standing: Vec<String>,
    /// Somebody holds them, and knows it.
    pub held: Vec<String>,
}

/// The code that judges the daemon's own triggers, for a scratch store.
pub trait Triggering: Send + Sync {
    fn hindrance(&self) -> BoxFuture<'_, Result<Hindrance, Fault>>;
    /// Would it fire at this time over what this store holds, and what does its window say?
    fn would_fire(
        &self,
        store: Store,
        trigger: TriggerSettings,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(bool, Sight), Fault>>;
}
