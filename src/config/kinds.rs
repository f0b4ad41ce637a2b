//! What a room above tells `config` about one `kind`, so that its options are checked, explained and in the schema
//! although `config` knows no kind by name.
use crate::domain::{MetricKind, MetricUnit};
use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A value that is well formed and still wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionProblem {
    /// JSON pointer inside `options`, `/expect/status`; empty for the whole table.
    pub pointer: String,
    pub message: String,
    pub hint: Option<String>,
}

/// One entry of RUNTIMES, PROBES, DECLARED or ITEMS as `config` sees it.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub about: &'static str,
    /// The JSON Schema of its `options`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// What the schema cannot say.
    pub verify: fn(&Value) -> Vec<OptionProblem>,
}

/// One name of the catalogue of metrics as `config` sees it.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: MetricUnit,
}

/// Every kind there is. Dependencies use probe kinds.
#[derive(Clone, Default)]
pub struct Kinds {
    pub agents: Vec<Kind>,
    pub probes: Vec<Kind>,
    pub checks: Vec<Kind>,
    /// Of the checklist alone; its items may be of the kinds of checks too.
    pub items: Vec<Kind>,
    /// What triggers may speak of.
    pub metrics: Vec<Measured>,
}

/// A kind's own options, or what does not fit them and where.
pub fn read_options<O: DeserializeOwned>(options: &Value) -> Result<O, Vec<OptionProblem>> {
    serde_path_to_error::deserialize::<_, O>(options).map_err(|error| {
        let pointer = error.path().iter().map(|step| format!("/{step}")).collect();
        vec![OptionProblem { pointer, message: error.inner().to_string(), hint: None }]
    })
}
