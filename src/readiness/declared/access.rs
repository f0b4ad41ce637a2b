//! `access`: a guarded URL is seen to refuse whoever has no credential, or a weak one, and to serve whoever has the
//! right one. One that serves everybody, or nobody, guards nothing.
use super::{
    kind::{Look, problem},
    scene::{Scene, found},
};
use crate::{
    config::OptionProblem,
    health::{Asker, Miss},
    readiness::{Found, Proof},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Asks a guarded URL without a credential, with a weak one and with the right one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AccessCheckOptions")]
pub struct Options {
    /// A whole URL that only some may ask: http://HOST:PORT/PATH or https://…
    url: String,
    /// Default GET.
    #[serde(default)]
    method: Option<String>,
    /// Headers with the right credential: `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`. They must be answered with 2xx.
    #[schemars(length(min = 1))]
    headers: BTreeMap<String, String>,
    /// Headers with a credential that is known and not enough. They must be refused, as is who shows none.
    #[serde(default)]
    weak: BTreeMap<String, String>,
    /// With which statuses it may refuse.
    #[serde(default = "refusals")]
    #[schemars(length(min = 1))]
    refuses: Vec<u16>,
}

fn refusals() -> Vec<u16> {
    vec![401, 403]
}

pub struct Access {
    nobody: Asker,
    weak: Option<Asker>,
    right: Asker,
    refuses: Vec<u16>,
    resource: String,
}

impl Look for Access {
    const NAME: &'static str = "access";
    const ABOUT: &'static str =
        "asks a guarded URL without a credential, with a weak one and with the right one";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        for (index, status) in options.refuses.iter().enumerate() {
            if !(400..=499).contains(status) {
                let hint = Some("401, 403, or 404 where it is hidden");
                problems.push(problem(&format!("/refuses/{index}"), "is no refusal", hint));
            }
        }
        if options.headers.is_empty() {
            let hint = Some("headers = { authorization = \"env:TOKEN\" }");
            problems.push(problem("/headers", "the right credential is missing", hint));
        }
        if !options.weak.is_empty() && options.weak == options.headers {
            problems.push(problem("/weak", "is the right credential", Some("name one of a lesser role")));
        }
        let mut asker = |headers: &BTreeMap<String, String>, at: &str| {
            let asker = Asker::new(&options.url, options.method.as_deref(), headers);
            // What is wrong with the address is said once.
            let inner = asker.as_ref().err().into_iter().flatten();
            for found in inner.filter(|found| found.pointer.starts_with("/headers") || at == "/headers") {
                let pointer = found.pointer.replacen("/headers", at, 1);
                problems.push(OptionProblem { pointer, ..found.clone() });
            }
            asker.ok()
        };
        let right = asker(&options.headers, "/headers");
        let weak = if options.weak.is_empty() { Some(None) } else { asker(&options.weak, "/weak").map(Some) };
        let nobody = asker(&BTreeMap::new(), "/nobody");
        match (nobody, weak, right) {
            (Some(nobody), Some(weak), Some(right)) if problems.is_empty() => {
                let resource = format!("url/{}", options.url);
                Ok(Self { nobody, weak, right, refuses: options.refuses, resource })
            }
            _ => Err(problems),
        }
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, _: &Scene<'_>) -> Found {
        match self.exercise().await {
            Ok(proof) => proof.judge("it refuses without a credential and serves with the right one"),
            Err(miss) => found(Err(miss)),
        }
    }
}

impl Access {
    async fn exercise(&self) -> Result<Proof, Miss> {
        let mut proof = Proof::default();
        let refused = |status: u16| self.refuses.contains(&status);
        let status = self.nobody.ask(&[]).await?.status;
        proof.holds(refused(status), format!("without a credential it answers {status}"));
        if let Some(weak) = &self.weak {
            let status = weak.ask(&[]).await?.status;
            proof.holds(refused(status), format!("with a weak credential it answers {status}"));
        }
        let status = self.right.ask(&[]).await?.status;
        proof.holds((200..300).contains(&status), format!("with the right credential it answers {status}"));
        Ok(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        scene::{refused, tried},
        stage::{Stage, path_of},
    };
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;

    /// The tests' own credentials; the one that suffices is in a file.
    fn door(guards: bool, serves: bool) -> impl Fn(&str) -> String + Send + Sync + 'static {
        move |request| {
            let right = request.contains("authorization: Bearer right");
            let status = match (right, guards, serves) {
                (true, _, true) | (false, false, _) => "200 OK",
                (true, _, false) => "503 Service Unavailable",
                (false, true, _) => "403 Forbidden",
            };
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
        }
    }

    #[tokio::test]
    async fn a_door_that_serves_everybody_or_nobody_fails_and_one_that_tells_them_apart_passes() {
        let fleet = FleetSnapshot::default();
        let home = tempfile::tempdir().expect("a directory");
        let [right, weak] = ["right", "weak"].map(|who| path_of(home.path(), who, &format!("Bearer {who}")));
        for (guards, serves, outcome, told) in [
            (true, true, Outcome::Pass, "it refuses"),
            (false, true, Outcome::Fail, "without a credential it answers 200"),
            (true, false, Outcome::Fail, "with the right credential it answers 503"),
        ] {
            let stage = Stage::serving(door(guards, serves)).await;
            let options = json!({"url": stage.url("/orders"), "headers": {"authorization": right}, "weak": {"authorization": weak}});
            let found = tried("access", options, &fleet).await;
            assert!(found.outcome == outcome && found.summary.contains(told), "{found:?}");
            assert!(!format!("{found:?}").contains("Bearer"), "a credential is shown: {found:?}");
        }
        let nowhere = json!({"url": "http://127.0.0.1:1/", "headers": {"authorization": right}});
        assert_eq!(tried("access", nowhere, &fleet).await.outcome, Outcome::Fail);
        let unset = json!({"url": "http://127.0.0.1:1/", "headers": {"authorization": "env:AGENTD_NO_SUCH"}});
        let stage = Stage::serving(door(true, true)).await;
        let unset = json!({"url": stage.url("/"), "headers": unset["headers"]});
        assert_eq!(tried("access", unset, &fleet).await.outcome, Outcome::Error, "nobody could show it");
    }

    #[test]
    fn without_the_right_credential_nothing_is_proved_and_none_stands_in_the_file() {
        assert_eq!(refused("access", json!({"url": "http://x/", "headers": {}})), ["/headers"]);
        let same = json!({"url": "http://x/", "headers": {"a": "env:A"}, "weak": {"a": "env:A"}});
        assert_eq!(refused("access", same), ["/weak"]);
        let open =
            json!({"url": "http://x/", "headers": {"authorization": "Bearer x"}, "weak": {"cookie": "y"}});
        assert_eq!(refused("access", open), ["/headers/authorization", "/weak/cookie"]);
        let odd = json!({"url": "ftp://x/", "headers": {"a": "env:A"}, "refuses": [200]});
        assert_eq!(refused("access", odd), ["/refuses/0", "/url"]);
    }
}
