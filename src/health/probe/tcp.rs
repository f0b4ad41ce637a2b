//! `tcp`: opens a connection and closes it. Proves that somebody listens, and whose process it is.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    health::{Target, identity, net},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Opens a connection to a port.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TcpProbeOptions")]
pub struct Options {
    /// Default: the instance's own port.
    #[serde(default)]
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// Default: 127.0.0.1.
    #[serde(default)]
    host: Option<String>,
    /// Must the listener belong to the agent's own processes? Default: for a supervised agent, yes.
    #[serde(default)]
    identity: Option<bool>,
}

pub struct Tcp {
    options: Options,
}

impl Probe for Tcp {
    const NAME: &'static str = "tcp";
    const ABOUT: &'static str = "opens a connection to a port";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let found = [net::check_host(options.host.as_deref()), net::check_port(options.port)];
        let problems: Vec<_> = found.into_iter().flatten().collect();
        if problems.is_empty() { Ok(Self { options }) } else { Err(problems) }
    }

    async fn look(&self, target: &Target) -> Seen {
        let port = target.port(self.options.port)?;
        let stream = net::connect(self.options.host.as_deref().unwrap_or(&target.host), port).await?;
        // While the connection is open its listener cannot have gone.
        identity::check(target, port, self.options.identity, self.options.host.is_some()).await?;
        drop(stream);
        Ok(format!("port {port} is open"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{look::tests::ask, probe::compile};
    use serde_json::json;
    use std::net::TcpListener;

    #[tokio::test]
    async fn an_open_port_passes_and_a_closed_one_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let target = Target::local("db", Some(port));
        assert!(ask("tcp", json!({}), &target).await.ok);
        assert!(ask("tcp", json!({"host": "localhost", "port": port}), &target).await.ok);
        drop(listener);
        let seen = ask("tcp", json!({}), &target).await;
        assert!(!seen.ok && seen.detail.contains("connection refused"), "{}", seen.detail);
    }

    #[tokio::test]
    async fn without_any_port_it_fails_and_does_not_guess() {
        let seen = ask("tcp", json!({}), &Target::local("db", None)).await;
        assert!(!seen.ok && seen.detail.contains("no port"), "{}", seen.detail);
    }

    #[test]
    fn an_impossible_address_is_a_problem_at_its_key() {
        let problems = compile("tcp", &json!({"host": "a b", "port": 0})).err().expect("problems");
        let at: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(at, ["/host", "/port"]);
    }
}
