//! What can go wrong in the store, by what the caller can do about it.
use crate::domain::{Fault, FaultKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No reader or no place in the write queue in time.
    Busy,
    /// A constraint refused it.
    Conflict,
    /// The file is damaged, or newer than this program.
    Unusable,
    /// The query failed or panicked.
    Failed,
    /// The store is closed.
    Closed,
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// Starts with "cannot".
    pub message: String,
    pub hint: Option<String>,
}

impl StoreError {
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Busy => FaultKind::Busy,
            StoreErrorKind::Conflict => FaultKind::Conflict,
            StoreErrorKind::Unusable | StoreErrorKind::Failed => FaultKind::Internal,
            StoreErrorKind::Closed => FaultKind::Unavailable,
        };
        Self { kind, message: error.message, hint: error.hint }
    }
}
