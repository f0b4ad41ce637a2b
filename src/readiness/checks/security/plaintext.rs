//! What leaves this machine is encrypted: declared endpoints elsewhere that are spoken to in the clear are findings.
use super::endpoints::{self, Endpoint};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, checks::configuration::is_development},
};
#[cfg(test)]
use futures_util::FutureExt;

pub async fn none(evidence: &Evidence) -> Found {
    let (endpoints, lost) = endpoints::of(&evidence.settings).await;
    judge(&endpoints, &lost, &evidence.settings.environment)
}

fn judge(endpoints: &[Endpoint], lost: &[Fault], environment: &str) -> Found {
    let remote: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.is_remote()).collect();
    let open: Vec<&Endpoint> = remote.iter().copied().filter(|endpoint| !endpoint.encrypted).collect();
    let found = if let Some(first) = open.first() {
        let more = if open.len() > 1 { format!(" (and {} more)", open.len() - 1) } else { String::new() };
        let summary =
            format!("{} speaks {} to {} in the clear{more}", first.who, first.scheme, first.address());
        if is_development(environment) { Found::warn(summary) } else { Found::fail(summary) }
    } else if !lost.is_empty() {
        Found::error(format!("{} endpoints could not be resolved, so they were not judged", lost.len()))
    } else if remote.is_empty() {
        Found::not_applicable("no declared endpoint is on another machine")
    } else {
        Found::pass(format!("all {} endpoints on other machines are spoken to encrypted", remote.len()))
    };
    let lines = remote.iter().map(|endpoint| {
        let how = if endpoint.encrypted { "encrypted" } else { "in the clear" };
        format!("{}: {} to {}, {how}", endpoint.who, endpoint.scheme, endpoint.address())
    });
    let found = found.all_seen(lines).all_seen(lost.iter().map(ToString::to_string));
    open.into_iter().fold(found, |found, endpoint| {
        found.about(format!("endpoint/{}", endpoint.address()), endpoint.scheme.as_str())
    })
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-012",
    at_work: || {
        async fn say(urls: &[&str]) -> Found {
            let dependencies: Vec<_> = (urls.iter().enumerate())
                .map(|(at, url)| serde_json::json!({ "name": format!("d{at}"), "kind": "http", "options": { "url": url } }))
                .collect();
            let settings = serde_json::json!({ "environment": "production", "dependency": dependencies });
            let settings: crate::config::Settings = serde_json::from_value(settings).expect("settings");
            let (endpoints, lost) = endpoints::of(&settings).await;
            judge(&endpoints, &lost, &settings.environment)
        }
        async {
            let safe = "https://api.example/";
            Tried {
                sound: vec![say(&[safe, "http://127.0.0.1:8000/", "postgres://db/x?sslmode=require"]).await],
                broken: vec![
                    ("http to another machine", say(&[safe, "http://api.example/"]).await),
                    ("postgres to another machine", say(&["postgres://db.internal/x"]).await),
                    ("redis to another machine", say(&["redis://10.1.2.3/0"]).await),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn what_is_unknown_is_no_pass_and_development_is_warned() {
        let lost = [Fault::internal("cannot resolve env:URL")];
        assert_eq!(judge(&[], &lost, "staging").outcome, Outcome::Error);
        assert_eq!(judge(&[], &[], "staging").outcome, Outcome::NotApplicable);
        let open = Endpoint {
            host: "db".into(),
            port: 5432,
            scheme: "postgres".into(),
            encrypted: false,
            who: "dependency db".into(),
        };
        assert_eq!(judge(std::slice::from_ref(&open), &[], "dev").outcome, Outcome::Warn);
        assert_eq!(judge(&[open], &[], "staging").outcome, Outcome::Fail);
    }
}
