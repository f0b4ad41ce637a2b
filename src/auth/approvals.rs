//! Approvals: somebody else's yes to one exact action.
use crate::{resilience::Clock, store::Store};

#[derive(Clone)]
pub struct Approvals {
    pub(super) store: Store,
    pub(super) clock: Clock,
}

impl Approvals {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }
}
