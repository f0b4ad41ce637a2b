//! What readiness wants to know of rehearsals of a return; `boot` supplies it, since they are held in a room above.
use crate::domain::{Fault, RehearsalStanding};
use futures_util::future::BoxFuture;

pub trait Rehearsing: Send + Sync {
    /// How rehearsed the way back is.
    fn standing(&self) -> BoxFuture<'_, Result<RehearsalStanding, Fault>>;
}
