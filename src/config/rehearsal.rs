//! `[rehearsal]`: what a release that is started beside the fleet finds in the place of what is live.
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rehearsals of a return: `agentctl rollback rehearse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RehearsalSettings {
    /// How old the last rehearsal of a return may be.
    pub max_age: Period,
    /// How long the agents may take to come up, all together; and how long each of the two commands may take.
    pub deadline: Period,
    /// Variables that every agent gets in a rehearsal, in the place of those it has: a scratch database, a key of a
    /// sandbox. Values are literal or "env:NAME", "file:PATH", "exec:PROGRAM ARGS". The two commands get them too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Program and arguments, no shell: makes what `env` leads to, such as a scratch copy of the database. It gets
    /// AGENTD_RELEASE (what is rehearsed) and AGENTD_RELEASE_FROM (what runs); run again where agentd was cut off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<String>,
    /// Program and arguments, no shell: takes away what `prepare` made. Run after every rehearsal, however it ended, and
    /// more than once where agentd was cut off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discard: Vec<String>,
    /// Agents that are never started in a rehearsal, each with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub leave_out: BTreeMap<String, String>,
}

impl Default for RehearsalSettings {
    fn default() -> Self {
        Self {
            max_age: Period::secs(30 * 86400),
            deadline: Period::secs(600),
            env: BTreeMap::new(),
            prepare: Vec::new(),
            discard: Vec::new(),
            leave_out: BTreeMap::new(),
        }
    }
}
