//! Rehearsals of a return through the real binaries: one that passes and leaves nothing, those that fail and say who, what
//! is refused before it could touch something live, and what becomes of one that was cut off.
use crate::support::{Answer, Daemon, becomes, eventually, free_port, instance};
use serde_json::Value;
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

const MANIFEST: &str = r#"
schema = 1
releases.dir = "{home}/releases"

[[agent]]
name = "orders"
kind = "process"
artifact = "code"
start_timeout = "10s"
restart = { policy = "on-failure", backoff = "10ms..50ms", latch = "3 in 1m" }
options = { command = ["/bin/sh", "{artifact}/run.sh", {agentctl}, "{home}"], environment = { {environment} } }

[[agent]]
name = "web"
kind = "service"
replicas = 2
depends_on = ["orders"]
options = { command = [{agentctl}, "demo-agent", "http", "--name", "web", "--port", "{port}"], port = {web} }
[[agent.probe]]
name = "health"
kind = "http"
every = "1s"
options = { path = "/health" }
"#;
/// Each start leaves a line. Without the file that it needs it does not start.
const CODE: &str = "echo \"$AGENTD_INSTANCE $DATABASE_URL\" >> \"$2/starts\"\n\
    test -f \"$2/needed\" || { echo 'ImportError: no module named needed' >&2; exit 1; }\n\
    exec \"$1\" demo-agent stdio --name orders\n";

/// A daemon where r-1 was stable and r-2 runs.
fn fleet(environment: &str, more: &str) -> Daemon {
    let manifest = MANIFEST.replace("{environment}", environment).replace("{web}", &free_port().to_string());
    let mut daemon = Daemon::prepared(&format!("{manifest}{more}"));
    fs::create_dir(daemon.path("code")).expect("a directory");
    fs::write(daemon.path("needed"), "").expect("written");
    for file in ["starts", "outside"] {
        fs::write(daemon.path(file), "").expect("written");
        // Agents may have users of their own.
        fs::set_permissions(daemon.path(file), fs::Permissions::from_mode(0o666)).expect("open to all");
    }
    daemon.launch();
    for release in ["r-1", "r-2"] {
        fs::write(daemon.path("code/run.sh"), format!("# {release}\n{CODE}")).expect("written");
        created(&daemon);
        daemon.ctl(["deploy", release, "--unproved", "--yes", "--reason", "a test"]).exits(0);
        daemon.ctl(["release", "bless", release, "--unproved", "--reason", "a test"]).exits(0);
    }
    up(&daemon);
    daemon
}

/// At its start, the daemon may still look for releases.
#[track_caller]
fn created(daemon: &Daemon) {
    assert!(eventually(|| daemon.ctl(["release", "create"]).code == 0), "no release was made");
}

#[track_caller]
fn up(daemon: &Daemon) {
    becomes(daemon, "orders", "ready");
    becomes(daemon, "web", "ready");
}

fn rehearse(daemon: &Daemon, more: &[&str]) -> Answer {
    daemon.ctl([&["rollback", "rehearse"], more].concat())
}

fn lines(daemon: &Daemon, file: &str) -> Vec<String> {
    fs::read_to_string(daemon.path(file)).expect("read").lines().map(str::to_owned).collect()
}

/// Every process with the mark of a fleet of this daemon, a rehearsed one too.
fn pids(daemon: &Daemon) -> BTreeSet<i32> {
    daemon.marked().into_iter().map(|(pid, _)| pid).collect()
}

/// The living fleet is as it was, and there is nothing else.
#[track_caller]
fn untouched(daemon: &Daemon, before: &BTreeSet<i32>) {
    let clear = || {
        let rehearsal = fs::read_dir(daemon.path("state/rehearsal")).map_or(0, Iterator::count);
        pids(daemon) == *before && rehearsal == 0 && !daemon.path("releases/.rehearsal").exists()
    };
    assert!(eventually(clear), "before {before:?}, now {:?}", daemon.marked());
    assert_eq!(instance(daemon, "orders")["release"], "r-2");
}

fn outcome(daemon: &Daemon) -> (String, String) {
    let report = daemon.ctl(["validate", "--only", "AO-014", "-o", "json"]).json();
    let findings = report["findings"].as_array().expect("findings");
    let finding = findings.iter().find(|finding| finding["id"] == "AO-014").expect("AO-014");
    let text = |key: &str| finding[key].as_str().expect(key).to_owned();
    (text("outcome"), text("summary"))
}

fn doubts(daemon: &Daemon) -> String {
    daemon.ctl(["rollback", "plan", "-o", "json"]).exits(0).json()["doubts"].to_string()
}

