//! What every command says, word for word: `fixtures/golden/NAME.txt`, without what differs from run to run.
//! `UPDATE_GOLDEN=1` writes what is said now; read the difference before you keep it.
use crate::support::{Answer, Daemon, agentctl, becomes, redact};
use agentctl::readiness::Readiness;
use regex::Regex;
use serde_json::Value;
use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

/// One of each fate. Nothing separates them from whoever runs the test, root or not.
const FLEET: &str = r#"
schema = 1
environment = "staging"

[contacts]
desk = { name = "Front desk", email = "desk@example.org" }

[daemon]
cgroups = "off"

[[agent]]
name = "orders"
kind = "process"
tier = "core"
owner = "desk"
user = "inherit"
options = { command = [{agentctl}, "demo-agent", "stdio"] }

[[agent]]
name = "billing"
kind = "service"
tier = "core"
depends_on = ["orders"]
user = "inherit"
options = { command = [{agentctl}, "demo-agent", "http", "--port", "{port}", "--fault", "unhealthy-after=1500"], port = 0 }

  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "2s"
  failure_threshold = 1
  options = { path = "/health", expect = { status = 200 } }

[[agent]]
name = "upsell"
kind = "process"
tier = "revenue"
user = "inherit"
options = { command = [{agentctl}, "demo-agent", "stdio", "--fault", "crash-at-start=import"] }

[[agent]]
name = "retention"
kind = "process"
tier = "revenue"
user = "inherit"
restart = { policy = "on-failure", backoff = "10ms..20ms", latch = "3 in 1m" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--fault", "crash-at-start=unknown"] }

[[agent]]
name = "reviews"
kind = "process"
tier = "revenue"
replicas = 2
user = "inherit"
options = { command = [{agentctl}, "demo-agent", "stdio"] }
"#;

/// Collects differences, so that one run shows all of them.
struct Golden<'a> {
    home: &'a Path,
    wrong: String,
}

impl Golden<'_> {
    fn compare(&mut self, name: &str, said: &str) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden").join(name).with_extension("txt");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, said).expect("golden written");
        }
        let wanted = fs::read_to_string(&path).unwrap_or_default();
        if said != wanted {
            let _ = write!(self.wrong, "{name}: said\n{said}\ninstead of\n{wanted}\n");
        }
    }

    /// Everything a command said, and how it ended.
    fn answer(&mut self, name: &str, answer: &Answer) {
        self.compare(name, &steady(&redact(&answer.to_string(), self.home)));
    }

    /// The same of what is never different: to the last blank.
    fn verbatim(&mut self, name: &str, answer: &Answer) {
        self.compare(name, &answer.to_string());
    }

    /// The same of a report: scores, counts and columns stay, and what was run, when, by whom and on which file goes.
    fn report(&mut self, name: &str, answer: &Answer) {
        let said = redact(&answer.to_string(), self.home);
        let rules = [
            (r"checks in \d+\.\d s ", "checks in [took] "),
            (r"configuration [0-9a-f]{12}\b", "configuration [digest]"),
            (r"\d+ events read", "[n] events read"),
            (r"\buid \d+", "uid [uid]"),
            (r"the daemon's \d+", "the daemon's [uid]"),
        ];
        self.compare(name, &replaced(said, &rules));
    }

    /// Which fields a reply has, and of what kind: what a script relies on.
    fn shape(&mut self, name: &str, answer: &Answer) {
        let mut paths = BTreeSet::new();
        shape("", &answer.json(), &mut paths);
        self.compare(name, &(paths.into_iter().collect::<Vec<_>>().join("\n") + "\n"));
    }
}

/// What redaction leaves in tables: figures of this machine, and the widths that follow from them.
fn steady(text: &str) -> String {
    let rules = [
        (r"\b\d+\.\d+ ms", "[took]"),
        (r"\d+ of \d+ readers", "[n] of [n] readers"),
        (r"(?m)  \d{3,6}(,\d{3,6})*(  |$)", "  [n]$2"),
        (r"(?m)  \d{3,6}(,\d{3,6})*(  |$)", "  [n]$2"),
        (r"  +", "  "),
    ];
    replaced(text.to_owned(), &rules)
}

fn replaced(text: String, rules: &[(&str, &str)]) -> String {
    rules.iter().fold(text, |text, (pattern, instead)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *instead).into_owned()
    })
}

fn shape(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| shape(&format!("{path}.{key}"), value, paths))
        }
        Value::Array(items) => items.iter().for_each(|item| shape(&format!("{path}[]"), item, paths)),
        // What may be missing is not part of the shape: it comes and goes with the fleet's fate.
        Value::Null => {}
        Value::Bool(_) => _ = paths.insert(format!("{path} bool")),
        Value::Number(_) => _ = paths.insert(format!("{path} number")),
        Value::String(_) => _ = paths.insert(format!("{path} string")),
    }
}

