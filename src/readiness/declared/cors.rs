//! `cors`: asks a URL as a page of somebody else's would, and looks at what the answer lets that page do.
use super::{
    kind::{Look, problem},
    scene::{Scene, found},
};
use crate::{
    config::OptionProblem,
    health::{Asker, Head, Miss},
    readiness::{Found, Proof},
};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, HeaderName,
    HeaderValue, ORIGIN,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A page of nobody's; and what a browser calls one without an origin.
const FOREIGN: &str = "https://foreign.invalid";
const NULL: &str = "null";

/// Asks a URL as a foreign page would.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CorsCheckOptions")]
pub struct Options {
    /// A whole URL: http://HOST:PORT/PATH or https://…
    url: String,
    /// Values are literal or `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// An origin of yours, which must be let in.
    #[serde(default)]
    allowed: Option<String>,
    /// It is meant for every page: `*` passes, as long as no credentials go with it.
    #[serde(default)]
    public: bool,
}

pub struct Cors {
    plain: Asker,
    preflight: Asker,
    allowed: Option<HeaderValue>,
    public: bool,
    resource: String,
}

impl Look for Cors {
    const NAME: &'static str = "cors";
    const ABOUT: &'static str = "asks a URL as a foreign page would, and looks at what the answer allows it";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let allowed = options.allowed.as_deref().map(|origin| {
            let whole =
                reqwest::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
            HeaderValue::from_str(origin).ok().filter(|_| whole)
        });
        if allowed == Some(None) {
            let hint = Some("write it as a browser sends it: https://app.shop.example");
            problems.push(problem("/allowed", "is no origin", hint));
        }
        let plain = Asker::new(&options.url, None, &options.headers);
        let preflight = Asker::new(&options.url, Some("OPTIONS"), &BTreeMap::new());
        match (plain, preflight) {
            (Ok(plain), Ok(preflight)) if problems.is_empty() => Ok(Self {
                plain,
                preflight,
                allowed: allowed.flatten(),
                public: options.public,
                resource: format!("url/{}", options.url),
            }),
            (plain, _) => Err(plain.err().into_iter().flatten().chain(problems).collect()),
        }
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, _: &Scene<'_>) -> Found {
        match self.exercise().await {
            Ok(proof) => proof.judge("no foreign page is let in"),
            Err(miss) => found(Err(miss)),
        }
    }
}

impl Cors {
    async fn exercise(&self) -> Result<Proof, Miss> {
        let mut proof = Proof::default();
        for origin in [FOREIGN, NULL] {
            let sent = HeaderValue::from_static(origin);
            let head = self.plain.ask(&[(ORIGIN, sent.clone())]).await?;
            // What is not there, or is broken, says nothing of what it would allow.
            let answers = head.status < 500 && head.status != 404;
            proof.holds(answers, format!("asked from {origin} it answers {}", head.status));
            self.weigh(&mut proof, origin, "", &head);
            let asks = (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
            let head = self.preflight.ask(&[(ORIGIN, sent), asks]).await?;
            self.weigh(&mut proof, origin, "preflight: ", &head);
        }
        if let Some(own) = &self.allowed {
            let head = self.plain.ask(&[(ORIGIN, own.clone())]).await?;
            let let_in =
                values(&head, &ACCESS_CONTROL_ALLOW_ORIGIN).any(|value| value == own || value == "*");
            let told = if let_in { "lets it in" } else { "does not let it in" };
            proof.holds(let_in, format!("asked from an origin of its own it {told}"));
        }
        Ok(proof)
    }

    fn weigh(&self, proof: &mut Proof, origin: &str, what: &str, head: &Head) {
        let credentials = values(head, &ACCESS_CONTROL_ALLOW_CREDENTIALS).any(|value| value == "true");
        let with = if credentials { ", with credentials" } else { "" };
        let mut none = true;
        for value in values(head, &ACCESS_CONTROL_ALLOW_ORIGIN) {
            none = false;
            if value == "*" {
                let fits = self.public && !credentials;
                proof.holds(fits, format!("{what}asked from {origin} it lets every page in{with}"));
            } else if value == origin {
                proof.holds(
                    false,
                    format!("{what}asked from {origin} it lets just that in{with}: it mirrors"),
                );
            } else {
                proof.holds(true, format!("{what}asked from {origin} it names another origin"));
            }
        }
        if none {
            proof.holds(true, format!("{what}asked from {origin} it lets nobody in"));
        }
    }
}

fn values<'a>(head: &'a Head, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
    head.headers.get_all(name).into_iter()
}

