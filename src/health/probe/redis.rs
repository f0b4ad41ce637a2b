//! `redis`: connects to a Redis server and asks it for a PONG.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    health::{Miss, Target, reference::Reference},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Connects to a Redis server and sends PING.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisProbeOptions")]
pub struct Options {
    /// `redis://HOST:PORT/DB`, or where it is kept: `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    url: String,
}

pub struct Redis {
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "this build cannot ask"))]
    url: Reference,
}

impl Probe for Redis {
    const NAME: &'static str = "redis";
    const ABOUT: &'static str = "connects to a Redis server and sends PING";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let url = Reference::url(&options.url).map_err(|(message, hint)| {
            vec![OptionProblem { pointer: "/url".into(), message, hint: Some(hint.into()) }]
        })?;
        Ok(Self { url })
    }

    #[cfg(feature = "redis")]
    async fn look(&self, _: &Target) -> Seen {
        let asked = ping(&self.url).await;
        if asked.is_err() {
            self.url.forget();
        }
        asked
    }

    #[cfg(not(feature = "redis"))]
    async fn look(&self, _: &Target) -> Seen {
        Err(Miss::blind("this build lacks the feature `redis`"))
    }
}

#[cfg(feature = "redis")]
async fn ping(url: &Reference) -> Seen {
    use crate::health::words;
    use secrecy::ExposeSecret;
    let url = url.get().await?;
    // Its errors about the form of a URL may repeat parts of it.
    let client = redis::Client::open(url.expose_secret())
        .map_err(|_| Miss::blind("the url is not one of Redis, or asks for TLS, which this build lacks"))?;
    // The look's own deadline is the only one.
    let config = redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(|error| format!("cannot connect: {}", words::chain(&error)))?;
    let answer: String =
        redis::cmd("PING").query_async(&mut connection).await.map_err(|error| words::chain(&error))?;
    if answer == "PONG" {
        Ok("PONG".into())
    } else {
        Err(format!("PING was answered by {answer:?}, want PONG").into())
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::health::probe::compile;
    use serde_json::json;

    #[test]
    fn a_password_in_the_file_is_a_problem() {
        assert!(compile("redis", &json!({"url": "redis://:hunter2@cache/0"})).is_err());
        assert!(compile("redis", &json!({"url": "file:/run/secrets/redis-url"})).is_ok());
    }

    #[tokio::test]
    async fn only_a_pong_passes() {
        use crate::{
            domain::Period,
            health::look::{
                look,
                tests::{ask, settings},
            },
            resilience::Clock,
        };
        use tokio::{
            io::{AsyncReadExt, AsyncWriteExt},
            net::TcpListener,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let options = json!({ "url": format!("redis://127.0.0.1:{port}/") });
        let target = Target::local("cache", None);
        let mut mute = settings("redis", options.clone());
        mute.deadline = Period::millis(300);
        let seen = look(&mute, &target, &Clock::system()).await;
        assert_eq!((seen.ok, seen.detail.as_str()), (false, "no answer within 300 ms"));
        let (says, said) = tokio::sync::watch::channel("+PONG\r\n");
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let said = said.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(count) = stream.read(&mut buffer).await {
                        let text = String::from_utf8_lossy(&buffer[..count]).to_ascii_uppercase();
                        if count == 0 {
                            return;
                        }
                        // The client introduces itself first, in one go: an answer each.
                        let setup = text.matches("CLIENT").count();
                        let mut answer = "+OK\r\n".repeat(setup);
                        if text.contains("PING") {
                            answer.push_str(*said.borrow());
                        }
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        let seen = ask("redis", options.clone(), &target).await;
        assert!(seen.ok, "{}", seen.detail);
        for wrong in [
            "-LOADING Redis is loading the dataset in memory\r\n",
            "+OK\r\n",
            "-NOAUTH Authentication required.\r\n",
        ] {
            says.send(wrong).expect("a server");
            let seen = ask("redis", options.clone(), &target).await;
            assert!(!seen.ok, "{wrong:?} passed: {}", seen.detail);
        }
        server.abort();
        let _ = server.await;
        let seen = ask("redis", options, &target).await;
        assert!(!seen.ok && seen.detail.contains("refused"), "{}", seen.detail);
    }
}
