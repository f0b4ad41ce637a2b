//! Roles in the applications: listed and explained without a daemon, decided and recorded by one, changed by a reload,
//! refused where the file is wrong.
use crate::support::{Daemon, agentctl};
use serde_json::Value;

const FLEET: &str = r#"
schema = 1

[[role]]
name = "front-desk"
description = "books and cancels at the counter"
permissions = ["create_appointments", "CANCEL"]

[[agent]]
name = "talks"
kind = "process"
enabled = false
role = "conversation"
clients = ["42", "o'hara"]
options = { command = [{agentctl}, "demo-agent", "stdio"] }

[[agent]]
name = "desk"
kind = "process"
enabled = false
role = "front-desk"
clients = "all"
options = { command = [{agentctl}, "demo-agent", "stdio"] }
"#;

fn fleet(second: &str) -> String {
    FLEET.replace("CANCEL", second)
}

/// What was decided, and the exit code that says so.
#[track_caller]
fn decided(daemon: &Daemon, args: &[&str]) -> (bool, String) {
    let answer = daemon.ctl(["auth", "can"].iter().chain(args).chain(&["-o", "json"]));
    assert!(answer.code <= 1, "{answer}");
    let reply = answer.json();
    assert_eq!(reply["schema_version"], 1);
    assert_eq!(reply["allowed"], answer.code == 0, "{answer}");
    (answer.code == 0, reply["why"].as_str().expect("a word").to_owned())
}

#[test]
fn a_question_is_decided_with_its_reason_and_its_exit_code() {
    let daemon = Daemon::start(&fleet("cancel_appointments"));
    let table: &[(&[&str], bool, &str)] = &[
        (&["agent:talks", "read_client_data", "--client", "42"], true, "granted"),
        (&["agent:talks", "read_client_data", "--client", "o'hara"], true, "granted"),
        (&["agent:talks", "read_client_data", "--client", "43"], false, "client-not-granted"),
        (&["agent:talks", "read_client_data"], false, "client-not-named"),
        (&["agent:talks", "refund_payments", "--client", "42"], false, "role-lacks-permission"),
        (&["agent:desk", "cancel_appointments"], true, "granted"),
        (&["agent:desk", "read_client_data", "--client", "42"], false, "role-lacks-permission"),
        (&["agent:ghost", "read_analytics"], false, "unknown-principal"),
        (&["service:ghost", "read_analytics"], false, "unknown-principal"),
        (&["user:0", "system_config"], false, "no-role"),
        (&["me", "system_config"], false, "no-role"),
    ];
    for (args, allowed, why) in table {
        assert_eq!(decided(&daemon, args), (*allowed, (*why).to_owned()), "{args:?}");
    }
    let answer = daemon.ctl(["auth", "can", "agent:talks", "send_sms", "--client", "42"]).exits(0);
    assert!(answer.stdout.starts_with("allowed  agent:talks send_sms of client 42\n"), "{answer}");
    let answer = daemon.ctl(["auth", "can", "agent:talks", "access_logs"]).exits(1);
    assert!(answer.stdout.contains("role conversation does not have access_logs"), "{answer}");

    for (args, said) in [
        (["agent:talks", "read_client"], "did you mean `read_client_data`?"),
        (["agent:talks", "agent.control"], "is a permission at agentd itself"),
        (["talks", "read_client_data"], "write user:UID, service:NAME or agent:NAME"),
    ] {
        let answer = daemon.ctl(["auth", "can"].iter().chain(&args)).exits(2);
        assert!(answer.stderr.contains(said), "{answer}");
    }
    let answer = daemon.ctl(["auth", "can", "agent:talks", "send_sms", "--client", "a\u{1b}[2J"]).exits(2);
    assert!(!answer.stderr.contains('\u{1b}'), "{answer}");
    assert!(daemon.ctl(["auth", "can", "agent:talks", "send_sms", "--client", &"x".repeat(300)]).code == 2);
}

#[test]
fn every_decision_leaves_a_row_that_says_what_and_why() {
    let mut daemon = Daemon::start(&fleet("cancel_appointments"));
    decided(&daemon, &["agent:talks", "send_sms", "--client", "42"]);
    decided(&daemon, &["agent:talks", "send_sms", "--client", "43"]);
    decided(&daemon, &["agent:ghost", "send_sms"]);
    daemon.ctl(["auth", "can", "agent:talks", "fly"]).exits(2);
    assert_eq!(daemon.stop(), Some(0));
    let database = rusqlite::Connection::open(daemon.path("state/agentd.db")).expect("its database");
    let mut query = database
        .prepare("SELECT object, outcome, reason FROM audit WHERE action = 'auth/can' ORDER BY seq")
        .expect("a query");
    let rows: Vec<[String; 3]> = query
        .query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        .and_then(Iterator::collect)
        .expect("rows");
    let wanted = [
        ("agent:talks send_sms of client 42", "done", "client 42 is among the 2 clients"),
        ("agent:talks send_sms of client 43", "refused", "not among the 2 clients"),
        ("agent:ghost send_sms", "refused", "agent:ghost is unknown"),
        ("agent:talks fly", "failed", "there is no permission `fly`"),
    ];
    assert_eq!(rows.len(), wanted.len(), "{rows:?}");
    for (row, (object, outcome, reason)) in rows.iter().zip(wanted) {
        assert_eq!((row[0].as_str(), row[1].as_str()), (object, outcome), "{row:?}");
        assert!(row[2].contains(reason), "{row:?}");
    }
}

