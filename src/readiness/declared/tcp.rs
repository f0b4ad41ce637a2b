//! `tcp`: somebody must accept a connection; for an agent, that somebody must be the agent itself.
use super::{
    kind::{Look, eye, problem},
    scene::Scene,
};
use crate::{config::OptionProblem, health::Eye, readiness::Found};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Opens a connection to a port, or to every instance of an agent.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TcpCheckOptions")]
pub struct Options {
    /// Default: 127.0.0.1.
    #[serde(default)]
    host: Option<String>,
    /// The port; of an agent, default its own.
    #[serde(default)]
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// Instead of an address: an agent, every instance of which must accept on its own port.
    #[serde(default)]
    agent: Option<String>,
}

pub struct Tcp {
    eye: Eye,
    agent: Option<String>,
    resource: String,
}

impl Look for Tcp {
    const NAME: &'static str = "tcp";
    const ABOUT: &'static str = "opens a connection to a port";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if options.agent.is_none() && options.port.is_none() {
            problems.push(problem("", "the check needs a port or an agent", Some("write port = 5432")));
        }
        if options.agent.is_some() && options.host.is_some() {
            problems.push(problem("/host", "a check has a host or an agent, not both", None));
        }
        let resource = match (&options.agent, options.port) {
            (Some(agent), _) => format!("agent/{agent}"),
            (None, port) => {
                format!("tcp/{}:{}", options.host.as_deref().unwrap_or("127.0.0.1"), port.unwrap_or_default())
            }
        };
        match eye("tcp", &options, &["agent"]) {
            Ok(eye) if problems.is_empty() => Ok(Self { eye, agent: options.agent, resource }),
            Ok(_) => Err(problems),
            Err(inner) => Err(problems.into_iter().chain(inner).collect()),
        }
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        scene.see(&self.eye, self.agent.as_deref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_closed_port_fails_and_an_unknown_host_is_no_answer() {
        let fleet = FleetSnapshot::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(tried("tcp", json!({"port": port}), &fleet).await.outcome, Outcome::Pass);
        drop(listener);
        let found = tried("tcp", json!({"port": port}), &fleet).await;
        assert!(found.outcome == Outcome::Fail && found.summary.contains("refused"), "{found:?}");
        let found = tried("tcp", json!({"host": "no-such-host.invalid", "port": port}), &fleet).await;
        assert_eq!(found.outcome, Outcome::Error, "{found:?}");
    }

    #[test]
    fn an_address_that_is_none_is_a_problem() {
        assert_eq!(refused("tcp", json!({})), [""]);
        assert_eq!(refused("tcp", json!({"port": 0, "host": "a b"})), ["/host", "/port"]);
        assert_eq!(refused("tcp", json!({"agent": "orders", "host": "x"})), ["/host"]);
    }
}
