//! App: every service a handler may reach; cheap to clone.
use super::reload::Reloader;
use crate::{
    agents::Supervisor,
    auth::{Approvals, Keyring, Meter, Policy, Trail},
    backups::Backups,
    config::{Paths, Settings},
    deploy::{Rehearsals, Releases, Ways, checklist::Checklists},
    errors::Errors,
    health::Monitor,
    metrics::Metrics,
    operations::Operations,
    readiness::Readiness,
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub struct App {
    /// The settings in force; `borrow().clone()`, never held across an await.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// SHA-256 of the configuration in force, in hexadecimal.
    pub config_digest: watch::Receiver<String>,
    /// Where the configuration was read from; none when there is no file.
    pub config_file: Option<Arc<PathBuf>>,
    /// [access], resolved.
    pub policy: watch::Receiver<Arc<Policy>>,
    pub paths: Arc<Paths>,
    pub clock: Clock,
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub readiness: Readiness,
    pub releases: Releases,
    pub checklist: Checklists,
    pub keyring: Keyring,
    pub meter: Meter,
    pub trail: Trail,
    pub approvals: Approvals,
    pub errors: Errors,
    pub metrics: Metrics,
    pub operations: Operations,
    pub ways: Ways,
    pub rehearsals: Rehearsals,
    pub backups: Backups,
    pub started_at: Timestamp,
    pub control: Control,
    pub(super) reloader: Arc<Reloader>,
}

/// How a handler asks the daemon to end.
#[derive(Clone, Debug, Default)]
pub struct Control {
    stop: CancellationToken,
}

impl Control {
    /// Returns at once; the daemon then refuses what is not a look and stops in order.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Until somebody asked for the end.
    pub async fn stop_asked(&self) {
        self.stop.cancelled().await;
    }
}
