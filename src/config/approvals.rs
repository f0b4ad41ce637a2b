//! What needs somebody else's yes before it is done, who may give it and for how long it holds.
use crate::domain::{APPROVABLE, Period};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Each approval is for one exact action of one asker, and is used once. Where nothing but goodwill separates an agent
/// from the operator, what stands here is refused: a yes would prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ApprovalSettings {
    /// What needs one, as the audit trail calls it: "waivers/add", "config/reload", "agents/stop". Nothing by default.
    /// A reload by signal is refused then; a stop by signal is not, and is root's and the daemon's own user's alone.
    #[schemars(schema_with = "required")]
    pub required: BTreeSet<String>,
    /// How long it may wait to be given, and then to be used.
    pub valid_for: Period,
    /// Who may give it, of those who have approval.give. Never an agent.
    pub by: ApprovedBy,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self { required: BTreeSet::new(), valid_for: Period::secs(3600), by: ApprovedBy::Another }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovedBy {
    /// Another principal than who asks, from a process of another Unix user: two keys of one user are one person.
    #[default]
    Another,
    /// Who asks too: a second look, not a second person.
    Anybody,
}

fn required(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "enum": APPROVABLE },
    })
}
