//! What acts by itself, through the real binaries: a release that misbehaves is taken back once; a hold keeps it; what did
//! not help stops; a pause stands against deployments; and a daemon that is killed in between begins nothing twice.
use crate::support::{Answer, Daemon, becomes, eventually, instance};
use serde_json::Value;
use std::fs;

const MANIFEST: &str = r#"
schema = 1
releases.dir = "{home}/releases"

[[agent]]
name = "orders"
kind = "process"
artifact = "code"
start_timeout = "10s"
options = { command = ["/bin/sh", "{artifact}/run.sh", {agentctl}] }

[[trigger]]
name = "crowd"
metric = "agent_processes"
agent = "orders"
above = 2
window = "30s"
min_samples = 1
action = "{action}"
cooldown = "10m"
"#;
const GOOD: &str = "exec \"$1\" demo-agent stdio --name orders\n";
/// It has more processes than it may.
const BAD: &str = "sleep 600 &\nsleep 600 &\nsleep 600 &\nexec \"$1\" demo-agent stdio --name orders\n";

/// A daemon whose release r-1 is stable and well, and r-2 is recorded and bad.
fn fleet(action: &str) -> Daemon {
    let mut daemon = Daemon::prepared(&MANIFEST.replace("{action}", action));
    fs::create_dir(daemon.path("code")).expect("a directory");
    fs::write(daemon.path("code/run.sh"), GOOD).expect("written");
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    release(&daemon, "r-1", GOOD);
    deploys(&daemon, "r-1").exits(0);
    daemon.ctl(["release", "bless", "r-1", "--unproved", "--reason", "a test"]).exits(0);
    release(&daemon, "r-2", BAD);
    daemon
}

fn release(daemon: &Daemon, id: &str, script: &str) {
    fs::write(daemon.path("code/run.sh"), format!("# {id}\n{script}")).expect("written");
    // At the start of a daemon others look after releases, too.
    let mut made = None;
    let came = eventually(|| {
        let answer = daemon.ctl(["release", "create", "-o", "json"]);
        made = (answer.code == 0).then(|| answer.json());
        made.is_some()
    });
    assert!(came && made.as_ref().is_some_and(|made| made["release"]["id"] == id), "{made:#?}");
}

fn deploys(daemon: &Daemon, id: &str) -> Answer {
    daemon.ctl(["deploy", id, "--unproved", "--yes", "--reason", "a test"])
}

fn status(daemon: &Daemon) -> Value {
    daemon.ctl(["rollback", "status", "-o", "json"]).exits(0).json()
}

fn crowd(daemon: &Daemon) -> Value {
    daemon.ctl(["rollback", "triggers", "-o", "json"]).exits(0).json()["triggers"][0].clone()
}

/// Waits until what the trigger did last has come to this.
#[track_caller]
fn comes_to(daemon: &Daemon, state: &str) -> Value {
    let came = eventually(|| crowd(daemon)["last_fired"]["state"] == state);
    assert!(came, "not {state}: {:#}\n{}", crowd(daemon), daemon.log());
    crowd(daemon)
}

/// Rollbacks that agentd began by itself.
fn by_itself(daemon: &Daemon) -> Vec<Value> {
    let past = daemon.ctl(["rollback", "list", "-o", "json"]).exits(0).json();
    let all = past["operations"].as_array().expect("operations").iter();
    all.filter(|operation| operation["by"] == "service:agentd").cloned().collect()
}

/// How often the recorder looked.
fn looks(daemon: &Daemon) -> usize {
    let told = daemon
        .ctl(["metrics", "query", "daemon_memory_bytes", "--step", "10s", "-o", "json"])
        .exits(0)
        .json();
    told["series"][0]["points"].as_array().map_or(0, Vec::len)
}

fn runs(daemon: &Daemon) -> Value {
    instance(daemon, "orders")["release"].clone()
}

