//! Checks that the operator declares, against a real application: FastAPI under uvicorn, PostgreSQL and Redis. Whichever
//! part is stopped, the verdict names the check of that part and no other.
use crate::{
    python::{python, repository},
    support::{Answer, Daemon, PASSWORD, Postgres, Redis, agentctl, becomes, ends, eventually, free_port},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

const CACHE_PASSWORD: &str = "hunter6-of-the-cache";

const FLEET: &str = r#"
schema = 1
environment = "dev"

[[agent]]
name = "orders"
kind = "service"
options = { command = [{agentctl}, "demo-agent", "http", "--name", "orders", "--port", "{port}"], port = 0, environment = { GREETING = "good day" } }

  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "500ms"
  options = { path = "/health", expect = { json = { "$.agent" = "orders" } } }
"#;

/// uvicorn, which agentd does not run.
struct Web {
    port: u16,
    database: String,
    server: Option<Child>,
}

impl Web {
    fn start(database: String) -> Self {
        let mut web = Self { port: free_port(), database, server: None };
        web.resume();
        web
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            assert!(ends(&server), "uvicorn survives a kill");
            let _ = server.wait();
        }
    }

    /// Returns when it answers.
    fn resume(&mut self) {
        let mut command = Command::new(python());
        command.args([
            "-m",
            "uvicorn",
            "orders:app",
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
        ]);
        command.current_dir(repository().join("fixtures/python"));
        command.env("DATABASE_URL", &self.database).env("PYTHONDONTWRITEBYTECODE", "1");
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.server = Some(server.expect("uvicorn runs"));
        let url = format!("http://127.0.0.1:{}/openapi.json", self.port);
        let answers = || {
            let asked = Command::new("curl").args(["-sf", "-o", "/dev/null", &url]).status();
            asked.is_ok_and(|status| status.success())
        };
        assert!(eventually(answers), "uvicorn does not answer on {}", self.port);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A gate of this kind in this category.
fn check(id: &str, category: &str, kind: &str, options: &str) -> String {
    format!(
        "\n[[check]]\nid = \"{id}\"\ntitle = \"{id} holds\"\nkind = \"{kind}\"\ncategory = \"{category}\"\n\
         severity = \"blocker\"\nhint = \"start what {id} is about\"\noptions = {{ {options} }}\n"
    )
}

fn validate(daemon: &Daemon, only: &str) -> Answer {
    daemon.ctl(["validate", "--only", only, "-o", "json"])
}

/// The declared findings of a report by id.
fn declared(report: &Value) -> BTreeMap<String, Value> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let theirs = findings.filter(|finding| finding["declared"] == true);
    theirs.map(|finding| (finding["id"].as_str().expect("an id").to_owned(), finding.clone())).collect()
}

fn outcomes(report: &Value) -> BTreeMap<String, String> {
    let outcome = |finding: &Value| finding["outcome"].as_str().expect("an outcome").to_owned();
    declared(report).iter().map(|(id, finding)| (id.clone(), outcome(finding))).collect()
}

#[test]
fn whichever_part_of_an_application_stops_its_own_check_says_so_and_no_other() {
    let mut postgres = Postgres::start();
    let mut redis = Redis::start(Some(CACHE_PASSWORD));
    let mut web = Web::start(postgres.url());
    let home = format!("http://127.0.0.1:{}/openapi.json", web.port);
    let manifest = [
        FLEET.to_owned(),
        check(
            "APP-web",
            "authentication",
            "http",
            &format!(
                "url = \"{home}\", expect = {{ status = 200, header = {{ content-type = \"/^application.json/\" }}, \
                 json = {{ \"$.info.title\" = \"FastAPI\", \"$.paths.length()\" = \">= 2\" }} }}"
            ),
        ),
        check(
            "APP-orders",
            "database",
            "sql",
            "url = \"env:ORDERS_DATABASE_URL\", tables = [\"orders\"], \
             query = \"SELECT count(*) FROM orders\", expect = \">= 2\"",
        ),
        check(
            "APP-writes",
            "database",
            "sql",
            "url = \"env:ORDERS_DATABASE_URL\", query = \"DELETE FROM orders RETURNING id\"",
        ),
        check("APP-cache", "performance", "redis", "url = \"file:{home}/cache-url\""),
        check("APP-cache-url", "security", "file", "path = \"{home}/cache-url\", mode = \"0600\""),
        check(
            "APP-url",
            "configuration",
            "env",
            "variable = \"ORDERS_DATABASE_URL\", expect = \"/^postgresql:[/][/]app:/\"",
        ),
    ];
    let daemon = Daemon::prepared(&manifest.concat()).with("ORDERS_DATABASE_URL", &postgres.url());
    let url = daemon.path("cache-url");
    let close = |mode| fs::set_permissions(&url, fs::Permissions::from_mode(mode)).expect("permissions");
    fs::write(&url, format!("redis://:{CACHE_PASSWORD}@127.0.0.1:{}/", redis.port())).expect("a secret");
    close(0o600);
    let daemon = daemon.launched();
    becomes(&daemon, "orders", "ready");

    let all = "APP-web,app-orders,APP-cache,APP-cache-url,APP-url";
    let well = || {
        let answer = validate(&daemon, all).exits(0);
        let report = answer.json();
        assert_eq!(report["verdict"], "partial", "{report:#}");
        let outcomes = outcomes(&report);
        assert!(outcomes.len() == 5 && outcomes.values().all(|outcome| outcome == "pass"), "{report:#}");
        answer
    };
    let fails = |id: &str, words: &str| {
        let answer = validate(&daemon, all).exits(1);
        let report = answer.json();
        assert_eq!(report["verdict"], "not-ready");
        let failed: Vec<String> = outcomes(&report)
            .into_iter()
            .filter(|(_, outcome)| outcome != "pass")
            .map(|(id, _)| id)
            .collect();
        assert_eq!(failed, [id], "{report:#}");
        let finding = &declared(&report)[id];
        assert!(finding["summary"].as_str().expect("words").contains(words), "want {words:?}: {finding:#}");
        assert_eq!(finding["outcome"], "fail");
        assert_eq!(finding["hint"], format!("start what {id} is about"));
        assert!(finding["affected"][0]["resource"].is_string(), "{finding:#}");
        let reasons = report["reasons"].as_array().expect("reasons");
        // Beside it there may be only the score that it costs.
        let gates: Vec<&str> =
            reasons.iter().filter_map(Value::as_str).filter(|reason| reason.starts_with("gate ")).collect();
        assert!(gates.len() == 1 && gates[0].starts_with(&format!("gate {id} failed")), "{reasons:?}");
        for secret in [PASSWORD, CACHE_PASSWORD] {
            assert!(!answer.to_string().contains(secret), "{id} shows a secret");
        }
    };

    let answer = well();
    for secret in [PASSWORD, CACHE_PASSWORD] {
        assert!(!answer.to_string().contains(secret), "a pass shows a secret");
    }
    // No check of ours is in this category: what is declared measures it.
    let categories = answer.json()["categories"].as_array().expect("categories").clone();
    let measured = categories.iter().find(|category| category["category"] == "authentication");
    let measured = measured.expect("the category");
    assert_eq!((&measured["checks"], &measured["coverage"]), (&1.into(), &1.0.into()), "{measured:#}");

    web.stop();
    fails("APP-web", "connection refused");
    web.resume();
    well();

    postgres.kill();
    fails("APP-orders", "connection refused");
    postgres.resume();
    well();
    postgres.sql("orders", "DELETE FROM orders WHERE item = 'rice'");
    fails("APP-orders", "the query gave \"1\", want >= 2");
    postgres.sql("orders", "ALTER TABLE orders RENAME TO lost");
    fails("APP-orders", "missing tables: orders");
    postgres.sql("orders", "ALTER TABLE lost RENAME TO orders; INSERT INTO orders (item) VALUES ('rice')");
    well();

    // Nothing that is declared can write, whatever its query says.
    let answer = validate(&daemon, "APP-writes").exits(1);
    let found = &declared(&answer.json())["APP-writes"];
    assert!(found["summary"].as_str().expect("words").contains("read-only transaction"), "{found:#}");
    well();

    redis.kill();
    fails("APP-cache", "refused");
    redis.resume();
    well();

    close(0o644);
    fails("APP-cache-url", "its mode is 0644, at most 0600 is wanted");
    close(0o600);
    well();

    // What cannot be asked is no failure, and no pass either.
    fs::rename(&url, daemon.path("elsewhere")).expect("moved");
    let answer = validate(&daemon, "APP-cache").exits(3);
    assert_eq!(outcomes(&answer.json())["APP-cache"], "error", "{answer}");
}

#[test]
fn an_agent_can_be_asked_by_name_and_a_reload_of_checks_restarts_nobody() {
    let of_orders = check(
        "APP-orders",
        "agent-operations",
        "http",
        "agent = \"orders\", path = \"/health\", expect = { json = { \"$.agent\" = \"orders\" } }",
    );
    let greeting = |want: &str| {
        let options = format!("agent = \"orders\", variable = \"GREETING\", expect = \"{want}\"");
        check("APP-greeting", "configuration", "env", &options)
    };
    let daemon = Daemon::start(&[FLEET, &of_orders, &greeting("/^good day$/")].concat());
    becomes(&daemon, "orders", "ready");
    let answer = validate(&daemon, "APP-orders,APP-greeting").exits(0);
    assert!(!answer.stdout.contains("good day"), "the value is shown: {answer}");
    let evidence = declared(&answer.json())["APP-orders"]["evidence"].to_string();
    assert!(evidence.contains("orders/0: 200 in"), "{evidence}");

    let before = daemon.ctl(["agent", "show", "orders", "-o", "json"]).exits(0).json();
    let pid = |shown: &Value| shown["agent"]["instances"][0]["pid"].clone();
    let named = check("APP-alive", "performance", "tcp", "agent = \"orders\"");
    daemon.rewrite(&[FLEET, &named, &greeting("/^good night$/")].concat());
    let reloaded = daemon.ctl(["config", "reload", "-o", "json"]).exits(0).json();
    assert_eq!(reloaded["agents"]["unchanged"], 1, "{reloaded:#}");
    let after = daemon.ctl(["agent", "show", "orders", "-o", "json"]).exits(0).json();
    assert_eq!(pid(&after), pid(&before), "a change of checks restarted an agent");

    let answer = validate(&daemon, "APP-alive,APP-greeting").exits(1);
    assert_eq!(outcomes(&answer.json())["APP-alive"], "pass");
    assert_eq!(outcomes(&answer.json())["APP-greeting"], "fail");
    assert!(!answer.stdout.contains("good day"), "the value is shown: {answer}");
    let gone = validate(&daemon, "APP-orders").exits(2);
    assert!(gone.stderr.contains("APP-orders"), "{gone}");

    let fresh = check("APP-fresh", "security", "file", "path = \"{home}/agentd.toml\", max_age = \"30d\"");
    daemon.rewrite(&[FLEET, &named, &fresh].concat());
    daemon.ctl(["config", "reload"]).exits(0);
    validate(&daemon, "APP-fresh").exits(0);
    let later =
        daemon.ctl(["validate", "--only", "APP-fresh", "--as-of", "2099-01-01", "-o", "json"]).exits(1);
    assert!(later.stdout.contains("at most"), "{later}");

    daemon.ctl(["agent", "stop", "orders"]).exits(0);
    let answer = validate(&daemon, "APP-alive").exits(1);
    assert!(answer.stdout.contains("no instance of orders is up"), "{answer}");
}

#[test]
fn who_never_answers_is_a_timeout_after_every_attempt() {
    // Accepts by the backlog and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = mute.local_addr().expect("an address").port();
    let slow = check("APP-slow", "performance", "http", &format!("url = \"http://127.0.0.1:{port}/\""));
    let slow = slow.replace("kind =", "timeout = \"200ms\"\nretries = 1\nretry_delay = \"10ms\"\nkind =");
    let daemon = Daemon::start(&[FLEET, &slow].concat());
    let answer = validate(&daemon, "APP-slow").exits(3);
    let finding = &declared(&answer.json())["APP-slow"];
    assert_eq!(
        (&finding["outcome"], &finding["summary"]),
        (&"timeout".into(), &"no answer within 200ms".into())
    );
    assert_eq!(
        finding["evidence"],
        serde_json::json!(["attempt 1 of 2: timeout: no answer within 200ms", "attempt 2 of 2: timeout"])
    );
}

#[test]
fn what_is_declared_is_listed_and_explained_offline() {
    let orders = check("APP-orders", "database", "sql", "path = \"/var/lib/orders/orders.db\"");
    let daemon = Daemon::prepared(&[FLEET, &orders].concat());
    let manifest = daemon.path("agentd.toml");
    let manifest = manifest.to_str().expect("text");
    let listed = agentctl(["check", "list", "--config", manifest, "-o", "json"]).exits(0).json();
    let checks = listed["checks"].as_array().expect("checks");
    let place = |id: &str| checks.iter().position(|check| check["id"] == id).expect(id);
    assert!(place("DB-001") < place("APP-orders") && place("APP-orders") < place("SE-001"));
    assert_eq!(
        (&checks[place("APP-orders")]["declared"], &checks[place("DB-001")]["declared"]),
        (&true.into(), &false.into())
    );
    let shown = agentctl(["check", "explain", "app-orders", "--config", manifest]).exits(0);
    for words in ["a gate: declared in the manifest", "kind sql", "start what APP-orders is about"] {
        assert!(shown.stdout.contains(words), "{words} is not in {shown}");
    }
    let unknown = agentctl(["check", "explain", "APP-order", "--config", manifest]).exits(7);
    assert!(unknown.stderr.contains("APP-orders"), "{unknown}");

    fs::write(manifest, "schema = 1\nno_such_key = 1\n").expect("a broken manifest");
    agentctl(["check", "list", "--config", manifest]).exits(2);
}
