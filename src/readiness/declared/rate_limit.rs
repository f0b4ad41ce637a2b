//! `rate-limit`: asks a URL one request after the other until it refuses. A limit that nobody has seen refuse is none.
use super::{
    kind::{Look, problem},
    scene::{Scene, found},
};
use crate::{config::OptionProblem, health::Asker, readiness::Found};
use hyper::header::RETRY_AFTER;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep};

/// Between two requests: what is asked is a limit, and not how much it bears.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks a URL until it refuses with 429.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RateLimitCheckOptions")]
pub struct Options {
    /// A whole URL that is limited: http://HOST:PORT/PATH or https://…
    url: String,
    /// Default GET.
    #[serde(default)]
    method: Option<String>,
    /// Values are literal or `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// By which request at the latest it must refuse; no more are sent.
    #[serde(default = "within")]
    #[schemars(range(min = 2, max = 1000))]
    within: u32,
    /// The status that refuses.
    #[serde(default = "too_many")]
    #[schemars(range(min = 400, max = 599))]
    status: u16,
}

fn within() -> u32 {
    60
}
fn too_many() -> u16 {
    429
}

pub struct RateLimit {
    asker: Asker,
    within: u32,
    status: u16,
    resource: String,
}

impl Look for RateLimit {
    const NAME: &'static str = "rate-limit";
    const ABOUT: &'static str = "asks a URL one request after the other until it refuses";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if !(2..=1000).contains(&options.within) {
            return Err(vec![problem("/within", "is not from 2 to 1000", None)]);
        }
        let Options { url, method, headers, within, status } = options;
        let asker = Asker::new(&url, method.as_deref(), &headers)?;
        Ok(Self { asker, within, status, resource: format!("url/{url}") })
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, _: &Scene<'_>) -> Found {
        let began = Instant::now();
        for nth in 1..=self.within {
            let head = match self.asker.ask(&[]).await {
                Ok(head) => head,
                Err(miss) => return found(Err(miss)).seen(format!("at request {nth}")),
            };
            let status = head.status;
            if status == self.status && nth == 1 {
                return Found::error(format!(
                    "it refuses the first request already, with {status}: it is not seen to let any pass"
                ));
            }
            if status == self.status {
                let took = began.elapsed().as_secs_f64();
                let again = head.headers.get(RETRY_AFTER).map_or("no Retry-After", |_| "Retry-After");
                return Found::pass(format!("it lets {} pass and refuses the next with {status}", nth - 1))
                    .seen(format!("{nth} requests in {took:.1} s; the refusal has {again}"));
            }
            // One that is refused for want of a credential is counted as any other.
            if status >= 400 && !matches!(status, 401 | 403) {
                return Found::fail(format!("request {nth} is answered with {status}, and not limited"));
            }
            sleep(PAUSE).await;
        }
        Found::fail(format!("it lets {} requests pass and refuses none", self.within))
            .seen(format!("in {:.1} s", began.elapsed().as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        scene::{refused, tried},
        stage::Stage,
    };
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    /// Answers so many with `before`, then with `after`.
    async fn limits(after: u32, before: &'static str, then: &'static str) -> (Stage, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let stage = Stage::serving(move |_| {
            let status = if count.fetch_add(1, Ordering::SeqCst) < after { before } else { then };
            format!("HTTP/1.1 {status}\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n")
        });
        (stage.await, asked)
    }

    #[tokio::test]
    async fn only_a_limit_that_was_seen_to_refuse_passes_and_no_more_is_asked_than_said() {
        const MANY: &str = "429 Too Many Requests";
        let fleet = FleetSnapshot::default();
        for (after, before, then, outcome, told, most) in [
            (4, "200 OK", MANY, Outcome::Pass, "it lets 4 pass and refuses the next", 5),
            (4, "401 Unauthorized", MANY, Outcome::Pass, "it lets 4 pass", 5),
            (99, "200 OK", MANY, Outcome::Fail, "lets 9 requests pass and refuses none", 9),
            (0, "200 OK", MANY, Outcome::Error, "refuses the first request", 1),
            (2, "200 OK", "503 Oops", Outcome::Fail, "request 3 is answered with 503", 3),
            (0, "200 OK", "404 Not Found", Outcome::Fail, "request 1 is answered with 404", 1),
        ] {
            let (stage, asked) = limits(after, before, then).await;
            let found = tried("rate-limit", json!({"url": stage.url("/"), "within": 9}), &fleet).await;
            assert!(found.outcome == outcome && found.summary.contains(told), "{found:?}");
            assert_eq!(asked.load(Ordering::SeqCst), most, "{told}");
        }
        let dead = tried("rate-limit", json!({"url": "http://127.0.0.1:1/"}), &fleet).await;
        assert!(dead.outcome == Outcome::Fail && dead.summary.contains("refused"), "{dead:?}");
    }

    #[test]
    fn it_is_bounded() {
        assert_eq!(refused("rate-limit", json!({"url": "http://x/", "within": 1})), ["/within"]);
        assert_eq!(refused("rate-limit", json!({"url": "http://x/", "within": 100_000})), ["/within"]);
        assert_eq!(refused("rate-limit", json!({"url": "nowhere"})), ["/url"]);
    }
}
