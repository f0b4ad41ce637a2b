//! One failure, with what was going on when it happened.
use crate::{
    domain::{AgentName, CorrelationId, Fault},
    store::Store,
};

/// What failed, and where.
#[derive(Clone, Debug)]
pub struct Failure {
    /// `agents/stop`, `probe`, `prune`: what was being done.
    pub operation: String,
    pub agent: Option<AgentName>,
    pub client: Option<String>,
    pub correlation: CorrelationId,
    pub fault: Fault,
}

#[derive(Clone)]
pub struct Errors {
    store: Store,
}

impl Errors {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Never waits and never fails the caller.
    pub fn record(&self, failure: Failure) {
        let _ = (&self.store, failure);
    }
}