#[test]
fn a_release_that_misbehaves_is_taken_back_once_and_what_does_not_help_stops_until_it_is_reset() {
    let mut daemon = fleet("revert");
    let proved = daemon.ctl(["validate", "--only", "AO-015", "-o", "json"]).json();
    assert_eq!(proved["findings"][0]["outcome"], "pass", "{proved:#}");
    deploys(&daemon, "r-2").exits(0);
    comes_to(&daemon, "reverted");
    becomes(&daemon, "orders", "ready");
    assert_eq!(runs(&daemon), "r-1");
    let seen = status(&daemon);
    assert_eq!(
        (&seen["current"]["id"], &seen["current"]["state"]),
        (&"r-1".into(), &"stable".into()),
        "{seen:#}"
    );
    let rollbacks = by_itself(&daemon);
    assert_eq!(rollbacks.len(), 1, "{rollbacks:#?}");
    assert_eq!(rollbacks[0]["state"], "succeeded");
    let audit = daemon.ctl(["audit", "list", "-o", "json"]).exits(0).json();
    let done = |action: &str| {
        let rows = audit["entries"].as_array().expect("rows").iter();
        rows.filter(|row| row["action"] == action && row["principal"] == "service:agentd").count()
    };
    assert!(done("triggers/fire") == 1 && done("ways/begin") >= 1, "{audit:#}");

    // The next one is no better: within the cooldown of a rollback nothing is taken back again.
    release(&daemon, "r-3", BAD);
    deploys(&daemon, "r-3").exits(0);
    let stopped = comes_to(&daemon, "stopped");
    assert_eq!(stopped["state"], "stopped", "{stopped:#}");
    assert_eq!((runs(&daemon), by_itself(&daemon).len()), ("r-3".into(), 1));
    let errors = daemon.ctl(["error", "list", "-o", "json"]).exits(0).json();
    let loud = errors["errors"].as_array().expect("groups").iter();
    assert!(loud.clone().any(|group| group["severity"] == "critical"), "{errors:#}");
    let shown = daemon.ctl(["rollback", "status"]).exits(0);
    assert!(shown.stdout.contains("rollback triggers reset crowd"), "{shown}");
    let proved = daemon.ctl(["validate", "--only", "AO-015", "-o", "json"]).json();
    assert_eq!(proved["findings"][0]["outcome"], "warn", "{proved:#}");
    // It stands after a restart, too.
    daemon.kill();
    daemon.launch();
    assert_eq!(crowd(&daemon)["state"], "stopped");

    daemon.ctl(["rollback", "triggers", "reset", "crowd"]).exits(0);
    comes_to(&daemon, "reverted");
    assert_eq!((runs(&daemon), by_itself(&daemon).len()), ("r-1".into(), 2));
    let replayed =
        daemon.ctl(["rollback", "triggers", "backtest", "--since", "1h", "-o", "json"]).exits(0).json();
    assert!(replayed["triggers"][0]["fired"].as_u64() >= Some(1), "{replayed:#}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_hold_keeps_it_from_acting_and_a_pause_stands_against_deployments_until_somebody_resumes() {
    let daemon = fleet("pause");
    let triggers = |args: &[&str]| daemon.ctl(["rollback", "triggers"].iter().chain(args));
    for (args, code) in [
        (&["hold", "--all", "--for", "25h", "--reason", "x"][..], 2),
        (&["hold", "--all", "--for", "1h", "--reason", " "], 2),
        (&["hold", "--all", "--for", "1h"], 2),
        (&["hold", "--for", "1h", "--reason", "x"], 2),
        (&["hold", "crowds", "--for", "1h", "--reason", "x"], 7),
        (&["release-hold", "--all"], 7),
        (&["resume"], 7),
        (&["reset", "crowd"], 7),
        (&["backtest", "crowds"], 7),
        (&["backtest", "--since", "1s"], 2),
    ] {
        triggers(args).exits(code);
    }
    release(&daemon, "r-3", GOOD);
    triggers(&["hold", "--all", "--for", "1h", "--reason", "a\u{202e} drill"]).exits(0);
    let plan = daemon.ctl(["deploy", "r-2", "--unproved", "--dry-run"]).exits(0);
    assert!(plan.stdout.contains("nothing is taken back by itself"), "{plan}");
    deploys(&daemon, "r-2").exits(0);
    // It is beyond its limit, and held.
    let beyond = eventually(|| crowd(&daemon)["reading"]["sight"] == "breach");
    assert!(beyond, "{:#}", crowd(&daemon));
    let before = looks(&daemon);
    assert!(eventually(|| looks(&daemon) >= before + 2), "nobody looks");
    let held = crowd(&daemon);
    assert_eq!((&held["state"], &held["last_fired"]), (&"held".into(), &Value::Null), "{held:#}");
    let shown = daemon.ctl(["rollback", "status"]).exits(0);
    assert!(shown.stdout.contains("held: all triggers") && !shown.stdout.contains('\u{202e}'), "{shown}");
    triggers(&["release-hold", "--all"]).exits(0);

    comes_to(&daemon, "paused");
    assert_eq!(status(&daemon)["paused"], true);
    let refused = deploys(&daemon, "r-3").exits(6);
    assert!(refused.stderr.contains("rollback triggers resume"), "{refused}");
    daemon.ctl(["rollback", "plan"]).exits(0);
    triggers(&["resume"]).exits(0);
    deploys(&daemon, "r-3").exits(0);
    assert_eq!((runs(&daemon), by_itself(&daemon).len()), ("r-3".into(), 0));
}

#[test]
fn a_daemon_that_is_killed_between_firing_and_rollback_begins_it_once() {
    let mut daemon = fleet("revert");
    deploys(&daemon, "r-2").exits(0);
    let database = daemon.path("state/agentd.db");
    let fired = || {
        let file =
            rusqlite::Connection::open_with_flags(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        let count = file.and_then(|file| {
            file.query_row("SELECT count(*) FROM trigger_firings", [], |row| row.get::<_, i64>(0))
        });
        count.is_ok_and(|count| count > 0)
    };
    assert!(eventually(fired), "{:#}", crowd(&daemon));
    daemon.kill();
    // Whether it was begun or not is seen from its journal alone.
    daemon.launch();
    comes_to(&daemon, "reverted");
    assert_eq!((runs(&daemon), by_itself(&daemon).len()), ("r-1".into(), 1));

    // Killed just before: its row is there, and no operation bears its number.
    daemon.kill();
    let file = rusqlite::Connection::open(&database).expect("opens");
    let forged = "INSERT INTO trigger_firings (trigger, at, action, state, told)
                  VALUES ('crowd', CAST(unixepoch() AS INTEGER) * 1000000000, 'revert', 'intended', 'forged')";
    file.execute(forged, []).expect("forged");
    drop(file);
    daemon.launch();
    comes_to(&daemon, "abandoned");
    assert_eq!(by_itself(&daemon).len(), 1, "it was begun for a firing that nobody judged");
}
