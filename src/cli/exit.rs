//! Documented exit codes, and the one map from error to code.
use crate::domain::{Fault, FaultKind};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// A negative verdict: not ready, not well.
    Negative = 1,
    /// Usage or configuration.
    Usage = 2,
    Inconclusive = 3,
    Forbidden = 4,
    Unreachable = 5,
    /// Refused by policy.
    Refused = 6,
    /// Not found, or conflict.
    NotFound = 7,
    /// Pending, or the wait timed out.
    Pending = 8,
    Internal = 70,
    Interrupted = 130,
}

impl Exit {
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Ok, "pass: what was asked is done, and what was checked holds"),
        (Self::Negative, "negative verdict: not ready, not well, a difference found"),
        (Self::Usage, "usage or configuration error; nothing was done"),
        (Self::Inconclusive, "inconclusive: something that had to be measured was not"),
        (Self::Forbidden, "unauthenticated or forbidden"),
        (Self::Unreachable, "the daemon cannot be reached"),
        (Self::Refused, "refused by policy"),
        (Self::NotFound, "not found, or in conflict with what exists"),
        (Self::Pending, "still pending when the wait ended"),
        (Self::Internal, "internal error: a defect of agentctl or a failing machine"),
        (Self::Interrupted, "interrupted"),
    ];
}

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot reach agentd at {}: {why}", path.display())]
    Unreachable { path: PathBuf, why: String },
    #[error("cannot understand agentd's reply: {0}")]
    Protocol(String),
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The reader of our output went away; not an error to speak of.
    #[error("broken pipe")]
    BrokenPipe,
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Protocol(_) => Exit::Internal,
            Self::BrokenPipe => Exit::Ok,
            Self::Interrupted => Exit::Interrupted,
            Self::Fault(fault) => match fault.kind {
                FaultKind::Usage | FaultKind::Config => Exit::Usage,
                FaultKind::Unauthenticated | FaultKind::Forbidden => Exit::Forbidden,
                FaultKind::Refused => Exit::Refused,
                FaultKind::NotFound | FaultKind::Conflict => Exit::NotFound,
                FaultKind::Busy | FaultKind::Timeout => Exit::Pending,
                FaultKind::Unavailable => Exit::Unreachable,
                FaultKind::Internal => Exit::Internal,
            },
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreachable { .. } => {
                Some("start it with `agentctl daemon start`, or name its socket with --socket")
            }
            Self::Protocol(_) => Some("`agentctl --version` and `agentctl daemon status` show both versions"),
            Self::Fault(fault) => fault.hint.as_deref(),
            Self::BrokenPipe | Self::Interrupted => None,
        }
    }
}
