//! What is written of an operation: each intent before it is carried out, each result after.
use super::{OperationId, StepName};
use crate::domain::{Fault, FaultKind, Period, Principal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum OperationEvent {
    Begun(OperationPlan),
    /// The step is about to run: for the first time, or again after agentd was cut off.
    Intended {
        step: StepName,
    },
    Done {
        step: StepName,
        /// What later steps, and its own undo, are handed.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        left: Value,
    },
    Failed {
        step: StepName,
        why: Reason,
    },
    /// The step under way may end; then what was done is undone.
    CancelAsked {
        by: Principal,
    },
    UndoIntended {
        step: StepName,
    },
    Undone {
        step: StepName,
    },
    UndoFailed {
        step: StepName,
        why: Reason,
    },
    /// Nothing more is done by itself.
    Stopped {
        why: Reason,
    },
}

/// What is to be done, in order, and at whose word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationPlan {
    pub id: OperationId,
    /// `rollback`, `deploy`
    pub kind: String,
    pub title: String,
    /// What nothing else may change meanwhile: `fleet`
    pub resource: String,
    pub steps: Vec<PlannedStep>,
    #[serde(default)]
    pub arguments: Value,
    pub on_failure: OnFailure,
    /// How long the whole may take. Shown beside the time it took; nothing is cut off by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Period>,
    pub by: Principal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub name: StepName,
    pub title: String,
}

/// What becomes of an operation when one of its steps fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// What was done is undone, the last first.
    Unwind,
    /// It stays as it is, for a person to look at.
    Stop,
}

/// Why something failed, as it is kept: free of secrets, and short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub kind: FaultKind,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Reason {
    pub fn fault(&self) -> Fault {
        Fault { hint: self.hint.clone(), ..Fault::new(self.kind, self.message.clone()) }
    }
}
