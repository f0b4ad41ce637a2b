//! Where an operation is seen while it moves: one writer, any number of lookers.
use crate::domain::{Due, Operation, OperationEvent};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone)]
pub struct Board(Arc<watch::Sender<Operation>>);

impl Board {
    pub fn new(operation: Operation) -> Self {
        Self(Arc::new(watch::Sender::new(operation)))
    }

    pub fn operation(&self) -> Operation {
        self.0.borrow().clone()
    }

    /// Something of it, without a copy of all.
    pub fn look<T>(&self, at: impl FnOnce(&Operation) -> T) -> T {
        at(&self.0.borrow())
    }

    pub fn due(&self) -> Due {
        self.look(Operation::due)
    }

    pub fn subscribe(&self) -> watch::Receiver<Operation> {
        self.0.subscribe()
    }

    /// What is in the journal now. Whoever writes has asked the table before.
    pub fn moved(&self, event: OperationEvent, at: Timestamp) {
        self.0.send_modify(|operation| {
            let _ = operation.apply(event, at);
        });
    }

    pub fn note(&self, step: usize, text: String) {
        self.0.send_if_modified(|operation| {
            let Some(step) = operation.steps.get_mut(step) else { return false };
            if step.note.as_deref() == Some(text.as_str()) {
                return false;
            }
            step.note = Some(text);
            operation.cursor += 1;
            true
        });
    }
}