#[cfg(test)]
mod tests {
    use super::super::{
        scene::{refused, tried},
        stage::Stage,
    };
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;

    /// A server that answers so, `{origin}` filled in with who asks.
    async fn says(status: &'static str, headers: &'static str) -> Stage {
        Stage::serving(move |request| {
            let origin = request.lines().find_map(|line| line.strip_prefix("origin: ")).unwrap_or("none");
            let headers = headers.replace("{origin}", origin);
            format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n")
        })
        .await
    }

    #[tokio::test]
    async fn who_mirrors_the_origin_or_lets_everybody_in_fails() {
        const OWN: &str = "access-control-allow-origin: https://app.shop.example\r\n";
        const STAR: &str = "access-control-allow-origin: *\r\n";
        const OPEN: &str = "access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n";
        const MIRROR: &str =
            "access-control-allow-origin: {origin}\r\naccess-control-allow-credentials: true\r\n";
        let fleet = FleetSnapshot::default();
        for (status, headers, more, outcome, told) in [
            ("200 OK", "", json!({}), Outcome::Pass, "no foreign page"),
            ("401 Unauthorized", OWN, json!({}), Outcome::Pass, "no foreign page"),
            ("200 OK", OWN, json!({"allowed": "https://app.shop.example"}), Outcome::Pass, "no foreign"),
            (
                "200 OK",
                "",
                json!({"allowed": "https://app.shop.example"}),
                Outcome::Fail,
                "does not let it in",
            ),
            ("200 OK", STAR, json!({}), Outcome::Fail, "lets every page in"),
            ("200 OK", STAR, json!({"public": true}), Outcome::Pass, "no foreign"),
            ("200 OK", OPEN, json!({"public": true}), Outcome::Fail, "with credentials"),
            ("200 OK", MIRROR, json!({"public": true}), Outcome::Fail, "it mirrors"),
            (
                "200 OK",
                "access-control-allow-origin: null\r\n",
                json!({}),
                Outcome::Fail,
                "from null it lets",
            ),
            ("500 Oops", "", json!({}), Outcome::Fail, "answers 500"),
            ("404 Not Found", "", json!({}), Outcome::Fail, "answers 404"),
            ("200 OK", "access-control-allow-origin: \x1b[2J\r\n", json!({}), Outcome::Fail, ""),
        ] {
            let stage = says(status, headers).await;
            let mut options = json!({"url": stage.url("/")});
            options.as_object_mut().expect("a table").extend(more.as_object().cloned().expect("a table"));
            let found = tried("cors", options, &fleet).await;
            assert!(
                found.outcome == outcome && found.summary.contains(told),
                "{status} {headers}: {found:?}"
            );
            assert!(!format!("{}{:?}", found.summary, found.evidence).contains('\x1b'), "{found:?}");
        }
        let dead = tried("cors", json!({"url": "http://127.0.0.1:1/"}), &fleet).await;
        assert!(dead.outcome == Outcome::Fail && dead.summary.contains("refused"), "{dead:?}");
    }

    #[test]
    fn an_origin_is_written_as_a_browser_sends_it() {
        for origin in ["app.shop.example", "https://app.shop.example/", "https://a b"] {
            assert_eq!(
                refused("cors", json!({"url": "http://x/", "allowed": origin})),
                ["/allowed"],
                "{origin}"
            );
        }
        assert_eq!(refused("cors", json!({"url": "x"})), ["/url"]);
    }
}
