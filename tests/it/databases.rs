//! Real PostgreSQL and Redis servers as dependencies: up, wrong inside, closed to us, killed, and back.
use crate::support::{
    Answer, Daemon, PASSWORD, Postgres, Redis, becomes, eventually, probe, probes, state, transitions,
};
use std::{fs, path::Path};

/// Two that need the dependency and one that does not.
fn dependents() -> String {
    let agent = |name: &str, needs: &str| {
        format!(
            r#"
[[agent]]
name = "{name}"
kind = "service"
depends_on = [{needs}]
options = {{ command = [{{agentctl}}, "demo-agent", "http", "--name", "{name}", "--port", "{{port}}"], port = 0 }}

  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "500ms"
  options = {{ path = "/health", expect = {{ json = {{ "$.agent" = "{name}" }} }} }}
"#
        )
    };
    agent("orders", "\"base\"") + &agent("billing", "\"base\"") + &agent("alone", "")
}

fn manifest(kind: &str, options: &str) -> String {
    let dependency = format!(
        "schema = 1\n[[dependency]]\nname = \"base\"\nkind = \"{kind}\"\nevery = \"1s\"\ndeadline = \"1s\"\n\
         failure_threshold = 2\nsuccess_threshold = 1\noptions = {{ url = \"file:{{home}}/url\"{options} }}\n"
    );
    dependency + &dependents()
}

#[track_caller]
fn all_ready(daemon: &Daemon) {
    for name in ["orders", "billing", "alone"] {
        becomes(daemon, name, "ready");
    }
    assert_eq!(probe(daemon, "base"), None);
}

/// The dependency fails and says so in these words; who needs it is blocked, and who does not is not.
#[track_caller]
fn base_fails(daemon: &Daemon, words: &str) -> Answer {
    let said = || probe(daemon, "base").is_some_and(|said| said.contains(words));
    assert!(eventually(said), "want {words:?}: {}", daemon.ctl(["status", "--all"]));
    let blocked = |name| probes(daemon, name).iter().all(|(_, state)| state == "blocked");
    assert!(eventually(|| blocked("orders") && blocked("billing")), "{}", daemon.ctl(["status", "--all"]));
    assert_eq!(state(daemon, "alone"), "ready");
    let status = daemon.ctl(["status"]).exits(1);
    assert!(status.stdout.contains("base"), "{status}");
    status
}

/// How often it was recorded that something fails, by target.
fn failures(daemon: &Daemon) -> Vec<String> {
    let failing = transitions(daemon).into_iter().filter(|(_, _, became)| became == "failing");
    failing.map(|(target, ..)| target).collect()
}

