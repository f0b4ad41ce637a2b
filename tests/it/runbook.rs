//! The runbook through the real binaries: of the fleet, of an agent, of a check; with the daemon, without it, and with an
//! agent that says what it should not.
use crate::support::{Daemon, agentctl, becomes, eventually};
use serde_json::Value;

const MANIFEST: &str = r#"
schema = 1

[contacts.shop]
name = "Ann Shop"
email = "ann@shop.example.org"

[[agent]]
name = "orders"
kind = "process"
owner = "shop"
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }

[[agent]]
name = "billing"
kind = "process"
depends_on = ["orders"]
restart = { policy = "on-failure", backoff = "10ms..50ms", latch = "2 in 1m" }
start_timeout = "5s"
options = { command = ["/bin/sh", "-c", "printf 'OOPS \\033[2J <script>x</script> [a](b)\\n' >&2; exit 3"] }

[[agent]]
name = "mail"
kind = "process"
depends_on = ["billing"]
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "mail"] }
"#;

fn fleet() -> Daemon {
    let daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    becomes(&daemon, "billing", "crash-looping");
    daemon
}

/// The value of a fact, wherever it stands.
fn fact(book: &Value, name: &str) -> String {
    let sections = book["sections"].as_array().expect("sections");
    let facts = sections.iter().flat_map(|section| section["facts"].as_array().into_iter().flatten());
    let found = facts.clone().find(|fact| fact["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no fact `{name}`: {book:#}"));
    found["value"].as_str().expect("text").to_owned()
}

fn commands(book: &Value) -> Vec<String> {
    let sections = book["sections"].as_array().expect("sections");
    let all = sections.iter().flat_map(|section| section["commands"].as_array().into_iter().flatten());
    all.map(|command| command["command"].as_str().expect("text").to_owned()).collect()
}

/// As it can be typed where the socket is not the default one.
fn typed(daemon: &Daemon, command: &str) -> String {
    format!("agentctl --socket {} {command}", daemon.socket().display())
}

#[test]
fn of_the_fleet_it_says_what_is_wrong_who_says_so_and_how_to_go_back() {
    let daemon = fleet();
    let book = || daemon.ctl(["runbook", "-o", "json"]).exits(0).json();
    let first = book();
    assert_eq!((&first["about"], &first["source"]), (&"fleet".into(), &"daemon".into()));
    assert_eq!(fact(&first, "state directory"), daemon.path("state").display().to_string());
    assert_eq!(fact(&first, "socket"), daemon.socket().display().to_string());
    assert!(fact(&first, "shop").contains("Ann Shop <ann@shop.example.org>; owns orders"), "{first:#}");
    assert!(fact(&first, "nobody").contains("billing, mail"), "{first:#}");
    assert!(fact(&first, "billing").contains("crash-looping"), "{first:#}");
    assert!(
        fact(&first, "against").contains("no release to return to"),
        "nothing was ever stable: {first:#}"
    );
    assert!(fact(&first, "last drill").contains("never"), "{first:#}");

    daemon.ctl(["release", "create", "--note", "first"]).exits(0);
    daemon.ctl(["release", "bless", "r-1", "--unproved", "--reason", "a test"]).exits(0);
    let other = "name = \"Ann Other\"";
    daemon.rewrite(&MANIFEST.replace("name = \"Ann Shop\"", other));
    daemon.ctl(["config", "reload"]).exits(0);
    daemon.ctl(["release", "create", "--note", "second"]).exits(0);
    daemon.ctl(["backup", "create"]).exits(0);
    let second = book();
    assert!(
        commands(&second).contains(&typed(&daemon, "rollback run --to r-1 --reason \"WHY\"")),
        "{second:#}"
    );
    assert!(fact(&second, "stable").starts_with("r-1, "), "{second:#}");
    assert!(fact(&second, "newest that is sound").contains("verified"), "{second:#}");
    assert!(fact(&second, "shop").starts_with("Ann Other"), "the manifest was reloaded: {second:#}");

    let text = daemon.ctl(["runbook", "-o", "text"]).exits(0);
    assert!(
        text.stdout
            .contains(&format!("  $ {}\n", typed(&daemon, "rollback run --mode immediate --reason \"WHY\""))),
        "{text}"
    );
    let markdown = daemon.ctl(["runbook", "-o", "markdown"]).exits(0);
    assert!(markdown.stdout.starts_with("# the fleet of dev\n"), "{markdown}");
    daemon.ctl(["runbook", "-o", "sarif"]).exits(2);
}

