//! What steps reach: the fleet, its releases, and the configuration by way of whoever can reload it.
use crate::{
    agents::Supervisor,
    backups::Backups,
    config::Settings,
    deploy::Releases,
    domain::{Act, Course, Fault, SwitchedOff},
    health::Monitor,
    operations::Site,
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::watch;

/// How long agents may take over their end before they are killed.
const OFF_WITHIN: Duration = Duration::from_secs(60);

pub struct Hands {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub releases: Releases,
    pub backups: Backups,
    pub store: Store,
    pub releases_dir: PathBuf,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub clock: Clock,
    /// Set once the daemon is put together; nothing is begun before.
    pub reload: OnceLock<Arc<dyn Reload>>,
}

/// The daemon's configuration, read again.
pub trait Reload: Send + Sync {
    /// Brings the fleet to what the file says now.
    fn reload(&self) -> BoxFuture<'_, Result<(), Fault>>;

    /// Whether a file would be taken; it blocks.
    fn check(&self, file: &Path) -> Result<(), Fault>;
}

impl Hands {
    pub fn reload(&self) -> Result<&Arc<dyn Reload>, Fault> {
        self.reload.get().ok_or_else(|| Fault::internal("cannot reload: the daemon is not put together yet"))
    }

    /// Off for the reason of the operation; as it is, where it is off already.
    pub async fn hold_off(&self, at: &Site) -> Result<(), Fault> {
        let course = course(at)?;
        let reason = format!("{} {}", at.operation(), course.reason);
        let off = SwitchedOff { at: self.clock.now(), by: Some(course.by), reason: reason.trim().to_owned() };
        self.supervisor.switch_off(off, OFF_WITHIN).await
    }

    /// What the audit trail is told of it: whoever began the operation answers for its steps.
    pub fn act(course: &Course, at: &Site, action: &'static str) -> Act {
        let uid = rustix::process::geteuid().as_raw();
        let act = Act::of_daemon(uid, format!("operation {}", at.operation()), action);
        Act { principal: course.by.clone(), ..act }
    }
}

pub fn course(at: &Site) -> Result<Course, Fault> {
    serde_json::from_value(at.arguments().clone())
        .map_err(|error| Fault::internal(format!("cannot read the course of {}: {error}", at.operation())))
}

/// Refuses to undo what lies behind an irreversible migration that was begun.
pub fn way_back(at: &Site, begun: bool) -> Result<(), Fault> {
    let course = course(at)?;
    if !(course.irreversible && begun) {
        return Ok(());
    }
    let message = "cannot go back: the data was brought forward, and that is irreversible";
    Err(Fault::new(crate::domain::FaultKind::Refused, message)
        .hint("the new release is left in place: mend it and deploy again, or restore a backup by hand"))
}
