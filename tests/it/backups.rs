//! Backups by the real binaries: made while the daemon is written to and killed, spoilt, encrypted, tried out, unpacked
//! with the daemon and without; and those of a real PostgreSQL.
use crate::support::{Daemon, PASSWORD, Postgres, agentctl, eventually};
use agentctl::store::{AuditFiles, inspect_copy};
use rusqlite::Connection;
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const MANIFEST: &str = "schema = 1\n";

/// How often what CI does a few times is done: `AGENTCTL_TEST_BACKUPS=100` is the long mode.
fn rounds(few: u64) -> u64 {
    std::env::var("AGENTCTL_TEST_BACKUPS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn post(socket: &Path, path: &str, body: &str) -> Option<u16> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(40))).ok()?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// Fifty writes a second: waivers added and revoked in turn, until told to stop. Counts those that are acknowledged.
fn write(socket: &Path, stop: &AtomicBool, added: &AtomicU64) {
    let begin = Instant::now();
    for tick in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep((begin + Duration::from_millis(20) * tick).saturating_duration_since(Instant::now()));
        let id = added.load(Ordering::Relaxed);
        if tick % 2 == 0 {
            let body = r#"{"check":"CF-001","owner":"a","reason":"b","expires_in":"9d"}"#;
            if post(socket, "/v1/waivers/add", body) == Some(200) {
                added.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            post(socket, "/v1/waivers/revoke", &format!("{{\"id\":{id}}}"));
        }
    }
}

fn json(daemon: &Daemon, args: &[&str]) -> Value {
    daemon.ctl([args, &["-o", "json"]].concat()).exits(0).json()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn ids(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.ctl(["backup", "list", "-o", "json"]).exits(0).json();
    listed["backups"].as_array().expect("a list").iter().map(|backup| text(&backup["id"])).collect()
}

#[test]
fn made_under_fifty_writes_a_second_each_restores_to_what_it_was_at_its_moment() {
    let daemon = Daemon::start(MANIFEST);
    let (stop, added) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (socket, stop, added) = (daemon.socket(), Arc::clone(&stop), Arc::clone(&added));
        thread::spawn(move || write(&socket, &stop, &added))
    };
    for round in 0..rounds(5) {
        let known = added.load(Ordering::Relaxed);
        assert!(eventually(|| added.load(Ordering::Relaxed) > known + 2), "nothing is written");
        let before = added.load(Ordering::Relaxed);
        let made = json(&daemon, &["backup", "create"]);
        let after = added.load(Ordering::Relaxed);
        let id = text(&made["id"]);
        let to = daemon.path(&format!("restored-{round}"));
        let to = to.to_str().expect("text");
        daemon.ctl(["backup", "restore", &id, "--to", to]).exits(0);
        let database = AuditFiles::of(Path::new(to)).database;
        let facts = inspect_copy(&database).expect("read");
        assert!(facts.damage.is_empty() && facts.dangling == 0, "{facts:?}");
        let promised = &made["manifest"]["content"];
        assert_eq!(facts.content.digest.to_string(), text(&promised["digest"]), "round {round}");
        // Told without any digest: every write that was acknowledged before is there, none that began afterwards, and
        // each with its row of the trail.
        let connection = Connection::open(&database).expect("opens");
        let one = |sql: &str| {
            u64::from(connection.query_row(sql, [], |row| row.get::<_, u32>(0)).expect("a number"))
        };
        let held = one("SELECT count(*) FROM waivers");
        assert!(before <= held && held <= after + 1, "{before} {held} {after}");
        assert_eq!(held, one("SELECT ifnull(max(id), 0) FROM waivers"), "some are missing");
        let told = "SELECT count(*) FROM audit WHERE outcome = 'done' AND action = 'waivers/";
        assert_eq!(held, one(&format!("{told}add'")), "an effect without its row");
        assert_eq!(
            one("SELECT count(*) FROM waivers WHERE revoked_at IS NOT NULL"),
            one(&format!("{told}revoke'"))
        );
        agentctl(["audit", "verify", "--state-dir", to]).exits(0);
        fs::remove_dir_all(to).expect("removed");
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("no panic");
    let drill = json(&daemon, &["backup", "drill"]);
    assert_eq!(drill["problems"], serde_json::json!([]), "{drill}");
}

#[test]
fn a_daemon_killed_in_the_middle_leaves_nothing_that_looks_whole() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut daemon = Daemon::start(MANIFEST);
    for round in 0..rounds(6) {
        let asking = {
            let socket = daemon.socket();
            thread::spawn(move || post(&socket, "/v1/backups/create", "{}"))
        };
        // The random moment is what is tested: there is nothing to wait for.
        thread::sleep(Duration::from_millis(random.u64(1..120)));
        daemon.kill();
        asking.join().expect("no panic");
        daemon.launch();
        let shelf = daemon.path("state/backups");
        let unfinished = || {
            let entries = fs::read_dir(&shelf).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).count()
        };
        assert!(eventually(|| unfinished() == 0 && settled(&daemon)), "round {round}: a part is left");
        for id in ids(&daemon) {
            daemon.ctl(["backup", "verify", &id]).exits(0);
        }
    }
    let begun = daemon.ctl(["operation", "list", "-o", "json"]).exits(0).json();
    let begun = begun["operations"].as_array().expect("a list").clone();
    assert!(begun.iter().all(|one| one["state"] == "succeeded"), "one was not gone on with: {begun:#?}");
    assert_eq!(ids(&daemon).len(), begun.len(), "not one backup for each that was begun");
    daemon.ctl(["backup", "create"]).exits(0);
    daemon.ctl(["audit", "verify"]).exits(0);
}

/// No operation is under way.
fn settled(daemon: &Daemon) -> bool {
    let list = daemon.ctl(["operation", "list", "-o", "json"]).exits(0).json();
    list["operations"].as_array().expect("a list").iter().all(|one| one["state"] != "running")
}

#[test]
fn one_is_made_listed_shown_verified_tried_out_unpacked_and_deleted() {
    let mut daemon = Daemon::start(MANIFEST);
    assert_eq!(daemon.ctl(["backup", "list"]).exits(0).stdout, "there is no backup\n");
    let none = daemon.ctl(["backup", "drill"]).exits(7);
    assert!(none.stderr.contains("agentctl backup create"), "{none}");
    let said = daemon.ctl(["backup", "create", "--note", "before the upgrade"]).exits(0).stdout;
    assert!(said.starts_with("backup bk-") && said.ends_with("verified\n"), "{said}");
    let id = ids(&daemon).pop().expect("one");
    let table = daemon.ctl(["backup", "list"]).exits(0).stdout;
    assert!(
        table.contains(&id) && table.contains("verified") && table.contains("before the upgrade"),
        "{table}"
    );
    assert_eq!(daemon.ctl(["backup", "list", "-o", "name"]).exits(0).stdout.trim(), id);
    let page = daemon.ctl(["backup", "show", &id]).exits(0).stdout;
    for told in ["agentd.db", "audit.key", "agentd.toml", "not in it", "encrypted   no"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let drill = daemon.ctl(["backup", "drill"]).exits(0).stdout;
    assert!(drill.contains("(RPO)") && drill.contains("(RTO)"), "{drill}");
    assert!(daemon.ctl(["backup", "drill", "--list"]).exits(0).stdout.contains("passed"));
    let to = daemon.path("restored");
    let to = to.to_str().expect("text");
    daemon.ctl(["backup", "restore", &id, "--to", to]).exits(0);
    daemon.ctl(["backup", "restore", &id, "--to", to]).exits(7);
    assert_eq!(fs::read_to_string(daemon.path("restored/agentd.toml")).expect("read"), MANIFEST);

    for wrong in ["../../etc", "bk-20200101T000000Z-1/..", "bk-x"] {
        daemon.ctl(["backup", "verify", wrong]).exits(2);
    }
    daemon.ctl(["backup", "verify", "bk-20200101T000000Z-1"]).exits(7);
    let refused = daemon.ctl(["backup", "delete", &id]).exits(6);
    assert!(refused.stderr.contains("--yes"), "{refused}");

    let database = daemon.path("state/backups").join(&id).join("agentd.db");
    let bytes = fs::read(&database).expect("read");
    fs::write(&database, &bytes[..bytes.len() / 2]).expect("cut");
    let damaged = daemon.ctl(["backup", "verify", &id]).exits(1).stdout;
    assert!(damaged.contains("DAMAGED") && damaged.contains("agentd.db"), "{damaged}");
    assert!(daemon.ctl(["backup", "list"]).exits(0).stdout.contains("damaged"));
    daemon.ctl(["backup", "drill", &id]).exits(1);
    fs::write(&database, &bytes).expect("mended");

    // Without a daemon.
    assert_eq!(daemon.stop(), Some(0));
    let from = daemon.path("state/backups");
    let from = from.to_str().expect("text");
    agentctl(["backup", "list", "--from", "/no/such/place"]).exits(7);
    assert!(agentctl(["backup", "list", "--from", from]).exits(0).stdout.contains(&id));
    agentctl(["backup", "verify", &id, "--from", from]).exits(0);
    let again = daemon.path("again");
    let again = again.to_str().expect("text");
    agentctl(["backup", "restore", &id, "--to", again, "--from", from]).exits(0);
    agentctl(["audit", "verify", "--state-dir", again]).exits(0);
    daemon.launch();
    daemon.ctl(["backup", "delete", &id, "--yes"]).exits(0);
    assert_eq!(ids(&daemon), Vec::<String>::new());
    daemon.ctl(["backup", "delete", &id, "--yes"]).exits(7);
}

#[test]
fn an_encrypted_one_needs_its_key_wherever_it_is_opened() {
    let key = "[backups]\nkey_file = \"{home}/key\"\n";
    let daemon = Daemon::prepared(&format!("{MANIFEST}{key}"));
    let mut daemon = daemon.launched();
    let missing = daemon.ctl(["backup", "create"]).exits(2);
    assert!(missing.stderr.contains("/dev/urandom"), "{missing}");
    fs::write(daemon.path("key"), [7; 40]).expect("a key");
    let said = daemon.ctl(["backup", "create"]).exits(0).stdout;
    assert!(said.contains("encrypted"), "{said}");
    daemon.ctl(["backup", "drill"]).exits(0);
    let id = ids(&daemon).pop().expect("one");
    assert_eq!(daemon.stop(), Some(0));
    let (from, key, other) = (daemon.path("state/backups"), daemon.path("key"), daemon.path("other"));
    fs::write(&other, [8; 40]).expect("a key");
    let offline = |more: &[&str]| {
        let from = from.to_str().expect("text");
        agentctl([&["backup", "verify", &id, "--from", from], more].concat())
    };
    assert!(offline(&[]).exits(2).stderr.contains("none is at hand"));
    let wrong = offline(&["--key-file", other.to_str().expect("text")]).exits(2);
    assert!(wrong.stderr.contains("not the one it was made with"), "{wrong}");
    offline(&["--key-file", key.to_str().expect("text")]).exits(0);
}

#[test]
fn the_schedule_makes_what_was_missed_at_the_start_and_no_second_one() {
    let mut daemon = Daemon::start(&format!("{MANIFEST}[backups]\nevery = \"1h\"\n"));
    assert!(eventually(|| ids(&daemon).len() == 1), "none was made");
    let told = || {
        let rows = json(&daemon, &["audit", "list", "--action", "backups/create"]);
        rows["entries"].as_array().expect("rows").len()
    };
    assert!(eventually(|| told() == 1), "the trail does not tell of it");
    assert_eq!(daemon.stop(), Some(0));
    daemon.launch();
    thread::sleep(Duration::from_millis(700));
    assert_eq!(ids(&daemon).len(), 1, "one was made that was not due");
    daemon.ctl(["backup", "drill"]).exits(0);
    let report = daemon.ctl(["validate", "--only", "DB-013,DB-014", "-o", "json"]).json();
    for finding in report["findings"].as_array().expect("findings") {
        assert_eq!(finding["outcome"], "pass", "{finding:#}");
    }
}

#[test]
fn a_fleet_without_backups_is_told_so() {
    let daemon = Daemon::start(MANIFEST);
    let report = daemon.ctl(["validate", "--only", "DB-013", "-o", "json"]).json();
    let finding = &report["findings"][0];
    assert_eq!(finding["outcome"], "warn", "{finding:#}");
    assert!(text(&finding["summary"]).contains("no schedule"), "{finding:#}");
    let contradiction =
        format!("{MANIFEST}[backups]\nevery = \"2d\"\npassphrase = \"env:P\"\nkey_file = \"/k\"\n");
    daemon.rewrite(&contradiction);
    let file = daemon.path("agentd.toml");
    let refused = agentctl(["config", "check", file.to_str().expect("text")]).exits(2);
    for told in ["max_age", "two keys for one lock"] {
        assert!(refused.stderr.contains(told) || refused.stdout.contains(told), "{told}: {refused}");
    }
}

#[test]
fn a_postgresql_is_dumped_tried_out_and_its_password_is_nowhere() {
    let mut postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE drill OWNER app");
    let database = "[[backups.database]]\nname = \"orders\"\nkind = \"postgres\"\n\
        url = \"file:{home}/url\"\ndrill_url = \"file:{home}/drill-url\"\n";
    let daemon = Daemon::prepared(&format!("{MANIFEST}{database}"));
    fs::write(daemon.path("url"), postgres.url()).expect("a secret");
    fs::write(daemon.path("drill-url"), postgres.url().replace("/orders", "/drill")).expect("a secret");
    let daemon = daemon.launched();
    daemon.ctl(["backup", "create"]).exits(0);
    let id = ids(&daemon).pop().expect("one");
    let dump = fs::read(daemon.path("state/backups").join(&id).join("orders.dump")).expect("a dump");
    assert!(dump.starts_with(b"PGDMP"), "it is no dump of PostgreSQL");
    let count = "DO $$ BEGIN IF (SELECT count(*) FROM orders) <> 2 THEN RAISE 'lost'; END IF; END $$";
    postgres.sql("orders", "INSERT INTO orders (item) VALUES ('salt')");
    // Twice: what the last drill left is replaced.
    for _ in 0..2 {
        daemon.ctl(["backup", "drill"]).exits(0);
        postgres.sql("drill", count);
    }
    // A drill that would be held on the database itself is refused, and changes nothing there.
    fs::write(daemon.path("drill-url"), postgres.url()).expect("a secret");
    let refused = daemon.ctl(["backup", "drill"]).exits(1);
    assert!(refused.stdout.contains("the database itself"), "{refused}");
    postgres.sql("orders", &count.replace("<> 2", "<> 3"));

    fs::write(daemon.path("url"), postgres.url_with("not-the-password")).expect("a secret");
    let refused = daemon.ctl(["backup", "create"]).exits(5);
    assert!(refused.stderr.contains("orders") && !refused.stderr.contains("not-the-password"), "{refused}");
    postgres.kill();
    fs::write(daemon.path("url"), postgres.url()).expect("a secret");
    let refused = daemon.ctl(["backup", "create"]).exits(5);
    assert!(refused.stderr.contains("cannot dump database orders"), "{refused}");
    assert_eq!(ids(&daemon), [id], "half a backup is listed");
    let trail = daemon.ctl(["audit", "list", "-o", "json"]).exits(0).stdout;
    for said in [trail, daemon.log(), daemon.complaints(), refused.stderr] {
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let failed = json(&daemon, &["audit", "list", "--action", "backups/create", "--outcome", "failed"]);
    assert_eq!(failed["entries"].as_array().map(Vec::len), Some(2), "{failed}");
}
