//! Site: what a step is handed while it runs or is undone.
use super::board::Board;
use crate::{
    domain::{OperationId, StepName},
    errors::Redactor,
};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Characters of a note.
const LONGEST_NOTE: usize = 300;

pub struct Site {
    pub(super) operation: OperationId,
    pub(super) key: String,
    pub(super) arguments: Value,
    pub(super) left: BTreeMap<StepName, Value>,
    pub(super) cancelled: CancellationToken,
    pub(super) place: usize,
    pub(super) board: Board,
    pub(super) redactor: Redactor,
}

impl Site {
    pub fn operation(&self) -> OperationId {
        self.operation
    }

    /// What the operation was begun with.
    pub fn arguments(&self) -> &Value {
        &self.arguments
    }

    /// What another step left; none where it left nothing or did not run.
    pub fn left(&self, step: &str) -> Option<&Value> {
        self.left.iter().find(|(name, _)| name.as_str() == step).map(|(_, left)| left)
    }

    /// `op-7/switch`, or `op-7/switch/undo`: the same whenever this is done again, and never that of anything else.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How far it is, in a few words. Shown to who follows; not kept.
    pub fn note(&self, text: &str) {
        self.board.note(self.place, self.redactor.clean(text, LONGEST_NOTE));
    }

    /// Told when somebody calls the operation off. A step may then end early, with a fault, or go on to its end; either
    /// way it is undone after. Never told to an undo.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }
}
