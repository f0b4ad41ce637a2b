//! What an instance tells others: its record to the store, its status to the board, its events to the journal.
use super::{Actor, RECORD};
use crate::{
    agents::child::Child,
    domain::{EventKind, InstanceRecord},
};
use jiff::Timestamp;
use tokio::time::timeout;

impl Actor {
    pub(super) async fn save(&mut self, child: &Child, was_ready: bool) {
        let record = InstanceRecord {
            id: self.id.clone(),
            pid: child.pid,
            pid_start: child.pid_start,
            boot_id: self.shared.boot_id.clone(),
            started_at: self.now(),
            port: self.status.port,
            spec_digest: self.plan.digest.clone(),
            was_ready,
            release: self.status.release,
        };
        self.record = Some(record.clone());
        self.keep(record).await;
    }

    /// Without a record it runs all the same; the next daemon would find it by its marker and replace it.
    pub(super) async fn keep(&mut self, record: InstanceRecord) {
        self.recorded = true;
        match timeout(RECORD, self.shared.store.save_instance(record)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(instance = %self.id, %error, "it could not be recorded");
                self.not_kept(Some(error));
            }
            Err(_) => {
                tracing::warn!(instance = %self.id, "it could not be recorded in time");
                self.not_kept(None);
            }
        }
    }

    pub(super) fn publish(&mut self) {
        self.status.state = self.machine.state();
        self.status.reason = self.machine.reason().map(str::to_owned);
        self.status.restarts = self.machine.restarts();
        if !self.status.state.is_up() {
            self.status.adopted = false;
            self.status.pid = None;
            self.status.release = None;
        }
        self.shared.board.put(self.status.clone());
    }

    pub(super) fn tell(&self, kind: EventKind, text: impl Into<String>) {
        self.shared.journal.tell(kind, &self.id, text);
    }

    pub(super) fn tell_reason(&self, kind: EventKind) {
        self.tell(kind, self.machine.reason().unwrap_or_default());
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}
