//! What the fleet is declared to talk to: URLs of agents, probes and dependencies, as far as scheme, host and port.
use crate::{
    config::{Settings, is_reference, resolve},
    domain::Fault,
};
use futures_util::{StreamExt, stream};
use reqwest::Url;
use secrecy::ExposeSecret;
use serde_json::Value;
use std::net::IpAddr;

/// How many references are resolved at once: some start a program.
const AT_ONCE: usize = 16;

/// One declared end of a connection. No user, password or path is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub scheme: String,
    /// Is what is sent there encrypted?
    pub encrypted: bool,
    /// Whose it is: `orders`, `probe ready of orders`, `dependency orders-db`.
    pub who: String,
}

impl Endpoint {
    /// Does what is sent there leave this machine?
    pub fn is_remote(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return !ip.to_canonical().is_loopback();
        }
        let host = bare.trim_end_matches('.').to_ascii_lowercase();
        // A path is a socket of this machine.
        !(host.is_empty() || host.starts_with('/') || host == "localhost" || host.ends_with(".localhost"))
    }

    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// All of them, in order; and what could not be resolved, with why.
pub async fn of(settings: &Settings) -> (Vec<Endpoint>, Vec<Fault>) {
    let mut urls: Vec<(String, String)> = Vec::new();
    let mut add = |who: String, options: &Value| {
        urls.extend(options.get("url").and_then(Value::as_str).map(|url| (who, url.to_owned())));
    };
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        add(agent.name.to_string(), &agent.options);
        for probe in &agent.probes {
            add(format!("probe {} of {}", probe.name, agent.name), &probe.options);
        }
    }
    for dependency in &settings.dependencies {
        add(format!("dependency {}", dependency.name), &dependency.options);
    }
    let each = urls.into_iter().map(|(who, url)| async move {
        if !is_reference(&url) {
            return Ok(parse(&who, &url));
        }
        resolve(&url).await.map(|value| parse(&who, value.expose_secret()))
    });
    let found: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
    let (mut endpoints, mut lost) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Ok(endpoint) => endpoints.extend(endpoint),
            Err(fault) => lost.push(fault),
        }
    }
    endpoints.sort();
    endpoints.dedup_by(|one, other| one.address() == other.address() && one.scheme == other.scheme);
    (endpoints, lost)
}

fn parse(who: &str, url: &str) -> Option<Endpoint> {
    let Ok(url) = Url::parse(url) else { return keywords(who, url) };
    let (port, mut encrypted) = match url.scheme() {
        "http" | "ws" => (80, false),
        "https" | "wss" => (443, true),
        "postgres" | "postgresql" => (5432, false),
        "redis" => (6379, false),
        "rediss" => (6379, true),
        _ => return None,
    };
    let query =
        |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    encrypted |=
        url.scheme().starts_with("postgres") && query("sslmode").is_some_and(|mode| is_encrypted(&mode));
    let host =
        query("host").or_else(|| url.host_str().map(|host| host.replace("%2F", "/"))).unwrap_or_default();
    let port = url.port().unwrap_or(port);
    Some(Endpoint { host, port, scheme: url.scheme().into(), encrypted, who: who.into() })
}

/// `host=db port=5432 sslmode=require`, as libpq has it.
fn keywords(who: &str, text: &str) -> Option<Endpoint> {
    let value = |name: &str| {
        text.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(ToOwned::to_owned))
    };
    Some(Endpoint {
        host: value("host")?,
        port: value("port").and_then(|port| port.parse().ok()).unwrap_or(5432),
        scheme: "postgres".into(),
        encrypted: value("sslmode").is_some_and(|mode| is_encrypted(&mode)),
        who: who.into(),
    })
}

/// `prefer`, the default, is content without.
fn is_encrypted(sslmode: &str) -> bool {
    matches!(sslmode, "require" | "verify-ca" | "verify-full")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_hosts_and_encryption_are_read_and_nothing_else_is_kept() {
        for (url, address, encrypted, remote) in [
            ("http://127.0.0.1:8000/x", "127.0.0.1:8000", false, false),
            ("http://[::1]/x", "[::1]:80", false, false),
            ("https://api.shop.example/v1", "api.shop.example:443", true, true),
            ("postgres://app:hunter2@db/orders", "db:5432", false, true),
            ("postgres://app:hunter2@db:6432/orders?sslmode=verify-full", "db:6432", true, true),
            ("postgres://app@db/orders?sslmode=prefer", "db:5432", false, true),
            ("postgres:///orders?host=/run/postgresql", "/run/postgresql:5432", false, false),
            ("host=10.0.0.5 user=app password=hunter2 sslmode=require", "10.0.0.5:5432", true, true),
            ("redis://:hunter2@localhost/0", "localhost:6379", false, false),
            ("rediss://cache.internal", "cache.internal:6379", true, true),
        ] {
            let found = parse("it", url).expect(url);
            assert_eq!(
                (&*found.address(), found.encrypted, found.is_remote()),
                (address, encrypted, remote),
                "{url}"
            );
            assert!(!format!("{found:?}").contains("hunter2"), "{url}");
        }
        assert_eq!(parse("it", "ftp://x/"), None);
        assert_eq!(parse("it", "no url"), None);
    }
}
