//! `service`: a supervised child that serves, usually HTTP, on a port of its own.
use super::{AgentRuntime, Channel, Launch, PortChoice, Work, launch, parse, readiness_probe};
use crate::{
    config::{Kind, OptionProblem, ProbeSettings},
    domain::Fault,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

pub struct Service;

/// A program that serves on a port.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ServiceOptions")]
struct Options {
    /// Program and arguments, no shell. `{port}`, `{index}`, `{name}`, `{agentctl}` and `{artifact}` are
    /// filled in.
    command: Vec<String>,
    /// Where it listens; replica i gets this plus i. 0: any free port, chosen at each start.
    #[serde(default)]
    port: Option<u16>,
    /// Where it runs, `{artifact}` filled in; default: where agentd does.
    #[serde(default)]
    workdir: Option<PathBuf>,
    /// Variables it gets; values are literal or `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

const KIND: Kind = Kind {
    name: "service",
    about: "a supervised child that serves on a port",
    schema: |generator| generator.subschema_for::<Options>(),
    verify,
};

impl AgentRuntime for Service {
    fn kind(&self) -> Kind {
        KIND
    }

    fn work(&self, options: &Value) -> Result<Work, Fault> {
        let options: Options = parse(&KIND, options)?;
        Ok(Work::Spawn(Launch {
            command: options.command,
            workdir: options.workdir,
            environment: options.environment,
            port: options.port.map(|port| if port == 0 { PortChoice::Any } else { PortChoice::From(port) }),
            channel: Channel::None,
        }))
    }

    fn implied_probe(&self, options: &Value) -> Option<ProbeSettings> {
        let kind = if options.get("port").is_some() { "tcp" } else { "process" };
        Some(readiness_probe(kind, json!({})))
    }
}

fn verify(options: &Value) -> Vec<OptionProblem> {
    Options::deserialize(options)
        .map(|options| launch::problems(&options.command, &options.environment, options.port))
        .unwrap_or_default() // malformed: the schema has said so already
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_zero_is_any_port() {
        let port = |options| match Service.work(&options) {
            Ok(Work::Spawn(launch)) => launch.port,
            other => panic!("{other:?}"),
        };
        assert_eq!(port(json!({ "command": ["x"], "port": 8000 })), Some(PortChoice::From(8000)));
        assert_eq!(port(json!({ "command": ["x"], "port": 0 })), Some(PortChoice::Any));
        assert_eq!(port(json!({ "command": ["x"] })), None);
    }

    #[test]
    fn unknown_and_impossible_options_are_refused() {
        for bad in [
            json!({ "command": ["x"], "prot": 1 }),
            json!({ "command": ["x"], "port": 65536 }),
            json!({ "command": "x" }),
            json!({ "command": ["file:/etc/token"] }),
        ] {
            assert!(Service.work(&bad).is_err(), "{bad} was accepted");
        }
    }
}
