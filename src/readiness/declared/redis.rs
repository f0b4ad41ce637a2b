//! `redis`: the server must answer a PING.
use super::{
    kind::{Look, eye},
    scene::Scene,
};
use crate::{config::OptionProblem, health::Eye, readiness::Found};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connects to a Redis server and sends PING.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisCheckOptions")]
pub struct Options {
    /// `redis://HOST:PORT/DB`, or where it is kept: `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    url: String,
}

pub struct Redis {
    eye: Eye,
    resource: String,
}

impl Look for Redis {
    const NAME: &'static str = "redis";
    const ABOUT: &'static str = "connects to a Redis server and sends PING";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let eye = eye("redis", &options, &[])?;
        // A reference or a URL without a password, or it would have been refused.
        Ok(Self { eye, resource: format!("redis/{}", options.url) })
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        scene.see(&self.eye, None).await
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::super::scene::{refused, tried};
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;

    #[tokio::test]
    async fn a_dead_server_fails_and_a_url_that_cannot_be_had_is_an_error() {
        let fleet = FleetSnapshot::default();
        let dead = tried("redis", json!({"url": "redis://127.0.0.1:1/"}), &fleet).await;
        assert!(dead.outcome == Outcome::Fail && dead.summary.contains("refused"), "{dead:?}");
        for url in ["env:AGENTD_NO_SUCH_URL", "http://127.0.0.1/"] {
            let found = tried("redis", json!({ "url": url }), &fleet).await;
            assert_eq!(found.outcome, Outcome::Error, "{found:?}");
        }
        assert_eq!(refused("redis", json!({"url": "redis://:hunter2@cache/0"})), ["/url"]);
    }
}
