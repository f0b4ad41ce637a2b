//! A dependency that goes away and comes back, its breaker shown, tripped and reset by hand, and kept over a kill -9.
use crate::support::{Answer, Daemon, Redis, becomes, eventually, probe};
use serde_json::Value;

/// `open_for` is long where a breaker must be found open, short where it must close by itself.
fn manifest(port: u16, open_for: &str) -> String {
    format!(
        r#"
        schema = 1
        [policy.database]
        breaker = {{ failures = 3, open_for = "{open_for}" }}
        [[dependency]]
        name = "cache"
        kind = "redis"
        every = "500ms"
        deadline = "500ms"
        failure_threshold = 2
        options = {{ url = "redis://127.0.0.1:{port}/" }}
        [[agent]]
        name = "orders"
        kind = "service"
        depends_on = ["cache"]
        options = {{ command = [{{agentctl}}, "demo-agent", "http", "--name", "orders", "--port", "{{port}}"], port = 0 }}
        [[check]]
        id = "APP-cache"
        title = "the cache answers"
        kind = "redis"
        category = "database"
        policy = "cache"
        options = {{ url = "redis://127.0.0.1:{port}/" }}
        "#
    )
}

fn breaker(daemon: &Daemon) -> Value {
    daemon.ctl(["breaker", "show", "cache", "-o", "json"]).exits(0).json()
}

fn state(daemon: &Daemon) -> String {
    breaker(daemon)["state"].as_str().expect("a state").to_owned()
}

#[track_caller]
fn is(daemon: &Daemon, wanted: &str) {
    assert!(eventually(|| state(daemon) == wanted), "want {wanted}: {}", breaker(daemon));
}

fn trail(daemon: &Daemon) -> Vec<(String, String, String)> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file =
        rusqlite::Connection::open_with_flags(daemon.path("state/agentd.db"), flags).expect("a database");
    let mut query = file
        .prepare("SELECT action, object, outcome FROM audit WHERE action LIKE 'breakers/%' ORDER BY seq")
        .expect("a query");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

/// How the declared check ended, and its summary.
fn validated(daemon: &Daemon) -> Answer {
    daemon.ctl(["validate", "--only", "APP-cache", "-o", "json"])
}

fn finding(answer: &Answer) -> (String, String) {
    let finding = answer.json()["findings"][0].clone();
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("summary"))
}

#[test]
fn it_opens_while_the_dependency_is_gone_and_closes_when_it_is_back() {
    let mut redis = Redis::start(None);
    let daemon = Daemon::start(&manifest(redis.port(), "300ms"));
    becomes(&daemon, "orders", "ready");
    let listed = daemon.ctl(["breaker", "list"]).exits(0);
    assert!(listed.stdout.contains("cache") && listed.stdout.contains("closed"), "{listed}");
    assert_eq!(finding(&validated(&daemon).exits(0)).0, "pass");
    assert!(!daemon.ctl(["status"]).stdout.contains("breakers"));

    redis.kill();
    assert!(eventually(|| breaker(&daemon)["opened"].as_u64() > Some(0)), "{}", breaker(&daemon));
    assert!(
        breaker(&daemon)["why"].as_str().is_some_and(|why| why.contains("refused")),
        "{}",
        breaker(&daemon)
    );
    let status = daemon.ctl(["status"]).exits(1);
    assert!(status.stdout.contains("breakers    cache is "), "{status}");

    redis.resume();
    is(&daemon, "closed");
    becomes(&daemon, "orders", "ready");
    assert_eq!(probe(&daemon, "cache"), None);
    let told = |text: &str| {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let file =
            rusqlite::Connection::open_with_flags(daemon.path("state/agentd.db"), flags).expect("a database");
        let count = "SELECT count(*) FROM events WHERE text LIKE ?1";
        file.query_row(count, [text], |row| row.get::<_, u32>(0)).expect("a count") > 0
    };
    assert!(
        eventually(|| told("breaker cache is open: %") && told("breaker cache is closed")),
        "no events of it"
    );
}