#[test]
fn every_command_says_what_is_written_down() {
    let mut daemon = Daemon::start(FLEET);
    daemon.ctl(["agent", "stop", "reviews", "--yes"]).exits(0);
    for (name, fate) in [
        ("orders", "ready"),
        ("billing", "degraded"),
        ("upsell", "failed"),
        ("retention", "crash-looping"),
        ("reviews", "stopped"),
    ] {
        becomes(&daemon, name, fate);
    }

    let home = daemon.home().to_owned();
    let mut golden = Golden { home: &home, wrong: String::new() };
    let config = daemon.path("agentd.toml").display().to_string();
    for (name, args) in [
        ("status", &["status"][..]),
        ("status-all", &["status", "--all"]),
        ("status-wide", &["status", "-o", "wide"]),
        ("status-name", &["status", "-o", "name"]),
        ("agent-list", &["agent", "list"]),
        ("agent-list-wide", &["agent", "list", "-o", "wide"]),
        ("agent-show", &["agent", "show", "billing"]),
        ("agent-show-failed", &["agent", "show", "upsell"]),
        ("agent-start-failed", &["agent", "start", "upsell"]),
        ("agent-unknown", &["agent", "show", "bilings"]),
        ("agent-scale-zero", &["agent", "scale", "orders", "0"]),
        ("daemon-status", &["daemon", "status"]),
        ("version", &["version"]),
        ("config-reload", &["config", "reload"]),
        ("config-check", &["config", "check", &config]),
        ("config-view", &["config", "view", "--origin", &config]),
        ("validate-list", &["validate", "list"]),
        ("validate-show-unknown", &["validate", "show", "99"]),
        ("agent-logs", &["agent", "logs", "upsell", "-n", "1"]),
    ] {
        golden.answer(name, &daemon.ctl(args));
    }
    for (name, args) in [
        ("status-json", &["status", "-o", "json"][..]),
        ("agent-list-json", &["agent", "list", "-o", "json"]),
        ("agent-show-json", &["agent", "show", "billing", "-o", "json"]),
        ("daemon-status-json", &["daemon", "status", "-o", "json"]),
        ("version-json", &["version", "-o", "json"]),
        ("config-check-json", &["config", "check", &config, "-o", "json"]),
        ("doctor-json", &["doctor", "-o", "json"]),
    ] {
        golden.shape(name, &daemon.ctl(args));
    }
    let yaml = daemon.ctl(["status", "-o", "yaml"]).exits(1);
    assert!(
        yaml.stdout.starts_with("schema_version: 1\n") && yaml.stdout.contains("verdict: degraded"),
        "{yaml}"
    );

    // What performance finds is this machine's.
    golden.report("validate", &daemon.ctl(["validate", "--skip", "performance"]));

    assert_eq!(daemon.stop(), Some(0));
    golden.answer("unreachable", &daemon.ctl(["status"]));
    golden.answer("unreachable-version", &daemon.ctl(["version"]));
    golden.answer("unreachable-reload", &daemon.ctl(["config", "reload"]));
    assert!(golden.wrong.is_empty(), "{}", golden.wrong);
}

#[test]
fn what_needs_no_daemon_says_what_is_written_down() {
    let home = tempfile::tempdir().expect("a directory");
    let mut golden = Golden { home: home.path(), wrong: String::new() };
    let place = home.path().display().to_string();
    for (name, args) in [
        ("help-exit-codes", &["help", "exit-codes"][..]),
        ("help-unknown", &["help", "exit-code"]),
        ("init-list", &["init", "--list"]),
        ("init", &["init", &place]),
        ("init-again", &["init", &place]),
        ("init-unknown", &["init", "--template", "bookedbarbr", &place]),
        ("usage", &["statsu"]),
        ("usage-flag", &["status", "--wath"]),
        ("config-missing", &["config", "check", "/nowhere/agentd.toml"]),
        ("check-explain-unknown", &["check", "explain", "database.writ"]),
    ] {
        golden.answer(name, &agentctl(args));
    }
    golden.verbatim("check-list", &agentctl(["check", "list"]));
    golden.verbatim("check-explain", &agentctl(["check", "explain", "DB-003"]));
    assert!(golden.wrong.is_empty(), "{}", golden.wrong);
}

#[test]
fn the_checks_that_are_listed_are_those_that_run() {
    let listed = agentctl(["check", "list", "-o", "name"]).exits(0).stdout;
    let known: Vec<String> = Readiness::checks().into_iter().map(|check| check.id.to_string()).collect();
    assert!(known.len() >= 18, "{known:?}");
    assert_eq!(listed.lines().collect::<Vec<_>>(), known);
    let table = agentctl(["check", "list"]).exits(0).stdout;
    for id in &known {
        assert!(table.contains(id.as_str()), "{id} is not in the table");
        let explained = agentctl(["check", "explain", id]).exits(0);
        let says = |part: &str| explained.stdout.contains(part);
        assert!(says("Why  ") && says("How  ") && says("Fix  "), "{explained}");
    }
}