#[test]
fn a_good_release_passes_the_living_fleet_is_untouched_and_nothing_is_left() {
    let mut daemon = fleet("", "");
    let (before, starts) = (pids(&daemon), lines(&daemon, "starts").len());
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(doubts(&daemon).contains("never rehearsed"), "{}", doubts(&daemon));
    let (warned, why) = outcome(&daemon);
    assert!(warned == "warn" && why.contains("r-1 was never rehearsed"), "{warned} {why}");

    let passed = rehearse(&daemon, &["-o", "json"]).exits(0).json();
    let one = &passed["rehearsals"][0];
    assert_eq!(one["release"], "r-1", "{passed:#}");
    let ready: Vec<&str> =
        one["agents"].as_array().expect("agents").iter().filter_map(|agent| agent["name"].as_str()).collect();
    assert_eq!(ready, ["orders", "web"]);
    assert!(one["agents"].as_array().expect("agents").iter().all(|agent| agent["ready_ms"].is_u64()));
    assert!(one["copy_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{one:#}");
    assert_eq!((&one["left_out"], &one["problems"]), (&Value::Null, &Value::Null), "{one:#}");
    // It did run, once; and it is gone.
    assert_eq!(lines(&daemon, "starts").len(), starts + 1);
    untouched(&daemon, &before);

    assert_eq!(outcome(&daemon).0, "pass");
    let plan = daemon.ctl(["rollback", "plan"]).exits(0);
    assert!(plan.stdout.contains("rehearsed: passed"), "{plan}");
    assert!(!doubts(&daemon).contains("rehears"), "{}", doubts(&daemon));
    let list = daemon.ctl(["rollback", "rehearsals"]).exits(0);
    assert!(list.stdout.contains("r-1") && list.stdout.contains("passed"), "{list}");
    // Who is left out is said, and never counted.
    let part = rehearse(&daemon, &["--without", "web"]).exits(0);
    assert!(part.stdout.contains("web") && part.stdout.contains("not proved"), "{part}");
    assert_eq!(outcome(&daemon).0, "warn");
    assert!(doubts(&daemon).contains("without web"), "{}", doubts(&daemon));
    let unknown = rehearse(&daemon, &["--without", "wep"]).exits(2);
    assert!(unknown.stderr.contains("did you mean web"), "{unknown}");
    // Called off, it leaves as little.
    let begun = rehearse(&daemon, &["--detach", "-o", "json"]).exits(0).json();
    let id = begun["operation"].as_str().expect("an id").to_owned();
    let again = rehearse(&daemon, &[]).exits(7);
    assert!(again.stderr.contains(&id), "two at once: {again}");
    daemon.ctl(["operation", "cancel", &id, "--yes"]).exits(0);
    let ended = daemon.ctl(["operation", "show", &id, "--follow", "-o", "json"]).json();
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    untouched(&daemon, &before);
    // An end of the daemon ends it too.
    rehearse(&daemon, &["--detach"]).exits(0);
    assert!(eventually(|| pids(&daemon).len() > before.len()), "it was not started");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn what_does_not_start_today_fails_and_says_who_and_what_was_changed_is_not_started() {
    let daemon = fleet("", "");
    let before = pids(&daemon);
    rehearse(&daemon, &[]).exits(0);
    // The world has changed since r-1 was good.
    fs::remove_file(daemon.path("needed")).expect("removed");
    let failed = rehearse(&daemon, &[]).exits(1);
    assert!(failed.stdout.contains("orders said last") && failed.stdout.contains("ImportError"), "{failed}");
    untouched(&daemon, &before);
    let (verdict, why) = outcome(&daemon);
    assert!(verdict == "fail" && why.contains("orders"), "{verdict} {why}");
    assert!(doubts(&daemon).contains("failed"), "{}", doubts(&daemon));
    let list = daemon.ctl(["operation", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list["operations"][0]["state"], "unwound", "{list:#}");
    fs::write(daemon.path("needed"), "").expect("written");
    rehearse(&daemon, &[]).exits(0);
    assert_eq!(outcome(&daemon).0, "pass");

    let starts = lines(&daemon, "starts").len();
    let code = daemon.path("releases/r-1/orders/run.sh");
    fs::set_permissions(&code, fs::Permissions::from_mode(0o644)).expect("writable");
    fs::write(&code, "exec sleep 60\n").expect("tampered with");
    let refused = rehearse(&daemon, &[]).exits(1);
    assert!(refused.stdout.contains("run.sh"), "{refused}");
    assert_eq!(lines(&daemon, "starts").len(), starts, "what was changed was started");
    untouched(&daemon, &before);
    assert_eq!(outcome(&daemon).0, "fail");
}

#[test]
fn a_live_database_is_replaced_or_nothing_is_started_and_what_was_prepared_is_taken_away() {
    let live = "DATABASE_URL = \"env:LIVE_URL\"";
    let url = ("LIVE_URL", "postgres://u:hunter2@db.example/shop");
    let said = |what: &str| {
        format!(
            "[\"/bin/sh\", \"-c\", \"echo {what} $AGENTD_RELEASE $AGENTD_RELEASE_FROM $DATABASE_URL >> {{home}}/outside\"]"
        )
    };
    let with = |overlay: &str| {
        format!("\n[rehearsal]\nprepare = {}\ndiscard = {}\n{overlay}\n", said("made"), said("gone"))
    };
    let manifest = |overlay: &str| {
        let text = MANIFEST.replace("{environment}", live).replace("{web}", &free_port().to_string());
        format!("{text}{}", with(overlay))
    };
    let mut daemon = Daemon::prepared(&manifest("")).with(url.0, url.1);
    fs::create_dir(daemon.path("code")).expect("a directory");
    fs::write(daemon.path("needed"), "").expect("written");
    for file in ["starts", "outside"] {
        fs::write(daemon.path(file), "").expect("written");
        fs::set_permissions(daemon.path(file), fs::Permissions::from_mode(0o666)).expect("open to all");
    }
    fs::write(daemon.path("code/run.sh"), CODE).expect("written");
    daemon.launch();
    created(&daemon);
    daemon.ctl(["deploy", "r-1", "--unproved", "--yes", "--reason", "a test"]).exits(0);
    up(&daemon);
    let before = pids(&daemon);

    let refused = rehearse(&daemon, &["--to", "r-1"]).exits(6);
    assert!(
        refused.stderr.contains("DATABASE_URL") && refused.stderr.contains("--without orders"),
        "{refused}"
    );
    assert!(!refused.stderr.contains("hunter2"), "{refused}");
    assert_eq!(lines(&daemon, "outside"), Vec::<String>::new());
    // By its own address under another name it is the same.
    daemon.rewrite(&manifest("env = { DATABASE_URL = \"env:LIVE_URL\" }"));
    daemon.ctl(["config", "reload"]).exits(0);
    up(&daemon);
    assert_eq!(rehearse(&daemon, &["--to", "r-1"]).code, 6);
    daemon.rewrite(&manifest("env = { DATABASE_URL = \"postgres://db.example/scratch\" }"));
    daemon.ctl(["config", "reload"]).exits(0);
    up(&daemon);
    rehearse(&daemon, &["--to", "r-1"]).exits(0);
    let scratch = "r-1 r-1 postgres://db.example/scratch";
    assert_eq!(lines(&daemon, "outside"), [format!("made {scratch}"), format!("gone {scratch}")]);
    let starts = lines(&daemon, "starts");
    assert_eq!(
        starts.last().map(String::as_str),
        Some("orders/0 postgres://db.example/scratch"),
        "{starts:?}"
    );
    // However it ends.
    fs::remove_file(daemon.path("needed")).expect("removed");
    rehearse(&daemon, &["--to", "r-1"]).exits(1);
    assert_eq!(lines(&daemon, "outside").len(), 4);
    assert_eq!(before.len(), pids(&daemon).len());
    let rows = daemon.ctl(["audit", "list", "--action", "rehearsals/begin", "-o", "json"]).exits(0);
    assert!(!rows.stdout.contains("hunter2"), "{rows}");
    assert!(!daemon.log().contains("hunter2"));
}

#[test]
fn killed_before_and_after_every_step_nothing_of_it_is_left_and_its_end_is_seen() {
    let mut daemon = fleet("", "");
    let before = pids(&daemon);
    let journals = daemon.path("state/operations");
    let steps = ["rehearse-copy", "rehearse-start", "rehearse-probe", "rehearse-discard", "rehearse-record"];
    for (what, step) in steps.iter().flat_map(|step| [("intended", step), ("done", step)]) {
        let begun = rehearse(&daemon, &["--detach", "-o", "json"]).exits(0).json();
        let id = begun["operation"].as_str().expect("an id").to_owned();
        let marks = (format!("\"{what}\""), format!("\"{step}\""));
        let seen = eventually(|| {
            let text = fs::read_to_string(journals.join(format!("{id}.jsonl"))).unwrap_or_default();
            text.lines().any(|line| line.contains(&marks.0) && line.contains(&marks.1))
        });
        assert!(seen, "{what} {step} was not written");
        daemon.kill();
        daemon.launch();
        let ended = daemon.ctl(["operation", "show", &id, "--follow", "-o", "json"]).json();
        let state = ended["state"].as_str().expect("a state");
        // What was begun anew, or only had to be taken away or written down, succeeds.
        assert!(matches!(state, "succeeded" | "unwound"), "after {what} {step}: {ended:#}");
        up(&daemon);
        untouched(&daemon, &before);
    }
    rehearse(&daemon, &[]).exits(0);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn where_no_copy_can_be_made_it_says_so_and_nothing_is_started() {
    let daemon = fleet("", "");
    let (before, starts) = (pids(&daemon), lines(&daemon, "starts").len());
    let place = daemon.path("state/rehearsal");
    let _ = fs::remove_dir(&place);
    fs::write(&place, "in the way").expect("written");
    let failed = rehearse(&daemon, &[]).exits(1);
    assert!(failed.stdout.contains("state/rehearsal"), "{failed}");
    assert_eq!((pids(&daemon), lines(&daemon, "starts").len()), (before.clone(), starts));
    assert!(outcome(&daemon).1.contains("never rehearsed"), "what was not held was recorded");
    fs::remove_file(&place).expect("removed");
    rehearse(&daemon, &[]).exits(0);
    untouched(&daemon, &before);
}