#[test]
fn by_hand_it_is_held_with_a_reason_until_it_is_reset_and_the_trail_says_who() {
    let redis = Redis::start(None);
    let mut daemon = Daemon::start(&manifest(redis.port(), "300ms"));
    becomes(&daemon, "orders", "ready");
    daemon.ctl(["breaker", "trip", "cache"]).exits(2);
    let answer = daemon.ctl(["breaker", "trip", "cache", "--reason", "  "]).exits(2);
    assert!(answer.stderr.contains("without a reason"), "{answer}");
    let answer = daemon.ctl(["breaker", "trip", "cahce", "--reason", "moved"]).exits(7);
    assert!(answer.stderr.contains("agentctl breaker list"), "{answer}");
    assert_eq!(state(&daemon), "closed", "a refusal had an effect");

    daemon.ctl(["breaker", "trip", "cache", "--reason", "moved, OPS-17"]).exits(0);
    assert_eq!(state(&daemon), "open");
    let said = || probe(&daemon, "cache").is_some_and(|said| said.contains("OPS-17"));
    assert!(eventually(said), "{}", daemon.ctl(["status"]));
    let status = daemon.ctl(["status"]).exits(1);
    assert!(status.stdout.contains("cache is open by hand"), "{status}");
    let (outcome, summary) = finding(&validated(&daemon));
    assert_eq!(outcome, "error", "nobody was asked, and that is no pass: {summary}");
    assert!(summary.contains("held open by hand"), "{summary}");
    let found = daemon.ctl(["validate", "--only", "EH-011", "-o", "json"]).exits(1);
    assert_eq!(found.json()["findings"][0]["affected"][0]["resource"], "breaker/cache", "{found}");

    daemon.kill();
    daemon.launch();
    assert_eq!(
        (state(&daemon), breaker(&daemon)["tripped"]["reason"].clone()),
        ("open".into(), "moved, OPS-17".into())
    );
    // It does not close by itself, however well the dependency is.
    let shown = daemon.ctl(["breaker", "show", "cache"]).exits(0);
    assert!(shown.stdout.contains("held by user:") && shown.stdout.contains("when reset"), "{shown}");

    daemon.ctl(["breaker", "reset", "cache"]).exits(0);
    is(&daemon, "closed");
    becomes(&daemon, "orders", "ready");
    assert_eq!(finding(&validated(&daemon).exits(0)).0, "pass");
    let row = |action: &str, object: &str, outcome: &str| (action.into(), object.into(), outcome.into());
    let done: Vec<_> = trail(&daemon).into_iter().filter(|(_, _, outcome)| outcome == "done").collect();
    assert_eq!(
        done,
        [row("breakers/trip", "breaker/cache", "done"), row("breakers/reset", "breaker/cache", "done")]
    );
}

#[test]
fn a_kill_keeps_an_open_breaker_open_and_nobody_is_called_for_the_rest_of_its_time() {
    let mut redis = Redis::start(None);
    let mut daemon = Daemon::start(&manifest(redis.port(), "1h"));
    becomes(&daemon, "orders", "ready");
    redis.kill();
    is(&daemon, "open");
    let before = breaker(&daemon);
    daemon.kill();
    redis.resume();
    daemon.launch();
    let after = breaker(&daemon);
    assert_eq!(
        (&after["state"], &after["since"], &after["why"]),
        (&before["state"], &before["since"], &before["why"])
    );
    let said = || probe(&daemon, "cache").is_some_and(|said| said.contains("not asked"));
    assert!(eventually(said), "{}", daemon.ctl(["status"]));
    // A reload that makes the time shorter counts at once.
    daemon.rewrite(&manifest(redis.port(), "300ms"));
    daemon.ctl(["config", "reload"]).exits(0);
    is(&daemon, "closed");
    becomes(&daemon, "orders", "ready");
}
