//! The audit trail of a real daemon: every route that changes something leaves a row, whatever is killed in between;
//! what was tampered with is found by agentctl, with the daemon and without.
use crate::support::{Daemon, agentctl, becomes, eventually};
use agentctl::{commands, domain::Audited, protocol::Verb};
use rusqlite::Connection;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const MANIFEST: &str = r#"
schema = 1

[[agent]]
name = "orders"
kind = "process"
stop_timeout = "1s"
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }

[[agent]]
name = "stubborn"
kind = "process"
stop_timeout = "1s"
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "stubborn", "--fault", "ignore-term"] }

[[checklist.item]]
id = "seen"
title = "somebody has seen it"
kind = "attest"
group = "agent-operations"
"#;

/// Not an operator's doing: each instance says that it is alive, many times a minute.
const NOT_AUDITED: &[&str] = &["agents/report"];

fn request(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Status and correlation id of the answer.
fn post(socket: &Path, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    stream.write_all(request(path, body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut = || io::Error::other(format!("cut off: {answer:?}"));
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    let id = answer.lines().find_map(|line| line.strip_prefix("agentd-correlation: "));
    Ok((status, id.unwrap_or_default().to_owned()))
}

fn database(daemon: &Daemon) -> Connection {
    Connection::open_with_flags(daemon.path("state/agentd.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("a database")
}

/// Every value of one column of a query.
fn column(connection: &Connection, sql: &str) -> Vec<String> {
    let mut query = connection.prepare(sql).expect("a query");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("text")).collect()
}

#[test]
fn every_route_that_changes_something_leaves_its_row() {
    let mut daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    let waiver = r#"{"check":"CF-001","owner":"a","reason":"b","expires_in":"1h"}"#;
    // Those that must be done; of any other, that it was tried must be told. The last ends the daemon.
    let sound = [
        ("checklist/run", "{}"),
        ("agents/restart", r#"{"agents":["orders"]}"#),
        ("agents/stop", r#"{"agents":["orders"]}"#),
        ("agents/start", r#"{"agents":["orders"]}"#),
        ("agents/scale", r#"{"agent":"orders","replicas":1}"#),
        ("waivers/add", waiver),
        ("waivers/revoke", r#"{"id":1}"#),
        ("attestations/add", r#"{"item":"seen","by":"a","note":"b"}"#),
        ("attestations/revoke", r#"{"id":1}"#),
        ("readiness/run", r#"{"only":["CF-002"]}"#),
        ("system/off", r#"{"reason":"a drill"}"#),
        ("system/limited", r#"{"clients":["user:7"],"reason":"a drill"}"#),
        ("system/on", "{}"),
        ("releases/create", "{}"),
        ("triggers/hold", r#"{"for":"1h","reason":"a drill"}"#),
        ("triggers/release", "{}"),
        ("releases/bless", r#"{"id":"r-1","unproved":true,"reason":"as it runs"}"#),
        ("rehearsals/begin", "{}"),
        ("backups/create", r#"{"note":"a"}"#),
        ("backups/drill", "{}"),
        ("config/reload", "{}"),
        ("daemon/stop", "{}"),
    ];
    let routes = commands::routes();
    let writes: Vec<_> = routes.iter().filter(|route| route.verb == Verb::Write).collect();
    let mut asked: Vec<(&str, &str)> = writes
        .iter()
        .map(|route| route.action)
        .filter(|name| sound.iter().all(|(known, _)| known != name))
        .map(|name| (name, "{}"))
        .collect();
    asked.extend(sound);
    let mut due = Vec::new();
    for (action, body) in &asked {
        let route = writes.iter().find(|route| route.action == *action);
        let route = route.unwrap_or_else(|| panic!("{action} is no route that writes"));
        let (status, correlation) = post(&daemon.socket(), &route.path, body).expect(action);
        if NOT_AUDITED.contains(action) {
            assert_eq!(route.audited, Audited::Not, "{action}");
            continue;
        }
        assert_ne!(route.audited, Audited::Not, "{action} changes something and is not audited");
        let must = sound.iter().any(|(known, _)| known == action);
        assert!(!must || status == 200, "{action}: {status}");
        // What goes on behind the answer is what the next one rests on.
        let under_way = || {
            let list = daemon.ctl(["operation", "list", "-o", "json"]).json();
            list["operations"].as_array().is_some_and(|all| all.iter().any(|one| one["state"] == "running"))
        };
        assert!(!action.ends_with("s/create") || eventually(|| !under_way()), "{action} does not end");
        due.push((*action, correlation, must));
    }
    assert_eq!(daemon.ended(), Some(0));
    let connection = database(&daemon);
    for (action, correlation, must) in due {
        let outcomes = column(
            &connection,
            &format!(
                "SELECT outcome FROM audit WHERE action = '{action}' AND correlation = '{correlation}' ORDER BY seq"
            ),
        );
        assert!(!outcomes.is_empty(), "{action} left no row");
        let last = outcomes.last().map(String::as_str);
        assert!(!must || matches!(last, Some("done" | "intended")), "{action}: {outcomes:?}");
        assert!(!must || action.ends_with("/run") || last == Some("done"), "{action}: {outcomes:?}");
    }
    let who = column(&connection, "SELECT DISTINCT principal FROM audit");
    assert_eq!(who, [format!("user:{}", rustix::process::geteuid().as_raw())]);
    let text = fs::read(daemon.path("state/agentd.db")).expect("read");
    let key = fs::read_to_string(daemon.path("state/audit.key")).expect("a key");
    let holds = |needle: &[u8]| text.windows(needle.len()).any(|part| part == needle);
    assert!(holds(b"waivers/add") && !holds(key.trim().as_bytes()), "the key is in the database");
    assert!(
        agentctl(
            ["audit", "verify", "--state-dir"].map(PathBuf::from).into_iter().chain([daemon.path("state")])
        )
        .code
            == 0
    );
}

#[test]
fn a_validation_leaves_its_beginning_and_its_verdict_and_nothing_of_what_it_tried_on_scratch() {
    let daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    let only = "AU-020,AU-021,AU-022,AU-023,AU-024,CF-015,CF-002";
    let report = daemon.ctl(["validate", "--only", only, "-o", "json"]).json();
    for finding in report["findings"].as_array().expect("findings") {
        assert!(finding["outcome"] == "pass", "{finding:#}");
    }
    let rows = daemon.ctl(["audit", "list", "-o", "json"]).exits(0).json();
    let rows = rows["entries"].as_array().expect("rows").clone();
    let seen: Vec<_> = rows.iter().map(|row| (&row["action"], &row["object"], &row["standing"])).collect();
    let run = |standing: &str| (Value::from("readiness/run"), Value::from("run/1"), Value::from(standing));
    let (began, ended) = (run("intended"), run("done"));
    assert_eq!(seen, [(&began.0, &began.1, &began.2), (&ended.0, &ended.1, &ended.2)], "{rows:#?}");
    assert!(rows[1]["reason"].as_str().is_some_and(|said| said.ends_with("of 100")), "{rows:#?}");
}

#[test]
fn a_client_that_hangs_up_in_the_middle_of_a_stop_leaves_an_outcome() {
    let daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "stubborn", "ready");
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    stream.write_all(request("/v1/agents/stop", r#"{"agents":["stubborn"]}"#).as_bytes()).expect("asked");
    let outcomes = || {
        let list = daemon.ctl(["audit", "list", "--action", "agents/stop", "-o", "json"]).exits(0).json();
        let rows = list["entries"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["standing"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert!(eventually(|| outcomes() == ["unknown"]), "{:?}", outcomes());
    drop(stream);
    assert!(eventually(|| outcomes() == ["intended", "done"]), "{:?}", outcomes());
}

#[test]
fn rows_are_shown_verified_and_exported_and_what_was_tampered_with_is_named() {
    let mut daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    for _ in 0..3 {
        daemon.ctl(["waiver", "add", "CF-001", "--owner", "a", "--reason", "b", "--expires", "1h"]).exits(0);
    }
    daemon.ctl(["waiver", "revoke", "2"]).exits(0);
    daemon.ctl(["waiver", "revoke", "77"]).exits(7);
    daemon.ctl(["agent", "stop", "orders"]).exits(0);
    let list = |more: &[&str]| {
        daemon
            .ctl([&["audit", "list", "-o", "name"], more].concat())
            .exits(0)
            .stdout
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(list(&["--outcome", "failed"]), ["5"]);
    assert_eq!(list(&["--action", "waivers", "--limit", "2"]), ["4", "5"]);
    assert_eq!(list(&["--principal", "agent:orders", "--since", "1h"]), Vec::<String>::new());
    assert!(daemon.ctl(["audit", "list", "--outcome", "gone"]).exits(2).stderr.contains("unknown"));
    let table = daemon.ctl(["audit", "list"]).exits(0).stdout;
    assert!(table.contains("waiver/2") && table.contains("agents/stop"), "{table}");
    let shown = daemon.ctl(["audit", "show", "7"]).exits(0).stdout;
    assert!(shown.contains("of the same request") && shown.contains("intended"), "{shown}");
    daemon.ctl(["audit", "show", "99"]).exits(7);
    let verified = daemon.ctl(["audit", "verify"]).exits(0).stdout;
    assert!(verified.contains("is whole: 7 rows, 1 to 7"), "{verified}");

    let export = daemon.path("export.jsonl");
    fs::write(&export, daemon.ctl(["audit", "export"]).exits(0).stdout).expect("kept");
    let file = export.to_str().expect("text");
    daemon.ctl(["audit", "verify", file]).exits(0);
    fs::write(&export, fs::read_to_string(&export).expect("read").replacen("waiver/3", "waiver/4", 1))
        .expect("kept");
    let broken = daemon.ctl(["audit", "verify", file]).exits(1).stdout;
    assert!(broken.contains("edited") && broken.contains("at row 3"), "{broken}");

    assert_eq!(daemon.stop(), Some(0));
    let state = daemon.path("state");
    let state = state.to_str().expect("text");
    let whole = agentctl(["audit", "verify", "--state-dir", state]).exits(0).stdout;
    assert!(whole.contains("anchored     up to row 7"), "{whole}");
    let tamper = |sql: &str| {
        Connection::open(daemon.path("state/agentd.db")).expect("opens").execute_batch(sql).expect("done");
    };
    tamper("UPDATE audit SET principal = 'user:1' WHERE seq = 6");
    let broken = agentctl(["audit", "verify", "--state-dir", state]).exits(1).stdout;
    assert!(broken.contains("BROKEN") && broken.contains("edited       at row 6"), "{broken}");
    tamper("DELETE FROM audit WHERE seq > 5");
    daemon.launch();
    let broken = daemon.ctl(["audit", "verify", "-o", "json"]).exits(1).json();
    assert_eq!((&broken["breaks"][0]["kind"], &broken["breaks"][0]["seq"]), (&"truncated".into(), &6.into()));
    fs::remove_file(daemon.path("state/audit.key")).expect("removed");
    let keyless = agentctl(["audit", "verify", "--state-dir", state]).exits(2);
    assert!(keyless.stderr.contains("audit.key"), "{keyless}");
    agentctl(["audit", "verify", "--state-dir", "/nowhere"]).exits(7);
}

/// Mutations of every sort, as fast as they are answered, until the daemon is gone.
fn mutate(socket: &Path, seed: u64, stop: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let id = random.u32(1..400);
        let (path, body) = match random.u8(..10) {
            0..=3 => (
                "/v1/waivers/add",
                r#"{"check":"CF-001","owner":"a","reason":"b","expires_in":"9d"}"#.to_owned(),
            ),
            4..=6 => ("/v1/waivers/revoke", format!("{{\"id\":{id}}}")),
            7 => ("/v1/readiness/run", r#"{"only":["CF-002"]}"#.into()),
            8 => ("/v1/agents/stop", r#"{"agents":["orders"]}"#.into()),
            _ => ("/v1/agents/start", r#"{"agents":["orders"]}"#.into()),
        };
        // Cut off by the kill is what this is about.
        let _ = post(socket, path, &body);
    }
}

/// Every effect has its row and every row its effect.
fn compare(daemon: &Daemon) {
    let connection = database(daemon);
    let set = |sql: &str| column(&connection, sql).into_iter().collect::<BTreeSet<_>>();
    let rows = |action: &str, outcome: &str| {
        set(&format!("SELECT object FROM audit WHERE action = '{action}' AND outcome = '{outcome}'"))
    };
    for (effects, action, outcome) in [
        ("SELECT 'waiver/' || id FROM waivers", "waivers/add", "done"),
        ("SELECT 'waiver/' || id FROM waivers WHERE revoked_at IS NOT NULL", "waivers/revoke", "done"),
        ("SELECT 'run/' || run FROM runs", "readiness/run", "intended"),
        ("SELECT 'run/' || run FROM runs WHERE state = 'finished'", "readiness/run", "done"),
    ] {
        assert_eq!(set(effects), rows(action, outcome), "{action} {outcome}");
    }
    let twice = "SELECT object FROM audit WHERE outcome = 'done' AND action LIKE 'waivers/%' GROUP BY action, object HAVING count(*) > 1";
    assert_eq!(column(&connection, twice), Vec::<String>::new());
    // What was done outside was intended before.
    let unannounced =
        "SELECT object FROM audit AS a WHERE action LIKE 'agents/%' AND outcome <> 'intended' AND NOT EXISTS
         (SELECT 1 FROM audit WHERE correlation = a.correlation AND outcome = 'intended' AND seq < a.seq)";
    assert_eq!(column(&connection, unannounced), Vec::<String>::new());
}

#[test]
fn no_kill_comes_between_an_effect_and_its_row() {
    let kills: u32 =
        std::env::var("AGENTCTL_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut random = fastrand::Rng::with_seed(1);
    let mut daemon = Daemon::prepared(MANIFEST);
    let mut most = 0;
    for kill in 0..kills {
        daemon.launch();
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4_u32)
            .map(|client| {
                let (socket, stop) = (daemon.socket(), Arc::clone(&stop));
                thread::spawn(move || mutate(&socket, u64::from(kill * 4 + client), &stop))
            })
            .collect();
        // The random moment is what is tested: there is nothing to wait for.
        thread::sleep(Duration::from_millis(random.u64(20..400)));
        daemon.kill();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no panic");
        }
        let verified = agentctl([
            Path::new("audit"),
            Path::new("verify"),
            Path::new("--state-dir"),
            &daemon.path("state"),
        ]);
        assert_eq!(verified.code, 0, "after kill {kill}: {verified}");
        compare(&daemon);
        most = column(&database(&daemon), "SELECT CAST(ifnull(max(seq), 0) AS TEXT) FROM audit")[0]
            .parse()
            .expect("a number");
    }
    assert!(most > kills, "only {most} rows: the kills met nothing");
    daemon.launch();
    let unknown =
        daemon.ctl(["audit", "list", "--outcome", "unknown", "--limit", "10000", "-o", "name"]).exits(0);
    let before = unknown.stdout.lines().count();
    daemon.kill();
    daemon.launch();
    let unknown =
        daemon.ctl(["audit", "list", "--outcome", "unknown", "--limit", "10000", "-o", "name"]).exits(0);
    assert_eq!(unknown.stdout.lines().count(), before, "a start rewrote what is unknown");
    daemon.ctl(["audit", "verify"]).exits(0);
}
