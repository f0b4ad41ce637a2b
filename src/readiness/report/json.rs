//! The report itself. Every other format is made from it, and `agentctl report verify` recomputes it.
use crate::domain::{Fault, Report};
use serde_json::Value;

pub fn render(report: &Report) -> Result<String, Fault> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Fault::internal(format!("cannot write the report as json: {error}")))?;
    Ok(text + "\n")
}

/// The JSON Schema of a report, kept as `dist/report.schema.json`.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".into(), "A readiness report of agentctl".into());
    schema.to_value()
}