#[test]
fn a_reload_changes_roles_and_one_that_is_wrong_changes_nothing() {
    let daemon = Daemon::start(&fleet("cancel_appointments"));
    let cancels = || decided(&daemon, &["agent:desk", "cancel_appointments", "--client", "1"]).0;
    assert!(cancels());
    daemon.rewrite(&fleet("cancel_apointments"));
    let answer = daemon.ctl(["config", "reload"]).exits(2);
    assert!(answer.stderr.contains("did you mean `cancel_appointments`?"), "{answer}");
    assert!(cancels(), "a refused reload took a permission away");
    daemon.rewrite(&fleet("send_sms"));
    daemon.ctl(["config", "reload"]).exits(0);
    assert!(!cancels(), "the role is as it was");
    assert!(decided(&daemon, &["agent:desk", "send_sms"]).0);
    // Who has a role and which says nothing of the process.
    daemon.rewrite(&fleet("send_sms").replace("\"front-desk\"\nclients", "\"readonly\"\nclients"));
    let answer = daemon.ctl(["config", "reload"]).exits(0);
    assert!(!answer.stdout.contains("restarted"), "{answer}");
    assert!(!decided(&daemon, &["agent:desk", "send_sms"]).0);
}

#[test]
fn roles_are_listed_and_explained_without_a_daemon() {
    let fleet = Daemon::prepared(&fleet("cancel_appointments"));
    let manifest = fleet.path("agentd.toml");
    let manifest = manifest.to_str().expect("text");
    let listed = agentctl(["auth", "role", "list", "--config", manifest, "-o", "name"]).exits(0);
    let names: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(
        names,
        [
            "viewer",
            "operator",
            "admin",
            "agent",
            "service",
            "system",
            "conversation",
            "analytics",
            "support",
            "readonly",
            "front-desk"
        ]
    );
    let table = agentctl(["auth", "role", "list", "--config", manifest]).exits(0);
    assert!(table.stdout.contains("books and cancels at the counter"), "{table}");
    let wide = agentctl(["auth", "role", "list", "--config", manifest, "-o", "wide"]).exits(0);
    assert!(wide.stdout.contains("create_appointments cancel_appointments"), "{wide}");

    let granted = |role: &str| -> Vec<String> {
        let explained = agentctl(["auth", "role", "explain", role, "--config", manifest, "-o", "json"]);
        let explained = explained.exits(0).json();
        let lines = explained["permissions"].as_array().expect("permissions").clone();
        let has = lines.iter().filter(|line| line["granted"] == true);
        has.map(|line| line["permission"].as_str().map(str::to_owned).expect("a word")).collect()
    };
    assert_eq!(granted("front-desk"), ["create_appointments", "cancel_appointments"]);
    assert_eq!(granted("system").len(), 18);
    assert_eq!(granted("readonly"), ["read_client_data", "read_appointments", "read_analytics"]);
    assert_eq!(granted("agent"), ["agent.report"]);
    let table = agentctl(["auth", "role", "explain", "support", "--config", manifest]).exits(0);
    assert!(table.stdout.contains("refund_payments      no   give a client money back"), "{table}");

    let unknown = agentctl(["auth", "role", "explain", "suport", "--config", manifest]).exits(7);
    assert!(unknown.stderr.contains("did you mean `support`?"), "{unknown}");
    fleet.rewrite(&FLEET.replace("\"CANCEL\"", "\"fly\""));
    agentctl(["auth", "role", "list", "--config", manifest]).exits(2);
}

#[test]
fn a_manifest_with_a_role_that_lies_is_refused_before_anything_starts() {
    for (wrong, said) in [
        (fleet("fly"), "`fly` is no value of `permissions`"),
        (FLEET.replace("[\"create_appointments\", \"CANCEL\"]", "[]"), "must have at least 1"),
        (fleet("send_sms").replace("name = \"front-desk\"", "name = \"system\""), "ships with agentd"),
        (fleet("send_sms").replace("role = \"conversation\"", "role = \"conversaton\""), "`conversation`?"),
    ] {
        let prepared = Daemon::prepared(&wrong);
        let manifest = prepared.path("agentd.toml");
        let checked = agentctl(["config", "check", manifest.to_str().expect("text")]).exits(2);
        assert!(format!("{checked}").contains(said), "{said}: {checked}");
        let daemon = prepared.another(&prepared.path("state"), &prepared.socket());
        assert_eq!(daemon.code, 2, "{daemon}");
    }
}

#[test]
fn the_schema_of_the_file_names_every_permission() {
    let schema: Value = agentctl(["config", "schema"]).exits(0).json();
    let text = schema["$defs"]["ApplicationPermission"].to_string();
    for word in ["read_client_data", "system_config"] {
        assert!(text.contains(word), "{text}");
    }
}
