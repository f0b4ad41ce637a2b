//! `sql`: asks a PostgreSQL server or an SQLite file, read-only; tables must exist, and the answer must be as wanted.
use super::{
    kind::{Look, eye, problem},
    scene::Scene,
};
use crate::{config::OptionProblem, health::Eye, readiness::Found};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// Asks a PostgreSQL server or an SQLite file.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqlCheckOptions")]
pub struct Options {
    /// `postgresql://USER@HOST/DATABASE`, or where it is kept: `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    #[serde(default)]
    url: Option<String>,
    /// Instead of a server: an SQLite file, absolute.
    #[serde(default)]
    path: Option<PathBuf>,
    /// A query of yours, run where nothing can be written.
    #[serde(default)]
    query: Option<String>,
    /// What the first column of its first row must be: exact, or a string such as `>= 1`, `!= 0`, `/regex/`.
    #[serde(default)]
    expect: Option<Value>,
    /// Tables that must exist.
    #[serde(default)]
    tables: Vec<String>,
}

pub struct Sql {
    eye: Eye,
    resource: String,
}

impl Look for Sql {
    const NAME: &'static str = "sql";
    const ABOUT: &'static str = "asks a PostgreSQL server or an SQLite file, read-only";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        const HINT: Option<&str> = Some("write url = \"env:DATABASE_URL\" or path = \"/var/lib/app/app.db\"");
        let (eye, resource) = match (&options.url, &options.path) {
            (Some(_), Some(_)) => {
                return Err(vec![problem("/path", "a check has a url or a path, not both", HINT)]);
            }
            (None, None) => return Err(vec![problem("", "the check needs a url or a path", HINT)]),
            // A reference or a URL without a password, or it would have been refused.
            (Some(url), None) => (eye("postgres", &options, &[]), format!("database/{url}")),
            (None, Some(path)) => (eye("sqlite", &options, &[]), format!("file/{}", path.display())),
        };
        Ok(Self { eye: eye?, resource })
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        scene.see(&self.eye, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use crate::{
        domain::{FleetSnapshot, Outcome},
        store::foreign::tests as foreign,
    };
    use serde_json::{Value, json};

    #[tokio::test]
    async fn an_sqlite_file_is_asked_and_never_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.db");
        foreign::make(&path);
        let fleet = FleetSnapshot::default();
        let with = |query: &str, expect: Value| json!({"path": path, "query": query, "expect": expect});
        for (options, outcome, told) in [
            (json!({"path": path, "tables": ["jobs"]}), Outcome::Pass, "answered"),
            (with(foreign::COUNT, json!(2)), Outcome::Pass, "as wanted"),
            (with(foreign::COUNT, json!("/^[0-9]$/")), Outcome::Pass, "as wanted"),
            (with(foreign::COUNT, json!("> 2")), Outcome::Fail, "gave 2, want > 2"),
            (with(foreign::NONE, json!(1)), Outcome::Fail, "no row"),
            (json!({"path": path, "query": foreign::WRITE}), Outcome::Fail, "readonly"),
            (json!({"path": path, "tables": ["jobs", "orders"]}), Outcome::Fail, "missing tables: orders"),
            (json!({"path": dir.path().join("none.db")}), Outcome::Fail, "no such file"),
        ] {
            let found = tried("sql", options.clone(), &fleet).await;
            assert!(found.outcome == outcome && found.summary.contains(told), "{options}: {found:?}");
        }
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn a_dead_server_fails_and_a_url_that_cannot_be_had_is_an_error() {
        let fleet = FleetSnapshot::default();
        let dead = tried("sql", json!({"url": "postgresql://app@127.0.0.1:1/orders"}), &fleet).await;
        assert!(dead.outcome == Outcome::Fail && dead.summary.contains("refused"), "{dead:?}");
        for url in ["env:AGENTD_NO_SUCH_URL", "env:PATH"] {
            let found = tried("sql", json!({ "url": url }), &fleet).await;
            assert_eq!(found.outcome, Outcome::Error, "{found:?}");
        }
    }

    #[test]
    fn one_database_must_be_named_and_without_its_password() {
        assert_eq!(refused("sql", json!({})), [""]);
        assert_eq!(refused("sql", json!({"url": "env:U", "path": "/a"})), ["/path"]);
        assert_eq!(refused("sql", json!({"path": "app.db", "expect": 1})), ["/path", "/expect"]);
        assert_eq!(refused("sql", json!({"url": "postgresql://app:hunter2@db/o"})), ["/url"]);
    }
}
