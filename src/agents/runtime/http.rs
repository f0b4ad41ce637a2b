//! `http`: an agent that already runs elsewhere. Nothing is spawned; probes alone say how it is.
use super::{AgentRuntime, Work, parse, readiness_probe};
use crate::{
    config::{Kind, OptionProblem, ProbeSettings},
    domain::Fault,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

pub struct Http;

/// An agent that somebody else runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpAgentOptions")]
struct Options {
    /// Where it answers: http://HOST[:PORT]/PATH or https://…
    url: String,
}

const KIND: Kind = Kind {
    name: "http",
    about: "an agent that already runs elsewhere",
    schema: |generator| generator.subschema_for::<Options>(),
    verify,
};

impl AgentRuntime for Http {
    fn kind(&self) -> Kind {
        KIND
    }

    fn work(&self, options: &Value) -> Result<Work, Fault> {
        let _: Options = parse(&KIND, options)?;
        Ok(Work::External)
    }

    fn implied_probe(&self, options: &Value) -> Option<ProbeSettings> {
        let url = options.get("url")?;
        Some(readiness_probe("http", json!({ "url": url })))
    }
}

fn verify(options: &Value) -> Vec<OptionProblem> {
    let Ok(options) = Options::deserialize(options) else { return Vec::new() };
    let problem = |message: &str, hint: &str| {
        vec![OptionProblem { pointer: "/url".into(), message: message.into(), hint: Some(hint.into()) }]
    };
    match reqwest::Url::parse(&options.url) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            problem("is neither http nor https", "write http://HOST:PORT/")
        }
        Ok(url) if url.password().is_some() => {
            problem("carries a password", "let the agent's side ask for a reference instead")
        }
        Ok(_) => Vec::new(),
        Err(error) => problem(&format!("is not a URL: {error}"), "write http://HOST:PORT/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_web_addresses_are_taken() {
        for (url, good) in [
            ("http://127.0.0.1:9000/health", true),
            ("https://agents.example/", true),
            ("ftp://agents.example/", false),
            ("http://me:secret@agents.example/", false),
            ("agents.example", false),
        ] {
            assert_eq!(Http.work(&json!({ "url": url })).is_ok(), good, "{url}");
        }
    }
}
