//! One check as its category's file declares it.
use crate::domain::{Category, Severity};
use serde::{Deserialize, Serialize};

/// What `agentctl check list|explain` shows, offline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInfo {
    pub id: String,
    pub title: String,
    pub category: Category,
    pub severity: Severity,
    pub weight: u32,
    /// Why it matters.
    pub why: String,
    /// How it is measured, the negative case included.
    pub how: String,
    /// What to do when it fails.
    pub fix: String,
    pub exercised: bool,
}
