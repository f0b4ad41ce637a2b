//! `Store`, the handle others hold: cheap to clone, every wait bounded.
use super::StoreError;
use crate::{
    config::{RetentionSettings, StoreSettings},
    domain::{
        AgentName, Desire, Event, InstanceId, InstanceRecord, ProbeTransition, Report, RunId, RunSummary,
        StoreStats,
    },
    resilience::Clock,
};
use std::path::Path;

type Result<T> = std::result::Result<T, StoreError>;

#[derive(Clone)]
pub struct Store {}

#[allow(unused_variables, clippy::unused_async)]
impl Store {
    /// Opens or makes the file: version asserted, migrated (backup first), pragmas set, writer started.
    pub fn open(path: &Path, backups: &Path, settings: &StoreSettings, clock: Clock) -> Result<Self> {
        todo!()
    }
    /// Random, made with the file: marks this fleet's processes in their environment.
    pub fn fleet_id(&self) -> &str {
        todo!()
    }
    pub fn stats(&self) -> StoreStats {
        todo!()
    }
    /// Deletes what retention says; returns rows deleted.
    pub async fn prune(&self, retention: RetentionSettings) -> Result<u64> {
        todo!()
    }
    /// Commits what is queued, then closes. Later calls answer Closed.
    pub async fn close(&self) {
        todo!()
    }

    pub async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        todo!()
    }
    pub async fn save_instance(&self, record: InstanceRecord) -> Result<()> {
        todo!()
    }
    pub async fn forget_instance(&self, id: InstanceId) -> Result<()> {
        todo!()
    }
    pub async fn desires(&self) -> Result<Vec<(AgentName, Desire)>> {
        todo!()
    }
    pub async fn set_desire(&self, agent: AgentName, desire: Desire) -> Result<()> {
        todo!()
    }

    pub async fn record_event(&self, event: Event) -> Result<()> {
        todo!()
    }
    /// Events after `cursor`, oldest first; with cursor 0, the newest `limit`.
    pub async fn events(&self, cursor: u64, limit: u32) -> Result<Vec<Event>> {
        todo!()
    }
    pub async fn record_transition(&self, transition: ProbeTransition) -> Result<()> {
        todo!()
    }
    /// Newest first.
    pub async fn transitions(&self, target: Option<String>, limit: u32) -> Result<Vec<ProbeTransition>> {
        todo!()
    }

    pub async fn begin_run(&self, environment: String, partial: bool) -> Result<RunId> {
        todo!()
    }
    pub async fn finish_run(&self, report: Report) -> Result<()> {
        todo!()
    }
    /// At boot: runs that a dead daemon left running become interrupted.
    pub async fn interrupt_runs(&self) -> Result<u64> {
        todo!()
    }
    /// Newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunSummary>> {
        todo!()
    }
    pub async fn report(&self, run: RunId) -> Result<Option<Report>> {
        todo!()
    }
}
