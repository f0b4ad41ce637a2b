//! Kinds of agent. Each parses its own `options`, says what must be spawned and by what it is known to be ready.
//! A new kind is one file and one line in `RUNTIMES`.
mod http;
mod launch;
mod process;
mod service;

pub use launch::{Channel, Launch, PortChoice, Slots, Work};

use crate::{
    config::{AgentSettings, Kind, ProbeSettings},
    domain::{Fault, FaultKind, ProbeRole},
};
use serde_json::Value;

/// Every kind there is, in the order that the documentation lists them.
pub const RUNTIMES: &[&dyn AgentRuntime] = &[&process::Process, &service::Service, &http::Http];

pub trait AgentRuntime: Sync {
    /// What `config` needs to check and describe the options.
    fn kind(&self) -> Kind;
    /// What starting an instance amounts to. Fails on options that `kind().verify` finds a problem in.
    fn work(&self, options: &Value) -> Result<Work, Fault>;
    /// By what it is known to be ready when the manifest declares no startup or readiness probe.
    fn implied_probe(&self, options: &Value) -> Option<ProbeSettings>;
}

/// The runtime of a kind.
pub fn of(kind: &str) -> Result<&'static dyn AgentRuntime, Fault> {
    RUNTIMES.iter().copied().find(|runtime| runtime.kind().name == kind).ok_or_else(|| {
        let known: Vec<_> = RUNTIMES.iter().map(|runtime| runtime.kind().name).collect();
        Fault::new(FaultKind::Config, format!("cannot run agents of kind `{}`", kind.escape_debug()))
            .hint(format!("kinds are {}", known.join(", ")))
    })
}

/// The declared probes, and the implied one where none says when the agent is ready.
pub fn probes_of(agent: &AgentSettings) -> Vec<ProbeSettings> {
    let mut probes = agent.probes.clone();
    if !probes.iter().any(|probe| matches!(probe.role, ProbeRole::Startup | ProbeRole::Readiness)) {
        probes.extend(of(&agent.kind).ok().and_then(|runtime| runtime.implied_probe(&agent.options)));
    }
    probes
}

/// A readiness probe with the defaults of a declared one, told from it by its name.
fn readiness_probe(kind: &str, options: Value) -> ProbeSettings {
    ProbeSettings::readiness(format!("implied-{kind}"), kind, options)
}

/// Options as their struct; the first problem becomes the fault.
fn parse<T: serde::de::DeserializeOwned>(kind: &Kind, options: &Value) -> Result<T, Fault> {
    let wrong = |what: String| {
        Fault::new(FaultKind::Config, format!("cannot use the options of a {} agent: {what}", kind.name))
            .hint("`agentctl config check` shows where")
    };
    if let Some(problem) = (kind.verify)(options).into_iter().next() {
        return Err(wrong(format!("{} {}", problem.pointer, problem.message)));
    }
    T::deserialize(options).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub fn agent(kind: &str, options: Value, probes: Value) -> AgentSettings {
        serde_json::from_value(json!({ "name": "a", "kind": kind, "options": options, "probe": probes }))
            .expect("settings")
    }

    #[test]
    fn a_probe_is_implied_only_where_none_says_ready() {
        let command = json!(["x"]);
        let table = [
            (agent("service", json!({ "command": command, "port": 80 }), json!([])), vec!["implied-tcp"]),
            (agent("service", json!({ "command": command, "port": 0 }), json!([])), vec!["implied-tcp"]),
            (agent("service", json!({ "command": command }), json!([])), vec!["implied-process"]),
            (agent("http", json!({ "url": "http://127.0.0.1:9/" }), json!([])), vec!["implied-http"]),
            (agent("process", json!({ "command": command }), json!([])), vec![]),
            (
                agent(
                    "service",
                    json!({ "command": command, "port": 80 }),
                    json!([{ "name": "live", "role": "liveness", "kind": "tcp" }]),
                ),
                vec!["live", "implied-tcp"],
            ),
            (
                agent(
                    "service",
                    json!({ "command": command, "port": 80 }),
                    json!([{ "name": "up", "role": "startup", "kind": "http" }]),
                ),
                vec!["up"],
            ),
        ];
        for (agent, want) in table {
            let names: Vec<_> = probes_of(&agent).into_iter().map(|probe| probe.name).collect();
            assert_eq!(names, want, "{:?}", agent.options);
        }
    }

    #[test]
    fn an_implied_probe_has_the_defaults_of_a_declared_one() {
        let declared = json!({ "name": "implied-tcp", "kind": "tcp" });
        let declared: ProbeSettings = serde_json::from_value(declared).expect("settings");
        assert_eq!(readiness_probe("tcp", json!({})), declared);
    }

    #[test]
    fn an_unknown_kind_names_the_known_ones() {
        let fault = of("proces").err().expect("a fault");
        assert_eq!(fault.kind, FaultKind::Config);
        assert!(fault.hint.is_some_and(|hint| hint.contains("process, service, http")));
    }
}
