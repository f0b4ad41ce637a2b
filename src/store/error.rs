//! What can go wrong in the store, by what the caller can do about it.
//! Every failure of SQLite passes through `from_sqlite`, so one place decides what kind it is and what to try next.
use crate::domain::{Fault, FaultCategory, FaultKind};
use rusqlite::ErrorCode;

pub(super) type Result<T> = std::result::Result<T, StoreError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No reader or no place in the write queue in time.
    Busy,
    /// A constraint refused it.
    Conflict,
    /// The file is damaged, newer than this program, or not one of ours.
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

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `what` completes "cannot …": `record an event`.
    pub(super) fn from_sqlite(what: &str, error: &rusqlite::Error) -> Self {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => StoreErrorKind::Conflict,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreErrorKind::Unusable,
            _ => StoreErrorKind::Failed,
        };
        let failure = Self::new(kind, format!("cannot {what}: {error}"));
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => failure.hint(
                "the file is damaged: stop agentd, move agentd.db, agentd.db-wal and agentd.db-shm out of the \
                 state directory, put a copy from its `backups` in their place or let agentd make a new one",
            ),
            Some(ErrorCode::DiskFull) => failure.hint("free some space: `df -h` on the state directory"),
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                failure.hint("let the user of agentd own the state directory and all files in it: `ls -la`")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                failure.hint("another program holds the database: `fuser -v agentd.db` names it")
            }
            _ => failure,
        }
    }

    pub(super) fn panicked(what: &str) -> Self {
        Self::new(StoreErrorKind::Failed, format!("cannot {what}: the operation panicked"))
    }

    pub(super) fn closed(what: &str) -> Self {
        Self::new(StoreErrorKind::Closed, format!("cannot {what}: the store is closed"))
    }
}

/// What an operation on a connection may end with; it gets its sentence from the operation's name.
#[derive(Debug)]
pub(super) enum Trouble {
    Sqlite(rusqlite::Error),
    Said(StoreError),
}

pub(super) type Answer<T> = std::result::Result<T, Trouble>;

impl Trouble {
    pub fn of(self, what: &str) -> StoreError {
        match self {
            Self::Sqlite(error) => StoreError::from_sqlite(what, &error),
            Self::Said(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Said(error)
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
        // A conflict is the caller's: a rule of the data said no, and the database did what it must.
        let about = match error.kind {
            StoreErrorKind::Conflict => FaultCategory::BusinessLogic,
            _ => FaultCategory::Database,
        };
        Self { hint: error.hint, ..Self::new(kind, error.message).category(about) }
    }
}
