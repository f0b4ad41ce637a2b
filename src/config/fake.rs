//! Kinds for this room's own tests: like the real ones, which stand on floors above.
use super::{Kind, Kinds, Loaded, Measured, OptionProblem, Problems, Sources, load};
use crate::domain::{MetricKind as K, MetricUnit as U};
use schemars::JsonSchema;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct ServiceOptions {
    /// Program and arguments, no shell.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct HttpOptions {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    expect: Option<Expect>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Expect {
    status: Option<u16>,
    #[serde(default)]
    json: BTreeMap<String, Value>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct UrlOptions {
    /// Where it answers.
    url: String,
}

#[derive(JsonSchema)]
struct NoOptions {}

fn fine(_: &Value) -> Vec<OptionProblem> {
    Vec::new()
}

fn has_path(options: &Value) -> Vec<OptionProblem> {
    match options.get("path").and_then(Value::as_str) {
        Some(path) if !path.starts_with('/') => vec![OptionProblem {
            pointer: "/path".into(),
            message: "must start with /".into(),
            hint: Some("write it like /health".into()),
        }],
        _ => Vec::new(),
    }
}

pub fn kinds() -> Kinds {
    let kind = |name, schema, verify| Kind { name, about: "for tests", schema, verify };
    Kinds {
        agents: vec![
            kind("process", schemars::SchemaGenerator::subschema_for::<ServiceOptions>, fine),
            kind("service", schemars::SchemaGenerator::subschema_for::<ServiceOptions>, fine),
            kind("http", schemars::SchemaGenerator::subschema_for::<UrlOptions>, fine),
        ],
        probes: vec![
            kind("http", schemars::SchemaGenerator::subschema_for::<HttpOptions>, has_path),
            kind("postgres", schemars::SchemaGenerator::subschema_for::<UrlOptions>, fine),
            kind("process", schemars::SchemaGenerator::subschema_for::<NoOptions>, fine),
        ],
        items: vec![kind("attest", schemars::SchemaGenerator::subschema_for::<NoOptions>, fine)],
        checks: vec![
            kind("http", schemars::SchemaGenerator::subschema_for::<HttpOptions>, has_path),
            kind("sql", schemars::SchemaGenerator::subschema_for::<UrlOptions>, fine),
        ],
        metrics: vec![
            Measured { name: "store_query_ms", kind: K::Histogram, unit: U::Milliseconds },
            Measured { name: "agent_memory_bytes", kind: K::Gauge, unit: U::Bytes },
            Measured { name: "errors", kind: K::Counter, unit: U::Count },
            Measured { name: "requests", kind: K::Counter, unit: U::Count },
            Measured { name: "probe_passing", kind: K::Gauge, unit: U::Flag },
        ],
    }
}

/// Writes the text to a file, loads it with these sources, and hides where the file was.
pub fn load_text_with(text: &str, sources: Sources) -> Result<Loaded, Problems> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("agentd.toml");
    std::fs::write(&path, text).expect("a file");
    load(&Sources { file: Some(path), ..sources }, &kinds()).map_err(|mut problems| {
        problems.file = Some(PathBuf::from("agentd.toml"));
        problems
    })
}

pub fn load_text(text: &str) -> Result<Loaded, Problems> {
    load_text_with(text, Sources::default())
}
