//! The one error that crosses rooms and the wire: a kind, a sentence and a hint.
//! The kind decides the HTTP status (`daemon::server`) and the exit code (`cli::exit`), in one place each.
use super::{FaultCategory, FaultKind, FaultSeverity, Nature};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// More of a chain says nothing more.
const MOST_CAUSES: usize = 8;

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
    /// Only where it is not what the kind says; `nature` has the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<FaultCategory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<FaultSeverity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What led to it, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// It has been recorded where it happened; whoever is told of it later does not record it again.
    #[serde(skip)]
    pub recorded: bool,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            category: None,
            severity: None,
            retryable: None,
            causes: Vec::new(),
            recorded: false,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// It is about something else than its kind says.
    #[must_use]
    pub fn category(mut self, category: FaultCategory) -> Self {
        self.category = Some(category);
        self
    }

    #[must_use]
    pub fn severity(mut self, severity: FaultSeverity) -> Self {
        self.severity = Some(severity);
        self
    }

    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = Some(retryable);
        self
    }

    /// Called once for each link of the chain, the nearest first.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Display) -> Self {
        if self.causes.len() < MOST_CAUSES {
            self.causes.push(cause.to_string());
        }
        self
    }

    /// What the kind says, and what whoever failed knew better.
    pub fn nature(&self) -> Nature {
        let usual = Nature::of(self.kind);
        Nature {
            category: self.category.unwrap_or(usual.category),
            severity: self.severity.unwrap_or(usual.severity),
            retryable: self.retryable.unwrap_or(usual.retryable),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_read_each_other_whichever_is_older() {
        let old = r#"{"kind":"busy","message":"cannot: full"}"#;
        let read: Fault = serde_json::from_str(old).expect("read");
        assert_eq!(read.nature(), Nature::of(FaultKind::Busy));
        assert_eq!(serde_json::to_string(&read).expect("written"), old, "an old reader sees what it knows");
        let told = Fault::new(FaultKind::Busy, "cannot: full")
            .category(FaultCategory::Database)
            .severity(FaultSeverity::High)
            .retryable(false)
            .caused_by("disk full");
        let back: Fault =
            serde_json::from_str(&serde_json::to_string(&told).expect("written")).expect("read");
        let nature = back.nature();
        assert_eq!((nature.category, nature.severity), (FaultCategory::Database, FaultSeverity::High));
        assert!(!nature.retryable && back.causes == ["disk full"]);
        let many = (0..99).fold(told, Fault::caused_by);
        assert_eq!(many.causes.len(), MOST_CAUSES);
    }
}
