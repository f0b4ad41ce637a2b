//! App: every service a handler may reach; cheap to clone.
use crate::{
    agents::Supervisor,
    config::{Paths, Settings},
    health::Monitor,
    readiness::Readiness,
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone)]
pub struct App {
    /// The settings in force; `borrow().clone()`, never held across an await.
    pub settings: watch::Receiver<Arc<Settings>>,
    pub paths: Arc<Paths>,
    pub clock: Clock,
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub readiness: Readiness,
    pub started_at: Timestamp,
}
