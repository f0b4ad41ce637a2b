//! `process`: a supervised child that takes JSON-RPC 2.0 requests as lines on stdin and answers on stdout.
use super::{AgentRuntime, Channel, Launch, Work, launch, parse};
use crate::{
    config::{Kind, OptionProblem, ProbeSettings},
    domain::Fault,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

pub struct Process;

/// A program that speaks JSON-RPC 2.0, one message a line, over stdin and stdout.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProcessOptions")]
struct Options {
    /// Program and arguments, no shell. `{index}`, `{name}`, `{agentctl}` and `{artifact}` are filled in.
    command: Vec<String>,
    /// Where it runs, `{artifact}` filled in; default: where agentd does.
    #[serde(default)]
    workdir: Option<PathBuf>,
    /// Variables it gets; values are literal or `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Ready when it answers a `ping` request (an error is an answer); false: when it has lived for a second.
    #[serde(default = "yes")]
    ping: bool,
}

const KIND: Kind = Kind {
    name: "process",
    about: "a supervised child that takes JSON-RPC 2.0 lines on stdin",
    schema: |generator| generator.subschema_for::<Options>(),
    verify,
};

impl AgentRuntime for Process {
    fn kind(&self) -> Kind {
        KIND
    }

    fn work(&self, options: &Value) -> Result<Work, Fault> {
        let options: Options = parse(&KIND, options)?;
        Ok(Work::Spawn(Launch {
            command: options.command,
            workdir: options.workdir,
            environment: options.environment,
            port: None,
            channel: Channel::JsonRpc { ping: options.ping },
        }))
    }

    /// None: it is asked over its own channel.
    fn implied_probe(&self, _: &Value) -> Option<ProbeSettings> {
        None
    }
}

fn verify(options: &Value) -> Vec<OptionProblem> {
    Options::deserialize(options)
        .map(|options| launch::problems(&options.command, &options.environment, None))
        .unwrap_or_default() // malformed: the schema has said so already
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_pings_unless_told_otherwise_and_refuses_a_port() {
        let channel = |options| match Process.work(&options) {
            Ok(Work::Spawn(launch)) => Some(launch.channel),
            _ => None,
        };
        assert_eq!(channel(json!({ "command": ["x"] })), Some(Channel::JsonRpc { ping: true }));
        assert_eq!(
            channel(json!({ "command": ["x"], "ping": false })),
            Some(Channel::JsonRpc { ping: false })
        );
        assert_eq!(channel(json!({ "command": ["x"], "port": 1 })), None);
        assert_eq!(channel(json!({ "command": ["x", "{port}"] })), None);
        assert_eq!(channel(json!({})), None);
    }
}
