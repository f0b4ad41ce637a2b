//! The report itself. Every other format is made from it, and `agentctl report verify` recomputes it.
use crate::{
    domain::{Fault, Report},
    readiness::request::SCHEMA,
};
use serde::Deserialize;
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

/// A report as it was written, of a version that is known here.
pub fn parse(text: &str) -> Result<Report, Fault> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u32,
    }
    let hint = "`agentctl validate -o json` writes one";
    // The version first: of a newer one nothing else can be told.
    let Versioned { schema_version } = serde_json::from_str(text)
        .map_err(|error| Fault::usage(format!("cannot read a report: {error}")).hint(hint))?;
    if schema_version != SCHEMA {
        let message =
            format!("cannot read a report of version {schema_version}: this agentctl knows version {SCHEMA}");
        return Err(Fault::usage(message).hint("use the agentctl that wrote it, or a newer one"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let report = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        Fault::usage(format!("cannot read a report: {}: {}", error.path(), error.inner())).hint(hint)
    })?;
    reader.end().map_err(|error| Fault::usage(format!("cannot read a report: {error}")).hint(hint))?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    #[test]
    fn a_report_reads_back_and_what_is_none_says_where() {
        let text = render(&sample::rich()).expect("json");
        assert_eq!(parse(&text).expect("a report"), sample::rich());
        let newer = text.replacen("\"schema_version\": 1", "\"schema_version\": 2", 1);
        for (text, why) in [
            ("", "EOF"),
            ("[]", "invalid"),
            ("{}", "missing field `schema_version`"),
            (newer.as_str(), "of version 2: this agentctl knows version 1"),
            (&text.replacen("\"low\": 41.25", "\"low\": 1e999", 1), "score"),
            (
                &text.replacen("\"outcome\": \"pass\"", "\"outcome\": \"fine\"", 1),
                "findings[0].outcome: unknown variant",
            ),
            (&text.replacen("\"weight\": 2,", "\"weight\": -2,", 1), "findings[0].weight"),
            (&text.replacen("\"verdict\"", "\"bar\": 1.0, \"verdict\"", 1), "duplicate field"),
            (&format!("{text}{{}}"), "trailing characters"),
        ] {
            let fault = parse(text).expect_err(why);
            assert!(fault.message.contains(why), "{why}: {}", fault.message);
        }
    }
}
