//! `postgres`: connects to a PostgreSQL server and asks it; tables that an application needs must exist.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    health::{Target, reference::Reference, want::Want},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Connects to a PostgreSQL server and asks it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PostgresProbeOptions")]
pub struct Options {
    /// `postgresql://USER@HOST/DATABASE`, or where it is kept: `env:NAME`, `file:PATH`, `exec:PROGRAM ARGS`.
    url: String,
    /// A query of yours, run in a read-only transaction; by default the server must answer a trivial one.
    #[serde(default)]
    query: Option<String>,
    /// What the first column of its first row must be.
    #[serde(default)]
    expect: Option<Value>,
    /// Tables that must exist.
    #[serde(default)]
    tables: Vec<String>,
    /// A migration of the application that must have been applied; `agentctl validate` holds the server against it.
    #[serde(default)]
    migration: Option<Migration>,
}

/// Where an application records its migrations, and the newest one that it needs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Migration {
    /// `alembic_version`, `_sqlx_migrations`, `django_migrations` …
    table: String,
    /// `version_num`, `version`, `name` …
    column: String,
    /// It must be among the rows.
    head: String,
}

/// What a dependency's role may do that an application does not need, and a migration that was not applied: a line
/// each. `tables`, where they are declared, are all that the role may own beside the table of migrations.
#[cfg(feature = "postgres")]
pub async fn inspect_postgres(options: &Value) -> Result<Vec<String>, String> {
    use secrecy::ExposeSecret;
    let options: Options = serde_json::from_value(options.clone()).map_err(|error| error.to_string())?;
    let url = Reference::url(&options.url).map_err(|(why, _)| format!("its url {why}"))?;
    let url = url.get().await.map_err(|miss| miss.to_string())?;
    let migration = options.migration.as_ref();
    let mut owned: Vec<&str> = options.tables.iter().map(String::as_str).collect();
    if !owned.is_empty() {
        owned.extend(migration.map(|migration| migration.table.as_str()));
    }
    let migration = migration.map(|m| [m.table.as_str(), m.column.as_str(), m.head.as_str()]);
    crate::store::foreign::inspect_postgres(url.expose_secret(), &owned, migration).await
}

#[cfg(not(feature = "postgres"))]
pub async fn inspect_postgres(_: &Value) -> Result<Vec<String>, String> {
    Err("this build lacks the feature `postgres`".into())
}

pub struct Postgres {
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "this build cannot ask"))]
    url: Reference,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "this build cannot ask"))]
    query: Option<String>,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "this build cannot ask"))]
    expect: Option<Want>,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "this build cannot ask"))]
    tables: Vec<String>,
}

impl Probe for Postgres {
    const NAME: &'static str = "postgres";
    const ABOUT: &'static str = "connects to a PostgreSQL server and asks it";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut note = |pointer: &str, message: String, hint: Option<&str>| {
            problems.push(OptionProblem { pointer: pointer.into(), message, hint: hint.map(Into::into) });
        };
        let url = Reference::url(&options.url).map_err(|(why, hint)| note("/url", why, Some(hint)));
        if options.expect.is_some() && options.query.is_none() {
            note("/expect", "expects the answer to a query, and there is none".into(), None);
        }
        let expect = options.expect.as_ref().map(Want::parse).transpose();
        let expect = expect.map_err(|why| note("/expect", why, None)).unwrap_or_default();
        match url {
            Ok(url) if problems.is_empty() => {
                Ok(Self { url, query: options.query, expect, tables: options.tables })
            }
            _ => Err(problems),
        }
    }

    #[cfg(feature = "postgres")]
    async fn look(&self, _: &Target) -> Seen {
        use secrecy::ExposeSecret;
        let url = self.url.get().await?;
        let asked =
            crate::store::foreign::ask_postgres(url.expose_secret(), self.query.as_deref(), &self.tables)
                .await;
        match asked {
            Ok(cell) => super::sqlite::judge(self.expect.as_ref(), cell.map(Value::String).as_ref()),
            Err(why) => {
                self.url.forget();
                Err(why.into())
            }
        }
    }

    #[cfg(not(feature = "postgres"))]
    async fn look(&self, _: &Target) -> Seen {
        Err(crate::health::Miss::blind("this build lacks the feature `postgres`"))
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;
    use crate::health::{look::tests::ask, probe::compile};
    use serde_json::json;

    #[test]
    fn a_password_in_the_file_is_a_problem_and_is_not_repeated() {
        for url in [
            "postgresql://app:hunter2@db/orders",
            "host=db password=hunter2",
            "postgresql://db/o?password=hunter2",
        ] {
            let problems =
                compile("postgres", &json!({ "url": url })).err().expect("a password was accepted");
            assert_eq!(problems[0].pointer, "/url");
            assert!(!format!("{problems:?}").contains("hunter2"));
        }
        assert!(
            compile("postgres", &json!({"url": "env:ORDERS_DATABASE_URL", "tables": ["orders"]})).is_ok()
        );
        assert!(compile("postgres", &json!({"url": "postgresql://db/orders"})).is_ok());
    }

    #[tokio::test]
    async fn a_dead_port_a_mute_server_and_a_liar_fail_without_the_password() {
        use crate::{
            domain::Period,
            health::look::{look, tests::settings},
            resilience::Clock,
        };
        use tokio::{io::AsyncWriteExt, net::TcpListener};
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("url");
        std::fs::write(&file, format!("postgresql://app:hunter2@127.0.0.1:{port}/orders\n")).expect("a file");
        let options = json!({ "url": format!("file:{}", file.display()) });
        let target = Target::local("orders-db", None);
        // Accepts by the backlog and never says a word.
        let mut asked = settings("postgres", options.clone());
        asked.deadline = Period::millis(300);
        let seen = look(&asked, &target, &Clock::system()).await;
        assert_eq!((seen.ok, seen.detail.as_str()), (false, "no answer within 300 ms"));
        let liar = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        let seen = ask("postgres", options.clone(), &target).await;
        assert!(!seen.ok && !seen.detail.contains("hunter2"), "{}", seen.detail);
        liar.abort();
        let _ = liar.await;
        let seen = ask("postgres", options, &target).await;
        assert!(!seen.ok && seen.detail.contains("connection refused"), "{}", seen.detail);
        assert!(!seen.detail.contains("hunter2"), "{}", seen.detail);
        std::fs::write(&file, "postgresql://app:hunter2@[broken").expect("a file");
        let seen = ask("postgres", json!({ "url": format!("file:{}", file.display()) }), &target).await;
        assert!(!seen.ok && !seen.detail.contains("hunter2"), "{}", seen.detail);
    }
}
