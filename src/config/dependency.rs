//! What agents need that agentd does not run: how it is looked at, and by what policy.
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DependencySettings {
    pub name: String,
    /// A probe kind: tcp, http, exec, sqlite, postgres or redis.
    pub kind: String,
    /// The [policy.NAME] that its breaker goes by. Default: the one of its own name, else `database` or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default = "every")]
    pub every: Period,
    /// Default: 5s, or `every` where that is shorter.
    #[serde(default = "deadline")]
    pub deadline: Period,
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: u32,
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub success_threshold: u32,
    /// Depends on the kind.
    #[serde(default = "empty_table")]
    pub options: Value,
}

fn one() -> u32 {
    1
}
fn three() -> u32 {
    3
}
fn every() -> Period {
    Period::secs(30)
}
fn deadline() -> Period {
    Period::secs(5)
}
fn empty_table() -> Value {
    Value::Object(serde_json::Map::new())
}
