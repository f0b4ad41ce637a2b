//! Runs validations for the daemon: one at a time, followed by cursor, kept by the store.
use super::{CheckInfo, Gate};
use crate::{
    agents::Supervisor,
    config::{Paths, Settings},
    domain::{Caller, Fault, Finding, Report, RunId},
    health::Monitor,
    resilience::Clock,
    store::Store,
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;

pub struct ReadinessParts {
    /// The settings in force; changes at a reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The manifest on disk, to compare with what runs.
    pub config_file: Option<PathBuf>,
    pub config_digest: watch::Receiver<String>,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub clock: Clock,
    /// The daemon's own door; without it the check that a caller without permission is refused cannot measure.
    pub gate: Option<Arc<dyn Gate>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Ids or categories; empty is all.
    #[serde(default)]
    pub only: Vec<String>,
    #[serde(default)]
    pub skip: Vec<String>,
}

/// What has happened in a run after a cursor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub run: RunId,
    pub total: u32,
    pub cursor: u64,
    /// Findings in the order they came in, after the cursor asked from.
    pub findings: Vec<Finding>,
    /// Present once it is finished.
    pub report: Option<Report>,
}

#[derive(Clone)]
pub struct Readiness {}

#[allow(unused_variables, clippy::unused_async)]
impl Readiness {
    pub fn new(parts: ReadinessParts) -> Self {
        todo!()
    }
    /// Refuses with the running one's number while one runs.
    pub async fn start(&self, request: RunRequest, caller: &Caller) -> Result<RunId, Fault> {
        todo!()
    }
    /// Waits up to 25 s for something after the cursor.
    pub async fn progress(&self, run: RunId, after: u64) -> Result<Progress, Fault> {
        todo!()
    }
    /// Every built-in check, in print order.
    pub fn checks() -> Vec<CheckInfo> {
        todo!()
    }
}
