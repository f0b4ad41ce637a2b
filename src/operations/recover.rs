//! At boot: what was open is gone on with, forward or back, or stops where everybody can see it.
use super::{
    Operations,
    board::Board,
    engine::{Inner, Known},
    journal::{self, Found, Journal},
    runner::Start,
};
use crate::{
    domain::{
        EventKind, Fault, FaultKind, FaultSeverity, OnFailure, Operation, OperationId, OperationPlan,
        OperationState, Principal,
    },
    errors::Failure,
};
use serde_json::Value;
use std::{io, sync::Arc};
use tokio::{sync::mpsc, task::spawn_blocking};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub kept: usize,
    pub resumed: usize,
    /// Their journals are not as they were written.
    pub damaged: usize,
}

impl Operations {
    /// Once, before anything is begun. Refused where the journals cannot be read: what is under way is unknown then.
    pub async fn recover(&self) -> Result<Recovered, Fault> {
        let dir = self.0.dir.clone();
        let read = spawn_blocking(move || {
            journal::open_directory(&dir)?;
            journal::read_all(&dir)
        });
        let read = read.await.map_err(io::Error::other).flatten();
        let all = read.map_err(|error| {
            let dir = self.0.dir.display();
            Fault::new(FaultKind::Config, format!("cannot read the journals of operations in {dir}: {error}"))
                .hint("let the user of agentd own the state directory and all in it: `ls -la`")
        })?;
        let newest = |resource: &str| {
            let of_it = |found: &&Found| {
                found.read.operation.as_ref().is_some_and(|operation| operation.resource == resource)
            };
            all.iter().rev().find(of_it).map(|found| found.id)
        };
        let later: Vec<Option<OperationId>> = all
            .iter()
            .map(|found| newest(&found.read.operation.as_ref()?.resource).filter(|id| *id > found.id))
            .collect();
        self.0.desk().last = Some(all.last().map_or(0, |found| found.id.0));
        let mut recovered = Recovered { kept: all.len(), ..Recovered::default() };
        for (found, later) in all.into_iter().zip(later) {
            if found.read.torn && found.read.damage.is_none() {
                tracing::warn!(id = %found.id, "the last line of a journal was cut off; it was never acknowledged");
            }
            match found.read.operation.as_ref().map(|operation| operation.state.is_terminal()) {
                _ if found.read.damage.is_some() => {
                    recovered.damaged += 1;
                    self.0.keep_damaged(found);
                }
                Some(false) => {
                    recovered.resumed += 1;
                    self.0.resume(found, later).await;
                }
                Some(true) => self.0.keep(found),
                // Without an operation there is damage.
                None => {}
            }
        }
        Ok(recovered)
    }
}

impl Inner {
    async fn resume(self: &Arc<Self>, found: Found, later: Option<OperationId>) {
        let Found { id, path, mut read, .. } = found;
        let Some(operation) = read.operation.take() else { return };
        let said = format!("{id} {}: {} after a restart of agentd", operation.kind, operation.state.as_str());
        let journal = Journal::resume(id, path, &read, self.seam.clone());
        let start = match later {
            None => Start::Resumed,
            Some(later) => {
                // Whoever began that one knew it as ended.
                let fault = Fault::new(
                    FaultKind::Conflict,
                    format!("cannot go on: {later} was begun on the {} after it", operation.resource),
                )
                .hint(format!("`agentctl operation show {id}` shows what it left"));
                Start::Barred(self.reason(&fault))
            }
        };
        let told = matches!(start, Start::Resumed);
        self.drive(id, Board::new(operation), journal, start);
        if told {
            tracing::warn!("resumed: {said}");
            self.tell(EventKind::OperationResumed, said).await;
        }
    }

    fn keep(&self, found: Found) {
        let Some(operation) = found.read.operation else { return };
        // Nobody drives it: its channel is closed from the beginning.
        let (wishes, _) = mpsc::channel(1);
        self.desk().known.insert(found.id, Known { board: Board::new(operation), wishes });
    }

    /// Shown as stopped, with all that can be read of it, and never written to.
    fn keep_damaged(&self, mut found: Found) {
        let (id, path) = (found.id, found.path.display().to_string());
        let damage = found.read.damage.take().unwrap_or_default();
        let fault = Fault::internal(format!("cannot trust the journal of {id}: {damage}"))
            .severity(FaultSeverity::Critical)
            .hint(format!("what it did after that is unknown: look at the fleet, then move {path} away"));
        tracing::error!("{fault}");
        let mut operation = found.read.operation.take().unwrap_or_else(|| nothing_known(&found));
        operation.state = OperationState::Stopped;
        operation.ended_at = Some(found.read.last.unwrap_or(found.changed_at));
        operation.why = Some(self.reason(&fault));
        found.read.operation = Some(operation);
        self.errors.record(Failure::new("operation/recover", fault));
        self.keep(found);
    }
}

fn nothing_known(found: &Found) -> Operation {
    let plan = OperationPlan {
        id: found.id,
        kind: "unknown".into(),
        title: "its journal cannot be read".into(),
        resource: String::new(),
        steps: Vec::new(),
        arguments: Value::Null,
        on_failure: OnFailure::Stop,
        budget: None,
        by: Principal::user(found.owner),
    };
    Operation::begun(plan, found.changed_at)
}
