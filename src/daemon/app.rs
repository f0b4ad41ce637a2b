//! App: every service a handler may reach; cheap to clone.
use super::reload::Reloader;
use crate::{
    agents::Supervisor,
    auth::{Approvals, Keyring, Meter, Policy, Trail},
    backups::Backups,
    config::{Paths, Settings},
    deploy::{Rehearsals, Releases, Rollouts, Ways, checklist::Checklists, triggers::Triggers},
    errors::Errors,
    health::Monitor,
    metrics::Metrics,
    operations::Operations,
    readiness::Readiness,
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
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
    pub triggers: Triggers,
    pub rollouts: Rollouts,
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
    anew: Arc<AtomicBool>,
}

impl Control {
    /// Returns at once; the daemon then refuses what is not a look and stops in order.
    pub fn stop(&self) {
        self.anew.store(false, Ordering::Release);
        self.stop.cancel();
    }

    /// As `stop`, with a new start of the same program after it; nothing where the end was asked for already.
    pub fn start_anew(&self) {
        if !self.is_stopping() {
            self.anew.store(true, Ordering::Release);
            self.stop.cancel();
        }
    }

    /// Whoever asks for the end from here on wants no new start.
    pub fn wants_new_start(&self) -> bool {
        self.anew.load(Ordering::Acquire)
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Until somebody asked for the end.
    pub async fn stop_asked(&self) {
        self.stop.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_the_end_gets_no_new_start() {
        let anew = Control::default();
        anew.start_anew();
        assert!(anew.is_stopping() && anew.wants_new_start());
        anew.stop();
        assert!(!anew.wants_new_start(), "it would begin again");
        let stopped = Control::default();
        stopped.stop();
        stopped.start_anew();
        assert!(stopped.is_stopping() && !stopped.wants_new_start());
    }
}