#[test]
fn of_an_agent_it_has_what_it_said_made_harmless_and_who_needs_it() {
    let daemon = fleet();
    let seen = eventually(|| daemon.ctl(["runbook", "billing"]).stdout.contains("OOPS"));
    let text = daemon.ctl(["runbook", "billing"]).exits(0);
    assert!(seen && !text.stdout.contains('\u{1b}'), "{text}");
    let markdown = daemon.ctl(["runbook", "billing", "-o", "markdown"]).exits(0).stdout;
    assert!(
        markdown.contains("OOPS") && !markdown.contains("<script>") && !markdown.contains("[a](b)"),
        "{markdown}"
    );
    let book = daemon.ctl(["runbook", "billing", "-o", "json"]).exits(0).json();
    assert_eq!((fact(&book, "needs"), fact(&book, "needed by")), ("orders".into(), "mail".into()));
    assert!(fact(&book, "order of start").starts_with("round 2 of 3"), "{book:#}");
    assert!(fact(&book, "restart").contains("given up after 2 in 1m"), "{book:#}");
    assert!(fact(&book, "billing/0 ended").contains("code 3"), "{book:#}");
    assert!(commands(&book).contains(&typed(&daemon, "agent start billing")), "{book:#}");
    let orders = daemon.ctl(["runbook", "orders", "-o", "json"]).exits(0).json();
    assert_eq!(fact(&orders, "through those, by"), "mail");

    let check = daemon.ctl(["runbook", "db-001", "-o", "json"]).exits(0).json();
    assert_eq!(check["about"], "check/DB-001");
    assert!(!fact(&check, "how").is_empty() && !check["unknown"].as_array().expect("a list").is_empty());
    for (wrong, hint) in [("biling", "did you mean `billing`?"), ("DB-0001", "did you mean `DB-001`?")] {
        let answer = daemon.ctl(["runbook", wrong]).exits(7);
        assert!(answer.stderr.contains(hint) && answer.stdout.is_empty(), "{answer}");
    }
}

#[test]
fn without_a_daemon_it_is_made_of_the_manifest_and_says_what_it_cannot_know() {
    let daemon = Daemon::prepared(MANIFEST);
    let manifest = daemon.path("agentd.toml");
    let ask = |about: &[&str]| {
        let socket = daemon.socket();
        let head = ["--socket", socket.to_str().expect("text"), "runbook"];
        let tail = ["--config", manifest.to_str().expect("text"), "-o", "json"];
        agentctl(head.iter().chain(about).chain(&tail).map(ToString::to_string))
    };
    let fleet = ask(&[]).exits(0);
    assert!(fleet.stderr.contains("cannot be reached"), "{fleet}");
    let book = fleet.json();
    assert_eq!(book["source"], "manifest");
    assert!(fact(&book, "shop").contains("Ann Shop"), "{book:#}");
    assert!(book["unknown"].as_array().expect("a list").len() >= 4, "{book:#}");
    assert!(commands(&book).contains(&typed(&daemon, "daemon start")), "{book:#}");
    assert_eq!(fact(&book, "socket"), daemon.socket().display().to_string());
    let placed = ask(&["--state-dir", "/var/lib/elsewhere"]).exits(0).json();
    assert_eq!(fact(&placed, "database"), "/var/lib/elsewhere/agentd.db");
    assert_eq!(
        placed["unknown"].as_array().map(Vec::len).unwrap_or_default() + 1,
        book["unknown"].as_array().map(Vec::len).unwrap_or_default(),
        "where it is was named: {placed:#}"
    );
    let agent = ask(&["billing"]).exits(0).json();
    assert_eq!(fact(&agent, "needed by"), "mail");
    assert!(agent["unknown"][0].as_str().expect("text").contains("agentd does not answer"), "{agent:#}");
    assert_eq!(ask(&["DB-001"]).exits(0).json()["about"], "check/DB-001");
    ask(&["biling"]).exits(7);
    std::fs::write(&manifest, "schema = \"x\"").expect("spoilt");
    ask(&[]).exits(2);
}
