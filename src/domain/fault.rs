//! The one error that crosses rooms and the wire: a kind, a sentence and a hint.
//! The kind decides the HTTP status (`daemon::server`) and the exit code (`cli::exit`), in one place each.
use serde::{Deserialize, Serialize};

/// What sort of failure it is, and so who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The request itself is wrong: mend the command line.
    Usage,
    /// The configuration is wrong: mend the file.
    Config,
    /// What the caller showed proves nothing: a key or a session that is wrong, over or revoked.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// A policy refuses it, whoever asks.
    Refused,
    NotFound,
    /// It collides with something that exists or is under way.
    Conflict,
    /// A limit is reached: try later.
    Busy,
    /// The wait ended before the work did.
    Timeout,
    /// The daemon, or something it depends on, cannot be reached.
    Unavailable,
    /// A defect of ours, or a machine that fails under us.
    Internal,
}

/// A failure as the operator reads it.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub kind: FaultKind,
    /// Lower case, starts with "cannot".
    pub message: String,
    /// The next thing to type or to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Usage, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, message)
    }
}
