//! What all actors of a fleet share.
use super::{cgroup::CgroupTree, journal::Journal, snapshot::Board, switch::Switch};
use crate::{config::Paths, errors::Errors, resilience::Clock, store::Store};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub struct Shared {
    pub paths: Paths,
    pub store: Store,
    pub clock: Clock,
    pub board: Board,
    pub journal: Journal,
    pub errors: Errors,
    pub switch: Switch,
    pub fleet_id: String,
    pub boot_id: String,
    /// The `agentctl` beside the running program.
    pub agentctl: PathBuf,
    pub cgroups: Option<CgroupTree>,
    /// Largest size in bytes of an agent's log, and how many rotated ones are kept.
    pub log_size: (u64, u32),
    starts: Mutex<Arc<Semaphore>>,
}

impl Shared {
    pub fn new(
        parts: super::SupervisorParts,
        switch: Switch,
        fleet_id: String,
        cgroups: Option<CgroupTree>,
    ) -> Self {
        let exe = std::env::current_exe().unwrap_or_default();
        Self {
            journal: Journal::open(parts.store.clone(), parts.clock.clone(), parts.errors.clone()),
            errors: parts.errors,
            switch,
            paths: parts.paths,
            store: parts.store,
            clock: parts.clock,
            board: Board::new(),
            fleet_id,
            boot_id: super::procfs::boot_id(),
            agentctl: exe.parent().map(|dir| dir.join("agentctl")).unwrap_or_default(),
            cgroups,
            log_size: (parts.settings.daemon.log.agent_max_size.0, parts.settings.daemon.log.agent_keep),
            starts: Mutex::new(places(parts.settings.daemon.start_concurrency)),
        }
    }

    /// A new bound on starts under way; those under way finish under the old one.
    pub fn bound_starts(&self, bound: u32) {
        *self.starts.lock().unwrap_or_else(PoisonError::into_inner) = places(bound);
    }

    /// A place among those who may be starting. Held until ready or failed.
    pub async fn start_permit(&self) -> Option<OwnedSemaphorePermit> {
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        starts.acquire_owned().await.ok() // never closed
    }
}

fn places(bound: u32) -> Arc<Semaphore> {
    let places = if bound == 0 { Semaphore::MAX_PERMITS } else { bound as usize };
    Arc::new(Semaphore::new(places))
}
