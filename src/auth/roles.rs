//! What application roles may do: the table that ships, and the roles of the file.
use crate::config::Settings;

/// Resolved from the settings in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {}

impl Roles {
    pub fn of(_settings: &Settings) -> Self {
        Self {}
    }
}
