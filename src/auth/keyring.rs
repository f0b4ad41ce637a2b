//! API keys and sessions: what a bearer shows, and who that makes the caller.
use crate::{
    config::Settings,
    domain::{Caller, Fault, FaultKind},
    resilience::Clock,
    store::Store,
};
use secrecy::SecretString;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone)]
pub struct Keyring {
    settings: watch::Receiver<Arc<Settings>>,
    store: Store,
    clock: Clock,
}

impl Keyring {
    pub fn new(settings: watch::Receiver<Arc<Settings>>, store: Store, clock: Clock) -> Self {
        Self { settings, store, clock }
    }

    /// Who the bearer of a key or a session is. Whatever it shows, an agent stays an agent.
    pub async fn recognise(&self, caller: &Caller, bearer: &SecretString) -> Result<Caller, Fault> {
        let _ = (&self.settings, &self.store, &self.clock, caller, bearer);
        Err(Fault::new(FaultKind::Unauthenticated, "cannot accept this key: there is none like it"))
    }
}
