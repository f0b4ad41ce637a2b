//! Ask, judge, store, ring the bell on change.
use crate::{
    agents::Supervisor,
    config::{Kind, Settings},
    domain::{Fault, InstanceId, ProbeStatus},
    resilience::Clock,
    store::Store,
};
use std::sync::Arc;

pub struct MonitorParts {
    pub settings: Arc<Settings>,
    pub supervisor: Supervisor,
    pub store: Store,
    pub clock: Clock,
}

#[derive(Clone)]
pub struct Monitor {}

#[allow(unused_variables, clippy::unused_async)]
impl Monitor {
    /// Follows the supervisor's snapshot and probes what runs.
    pub fn launch(parts: MonitorParts) -> Self {
        todo!()
    }
    /// Every `kind` of probe there is.
    pub fn kinds() -> Vec<Kind> {
        todo!()
    }
    /// Ordered by target, then by the manifest's order.
    pub fn snapshot(&self) -> Vec<ProbeStatus> {
        todo!()
    }
    /// An agent told us that it is alive.
    pub fn heartbeat(&self, instance: &InstanceId) -> Result<(), Fault> {
        todo!()
    }
    pub fn apply(&self, settings: Arc<Settings>) {
        todo!()
    }
    pub async fn shutdown(&self) {
        todo!()
    }
}
