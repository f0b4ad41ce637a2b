//! `http`: asks a URL, or a path of every instance of an agent, and asserts on what comes back.
use super::{
    kind::{Look, eye, problem},
    scene::Scene,
};
use crate::{
    config::OptionProblem,
    domain::ByteSize,
    health::{ExpectSettings, Eye},
    readiness::Found,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Asks a URL, or a path of every instance of an agent.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpCheckOptions")]
pub struct Options {
    /// A whole URL: http://HOST:PORT/PATH or https://…
    #[serde(default)]
    url: Option<String>,
    /// Instead of a URL: an agent, every instance of which must answer at `path`.
    #[serde(default)]
    agent: Option<String>,
    /// Path at the agent's own address: `/health?deep=1`.
    #[serde(default)]
    path: Option<String>,
    /// Default GET.
    #[serde(default)]
    method: Option<String>,
    /// Values are literal or `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What the answer must look like; a status of 200 to 299 when nothing is said.
    #[serde(default)]
    expect: Option<ExpectSettings>,
    /// How much of the body is read.
    #[serde(default)]
    max_body: Option<ByteSize>,
}

pub struct Http {
    eye: Eye,
    agent: Option<String>,
    resource: String,
}

impl Look for Http {
    const NAME: &'static str = "http";
    const ABOUT: &'static str = "asks a URL or an agent and asserts on status, headers, body and JSON";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        const HINT: Option<&str> = Some("write url = \"http://…\", or agent = \"NAME\" and path = \"/…\"");
        let mut problems = Vec::new();
        match (&options.url, &options.agent, &options.path) {
            (Some(_), Some(_), _) => {
                problems.push(problem("/agent", "a check has a url or an agent, not both", HINT));
            }
            (None, None, Some(_)) => {
                problems.push(problem("/path", "a path of nobody: name the agent", HINT));
            }
            (None, Some(_), None) => problems.push(problem("/agent", "of an agent a path is asked", HINT)),
            _ => {}
        }
        let eye = eye("http", &options, &["agent"]);
        // Without credentials: a URL that holds some is refused.
        let resource = match (&options.agent, &options.url) {
            (Some(agent), _) => format!("agent/{agent}"),
            (None, url) => format!("url/{}", url.as_deref().unwrap_or_default()),
        };
        match eye {
            Ok(eye) if problems.is_empty() => Ok(Self { eye, agent: options.agent, resource }),
            Err(inner) if problems.is_empty() => Err(inner),
            // Who is asked comes first: what the probe misses then is the same thing.
            _ => Err(problems),
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
    use crate::{
        domain::{FleetSnapshot, Outcome},
        readiness::faults::{FaultServer, Manner},
    };
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[tokio::test]
    async fn refused_failing_and_lying_are_failures_and_a_missing_credential_is_none() {
        let server = FaultServer::start(Manner::Healthy).await.expect("a server");
        let fleet = FleetSnapshot::default();
        let expect = json!({"status": 200, "json": {"$.status": "healthy", "$.database": "/^up$/"}});
        let sound = json!({"url": server.url(), "expect": expect});
        assert_eq!(tried("http", sound.clone(), &fleet).await.outcome, Outcome::Pass);
        for (manner, told) in [(Manner::Failing, "status is 500"), (Manner::Lying, "\"down\", want /^up$/")] {
            server.behave(manner);
            let found = tried("http", sound.clone(), &fleet).await;
            assert!(found.outcome == Outcome::Fail && found.summary.contains(told), "{found:?}");
        }
        let locked = json!({"url": server.url(), "headers": {"authorization": "env:AGENTD_NO_SUCH_TOKEN"}});
        let found = tried("http", locked, &fleet).await;
        assert!(
            found.outcome == Outcome::Error && found.summary.contains("AGENTD_NO_SUCH_TOKEN"),
            "{found:?}"
        );
        let nowhere = json!({"url": "http://no-such-host.invalid/"});
        assert_eq!(tried("http", nowhere, &fleet).await.outcome, Outcome::Error, "nobody could ask it");
        drop(server);
        let found = tried("http", json!({"url": "http://127.0.0.1:1/"}), &fleet).await;
        assert!(found.outcome == Outcome::Fail && found.summary.contains("refused"), "{found:?}");
        let of_nobody = json!({"agent": "orders", "path": "/health"});
        assert_eq!(tried("http", of_nobody, &fleet).await.outcome, Outcome::Error);
    }

    /// Answers one request with exactly this.
    async fn says(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer).await;
        });
        (url, server)
    }

    #[tokio::test]
    async fn what_is_cut_off_of_the_wrong_type_or_meant_for_a_terminal_fails_in_one_plain_line() {
        let json = json!({"$.status": "healthy"});
        for (answer, told) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"status\": \"healthy\"}"[..], "broke off"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", "is not JSON"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\": [1]}", "$.status is [1]"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"status\": \"\x1b", "is not JSON"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\x1b[2J\nPASS\0", "is not JSON"),
            (b"%% this is not HTTP\n", "invalid HTTP"),
            (b"", "closed"),
        ] {
            let (url, server) = says(answer).await;
            let asked = json!({"url": url, "expect": {"json": json}});
            let found = tried("http", asked, &FleetSnapshot::default()).await;
            server.await.expect("served");
            assert!(found.outcome == Outcome::Fail, "{found:?}");
            assert!(found.summary.contains(told), "want {told}: {found:?}");
            assert!(!found.summary.chars().any(char::is_control), "{found:?}");
        }
    }

    #[test]
    fn whom_to_ask_must_be_said_once() {
        assert_eq!(refused("http", json!({})), [""]);
        assert_eq!(refused("http", json!({"path": "/x"})), ["/path"]);
        assert_eq!(refused("http", json!({"agent": "orders"})), ["/agent"]);
        assert_eq!(refused("http", json!({"agent": "orders", "url": "http://x/"})), ["/agent"]);
        assert_eq!(
            refused("http", json!({"url": "http://x/", "expect": {"status": 99}})),
            ["/expect/status"]
        );
        assert_eq!(refused("http", json!({"url": "http://ana:hunter2@x/"})), ["/url"]);
    }
}
