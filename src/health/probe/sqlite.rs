//! `sqlite`: opens the application's own SQLite file, for reading only, and asks it.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    health::{Miss, Target, want::Want},
    store::foreign,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Asks an SQLite file, opened for reading only.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqliteProbeOptions")]
pub struct Options {
    /// The file; absolute.
    path: PathBuf,
    /// A query of yours; by default the file must hold a readable schema.
    #[serde(default)]
    query: Option<String>,
    /// What the first column of its first row must be: exact, or a string such as `>= 1`, `!= 0`, `/regex/`.
    #[serde(default)]
    expect: Option<Value>,
    /// Tables or views that must exist.
    #[serde(default)]
    tables: Vec<String>,
}

pub struct Sqlite {
    path: PathBuf,
    query: Option<String>,
    expect: Option<Want>,
    tables: Vec<String>,
    /// A thread is still with the file: one that hangs (a dead network disk) must not be joined by another.
    busy: Arc<AtomicBool>,
}

impl Probe for Sqlite {
    const NAME: &'static str = "sqlite";
    const ABOUT: &'static str = "asks an SQLite file, opened for reading only";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut note = |pointer: &str, message: String| {
            problems.push(OptionProblem { pointer: pointer.into(), message, hint: None });
        };
        if !options.path.is_absolute() {
            note("/path", "is not absolute, and the daemon may run anywhere".into());
        }
        if options.expect.is_some() && options.query.is_none() {
            note("/expect", "expects the answer to a query, and there is none".into());
        }
        let expect = options.expect.as_ref().map(Want::parse).transpose();
        let expect = expect.map_err(|why| note("/expect", why)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            path: options.path,
            query: options.query,
            expect,
            tables: options.tables,
            busy: Arc::default(),
        })
    }

    async fn look(&self, _: &Target) -> Seen {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(Miss::blind("the last look still hangs on the file"));
        }
        let free = Free(Arc::clone(&self.busy));
        let (path, query, tables) = (self.path.clone(), self.query.clone(), self.tables.clone());
        let stop = foreign::Stop::default();
        // Dropped at the deadline, which ends the query on its thread.
        let _ended = stop.on_drop();
        let asked = tokio::task::spawn_blocking(move || {
            let _free = free;
            foreign::ask_sqlite(&path, query.as_deref(), &tables, &stop)
        });
        let cell = asked.await.map_err(|_| Miss::blind("the query crashed"))??;
        judge(self.expect.as_ref(), cell.as_ref())
    }
}

struct Free(Arc<AtomicBool>);

impl Drop for Free {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Judges the first cell of an answer; without an expectation it is enough that there was an answer.
pub(super) fn judge(expect: Option<&Want>, cell: Option<&Value>) -> Seen {
    let Some(want) = expect else { return Ok("answered".into()) };
    let Some(cell) = cell else { return Err(format!("the query gave no row, want {want}").into()) };
    let fits = match cell {
        // PostgreSQL's simple protocol gives text whatever the type.
        Value::String(text) if want.fits_text(text) => Ok(()),
        cell => want.check(cell),
    };
    fits.map(|()| format!("answered, as wanted: {want}"))
        .map_err(|seen| format!("the query gave {seen}, want {want}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Period,
        health::{
            look::{
                look,
                tests::{ask, settings},
            },
            probe::compile,
        },
        resilience::Clock,
    };
    use serde_json::json;
    use std::{
        fs,
        time::{Duration, Instant},
    };

    #[tokio::test]
    async fn a_missing_or_damaged_file_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::local("db", None);
        let absent = dir.path().join("absent.db");
        let seen = ask("sqlite", json!({"path": absent}), &target).await;
        assert!(!seen.ok && seen.detail.contains("no such file"), "{}", seen.detail);
        assert!(!absent.exists(), "the look made the file");
        let damaged = dir.path().join("damaged.db");
        fs::write(&damaged, b"this is not a database, whatever its name says").expect("a file");
        assert!(!ask("sqlite", json!({"path": damaged}), &target).await.ok);
        assert!(!ask("sqlite", json!({"path": dir.path()}), &target).await.ok, "a directory passed");
    }

    #[tokio::test]
    async fn the_answer_is_compared_and_nothing_can_be_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.db");
        foreign::tests::make(&path);
        let target = Target::local("db", None);
        let with = |query: &str, expect: Value| json!({"path": path, "query": query, "expect": expect});
        assert!(ask("sqlite", json!({"path": path}), &target).await.ok);
        assert!(ask("sqlite", with(foreign::tests::COUNT, json!(">= 2")), &target).await.ok);
        let seen = ask("sqlite", with(foreign::tests::COUNT, json!("> 2")), &target).await;
        assert!(!seen.ok && seen.detail.contains("the query gave 2, want > 2"), "{}", seen.detail);
        let seen = ask("sqlite", with(foreign::tests::NONE, json!(1)), &target).await;
        assert!(!seen.ok && seen.detail.contains("no row"), "{}", seen.detail);
        let seen = ask("sqlite", json!({"path": path, "query": foreign::tests::WRITE}), &target).await;
        assert!(!seen.ok && seen.detail.contains("readonly"), "{}", seen.detail);
    }

    #[tokio::test]
    async fn a_query_without_end_is_cut_at_the_deadline_and_frees_its_thread() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.db");
        foreign::tests::make(&path);
        let options = json!({"path": path, "query": foreign::tests::ENDLESS});
        let probe = compile("sqlite", &options).expect("a probe");
        let target = Target::local("db", None);
        let deadline = Duration::from_millis(200);
        let began = Instant::now();
        let seen = crate::health::look::ask(&*probe, &target, deadline, &Clock::system()).await;
        assert!(!seen.ok && began.elapsed() < Duration::from_secs(5), "{}", seen.detail);
        // The next looks find the file free again, or the thread would have been lost.
        for _ in 0..500 {
            let seen = crate::health::look::ask(&*probe, &target, deadline, &Clock::system()).await;
            if !seen.detail.contains("still hangs") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the query still runs");
    }

    #[tokio::test]
    async fn a_fifo_does_not_hold_the_look() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.db");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let mut asked = settings("sqlite", json!({"path": path}));
        asked.deadline = Period::secs(5);
        let seen = look(&asked, &Target::local("db", None), &Clock::system()).await;
        assert!(seen.detail.contains("not a file"), "{}", seen.detail);
    }

    #[test]
    fn a_relative_path_or_an_expectation_without_a_query_is_a_problem() {
        let problems = compile("sqlite", &json!({"path": "app.db", "expect": 1})).err().expect("problems");
        let at: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(at, ["/path", "/expect"]);
    }
}