/// In no output, log, journal or database of this daemon.
#[track_caller]
fn nowhere(daemon: &Daemon, secret: &str) {
    fn search(place: &Path, secret: &[u8], found: &mut Vec<String>) {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                search(&path, secret, found);
            } else if path.is_file() && path.file_name().is_some_and(|name| name != "url") {
                let text = fs::read(&path).unwrap_or_default();
                if text.windows(secret.len()).any(|part| part == secret) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    let mut found = Vec::new();
    search(daemon.home(), secret.as_bytes(), &mut found);
    assert!(found.is_empty(), "the secret stands in {found:?}");
    for command in [
        &["status", "--all", "-o", "json"][..],
        &["config", "view", "--origin"],
        &["daemon", "logs", "-n", "9999"],
    ] {
        let said = daemon.ctl(command);
        assert!(
            !said.stdout.contains(secret) && !said.stderr.contains(secret),
            "{command:?} shows the secret"
        );
    }
}

#[test]
fn postgres_is_told_apart_up_incomplete_closed_and_dead() {
    let mut postgres = Postgres::start();
    let daemon = Daemon::prepared(&manifest("postgres", ", tables = [\"orders\"]"));
    let url = daemon.path("url");
    fs::write(&url, postgres.url()).expect("a secret");
    let daemon = daemon.launched();
    all_ready(&daemon);

    postgres.sql("orders", "ALTER TABLE orders RENAME TO lost");
    base_fails(&daemon, "missing tables: orders");
    postgres.sql("orders", "ALTER TABLE lost RENAME TO orders");
    all_ready(&daemon);

    let wrong = "wrong-hunter3";
    fs::write(&url, postgres.url_with(wrong)).expect("a secret");
    // The connection of every look is new, and the url is read again after a failure: make one.
    postgres.sql("orders", "ALTER TABLE orders RENAME TO lost");
    base_fails(&daemon, "password authentication failed");
    postgres.sql("orders", "ALTER TABLE lost RENAME TO orders");
    nowhere(&daemon, wrong);
    fs::write(&url, postgres.url()).expect("a secret");
    all_ready(&daemon);

    let before = failures(&daemon).len();
    postgres.kill();
    let status = base_fails(&daemon, "connection refused");
    assert!(!status.stdout.contains(PASSWORD), "{status}");
    assert_eq!(failures(&daemon)[before..], ["base"], "one outage is one event");
    postgres.resume();
    all_ready(&daemon);
    assert_eq!(failures(&daemon)[before..], ["base"], "and stays one");
    nowhere(&daemon, PASSWORD);
}

/// The outcome and the summary of each of these checks.
fn validated(daemon: &Daemon, checks: &str) -> Vec<(String, String)> {
    let report = daemon.ctl(["validate", "--only", checks, "-o", "json"]).json();
    let findings = report["findings"].as_array().expect("findings").clone();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    findings.iter().map(|finding| (text(finding, "outcome"), text(finding, "summary"))).collect()
}

#[test]
fn a_role_with_needless_rights_a_missing_migration_and_a_dead_server_are_named_by_validate() {
    let mut postgres = Postgres::start();
    let migrations =
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('7f3a')";
    postgres.sql("orders", &format!("SET ROLE app; {migrations}"));
    let options = ", tables = [\"orders\"], migration = { table = \"alembic_version\", column = \"version_num\", head = \"7f3a\" }";
    let manifest =
        manifest("postgres", options).replacen("schema = 1", "schema = 1\nenvironment = \"staging\"", 1);
    let daemon = Daemon::prepared(&manifest);
    fs::write(daemon.path("url"), postgres.url()).expect("a secret");
    let daemon = daemon.launched();
    all_ready(&daemon);
    let outcomes = || validated(&daemon, "DB-011,DB-012");
    let only = |broken: usize, words: &str| {
        let seen = outcomes();
        let (outcome, summary) = &seen[broken];
        assert!(outcome == "fail" && summary.contains(words), "want {words:?}: {seen:?}");
        seen[1 - broken].0.clone()
    };
    assert!(outcomes().iter().all(|(outcome, _)| outcome == "pass"), "{:?}", outcomes());

    for (grant, revoke, words) in [
        ("ALTER ROLE app SUPERUSER", "ALTER ROLE app NOSUPERUSER", "is a superuser"),
        ("ALTER ROLE app CREATEDB", "ALTER ROLE app NOCREATEDB", "may create databases"),
        (
            "GRANT pg_read_server_files TO app",
            "REVOKE pg_read_server_files FROM app",
            "is a member of pg_read",
        ),
        ("SET ROLE app; CREATE TABLE hoard ()", "DROP TABLE hoard", "owns hoard"),
        (
            "UPDATE alembic_version SET version_num = '0001'",
            "UPDATE alembic_version SET version_num = '7f3a'",
            "migration 7f3a was not applied: alembic_version.version_num holds \"0001\"",
        ),
        (
            "ALTER TABLE alembic_version RENAME TO \"odd name\"",
            "ALTER TABLE \"odd name\" RENAME TO alembic_version",
            "owns \"odd name\"",
        ),
    ] {
        postgres.sql("orders", grant);
        assert_eq!(only(1, words), "pass", "{grant}");
        postgres.sql("orders", revoke);
    }
    postgres.sql("orders", "ALTER TABLE orders RENAME TO lost");
    only(0, "missing tables: orders");
    postgres.sql("orders", "ALTER TABLE lost RENAME TO orders");
    postgres.kill();
    assert_eq!(only(0, "connection refused"), "error", "nobody could be asked for the role");
    nowhere(&daemon, PASSWORD);
}

#[test]
fn redis_is_told_apart_up_closed_and_dead() {
    const SECRET: &str = "hunter4-of-the-cache";
    let mut redis = Redis::start(Some(SECRET));
    let daemon = Daemon::prepared(&manifest("redis", ""));
    let url = daemon.path("url");
    let with = |password: &str| format!("redis://:{password}@127.0.0.1:{}/", redis.port());
    let (right, wrong) = (with(SECRET), with("wrong-hunter5"));
    fs::write(&url, &right).expect("a secret");
    let daemon = daemon.launched();
    all_ready(&daemon);

    redis.kill();
    base_fails(&daemon, "refused");
    assert_eq!(failures(&daemon), ["base"], "one outage is one event");
    fs::write(&url, &wrong).expect("a secret");
    redis.resume();
    let denied = || probe(&daemon, "base").is_some_and(|said| !said.contains("refused"));
    assert!(eventually(denied), "{}", daemon.ctl(["status", "--all"]));
    nowhere(&daemon, "wrong-hunter5");
    fs::write(&url, &right).expect("a secret");
    all_ready(&daemon);
    nowhere(&daemon, SECRET);
}
