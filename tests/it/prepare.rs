//! The set-up of a release through the real binaries: once for its content, with a key; taken away where that is declared;
//! never twice, whatever is killed; refused where nobody can tell whether it was done.
use crate::support::{Answer, Daemon, becomes, eventually};
use std::{fs, path::Path};

const MANIFEST: &str = r#"
schema = 1
releases.dir = "{home}/releases"

[[agent]]
name = "orders"
kind = "process"
artifact = "code"
start_timeout = "10s"
restart = { policy = "on-failure", backoff = "10ms..50ms", latch = "3 in 1m" }
options = { command = ["/bin/sh", "{artifact}/run.sh", {agentctl}] }
"#;
const GOOD: &str = "exec \"$1\" demo-agent stdio --name orders\n";
const BAD: &str = "exit 1\n";

fn fleet() -> Daemon {
    let mut daemon = Daemon::prepared(MANIFEST);
    fs::create_dir(daemon.path("code")).expect("a directory");
    write(&daemon, GOOD);
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    created(&daemon);
    deploys(&daemon, "r-1").exits(0);
    daemon.ctl(["release", "bless", "r-1", "--unproved", "--reason", "a test"]).exits(0);
    daemon
}

fn write(daemon: &Daemon, script: &str) {
    fs::write(daemon.path("code/run.sh"), script).expect("written");
}

fn created(daemon: &Daemon) {
    daemon.ctl(["release", "create"]).exits(0);
}

fn deploys(daemon: &Daemon, id: &str) -> Answer {
    daemon.ctl(["deploy", id, "--unproved", "--yes", "--reason", "a test"])
}

fn command(says: &str, log: &Path) -> String {
    format!("[\"/bin/sh\", \"-c\", \"{says} >> {}\"]", log.display())
}

/// A set-up that writes down its key, and what else is declared.
fn declares(daemon: &Daemon, more: &str) {
    let prepare = command("echo set-up $AGENTD_OPERATION_KEY $AGENTD_RELEASE", &daemon.path("log"));
    daemon.rewrite(&format!("{MANIFEST}\n[releases.migration]\nprepare = {prepare}\n{more}\n"));
}

fn said(daemon: &Daemon) -> Vec<String> {
    fs::read_to_string(daemon.path("log")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The newest operation: `op-7`.
fn newest(daemon: &Daemon) -> String {
    let list = daemon.ctl(["operation", "list", "--limit", "1", "-o", "name"]).exits(0);
    list.stdout.trim().to_owned()
}

fn steps(daemon: &Daemon, id: &str) -> Vec<String> {
    let plan = daemon.ctl(["deploy", id, "--unproved", "--dry-run", "-o", "json"]).exits(0).json();
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn it_runs_once_for_its_content_and_the_plan_says_so() {
    let mut daemon = fleet();
    let up = command("echo up", &daemon.path("log"));
    declares(&daemon, &format!("up = {up}\ndown = {}", command("echo down", &daemon.path("log"))));
    write(&daemon, &format!("# r-2\n{GOOD}"));
    created(&daemon);
    let planned = steps(&daemon, "r-2");
    let place =
        |name: &str| planned.iter().position(|step| step == name).unwrap_or_else(|| panic!("{planned:?}"));
    assert!(place("quiescent") < place("prepare") && place("prepare") < place("migrate-up"), "{planned:?}");
    let plan = daemon.ctl(["deploy", "r-2", "--unproved", "--dry-run"]).exits(0);
    assert!(plan.stdout.contains("declares no `unprepare`"), "{plan}");
    let done = deploys(&daemon, "r-2").exits(0);
    assert!(done.stdout.contains("prepare"), "{done}");
    let operation = newest(&daemon);
    let first = format!("set-up {operation}/prepare r-2");
    assert_eq!(said(&daemon), [&first, "up"]);
    let journal = daemon.path(&format!("state/operations/{operation}.jsonl"));
    let journal = fs::read_to_string(journal).expect("a journal");
    assert!(journal.contains(r#""ran":true"#), "{journal}");

    daemon.ctl(["rollback", "run", "--yes", "--reason", "a test"]).exits(0);
    daemon.kill();
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    assert!(!steps(&daemon, "r-2").contains(&"prepare".to_owned()), "it would be set up twice");
    deploys(&daemon, "r-2").exits(0);
    assert_eq!(said(&daemon), [&first, "up", "down", "up"]);

    // What cannot be read is not taken for "never".
    let record = daemon.path("state/prepared.json");
    fs::write(&record, "{").expect("torn");
    daemon.ctl(["rollback", "run", "--yes", "--reason", "a test"]).exits(0);
    let refused = deploys(&daemon, "r-2").exits(7);
    assert!(refused.stderr.contains("prepared.json"), "{refused}");
}

#[test]
fn what_fails_is_unwound_and_taken_away_where_that_is_declared() {
    let daemon = fleet();
    let away = format!("unprepare = {}", command("echo away $AGENTD_OPERATION_KEY", &daemon.path("log")));
    declares(&daemon, &away);
    write(&daemon, BAD);
    created(&daemon);
    deploys(&daemon, "r-2").exits(1);
    becomes(&daemon, "orders", "ready");
    let key = format!("{}/prepare", newest(&daemon));
    assert_eq!(said(&daemon), [format!("set-up {key} r-2"), format!("away {key}/undo")]);
    assert!(
        steps(&daemon, "r-2").contains(&"prepare".to_owned()),
        "what was taken away must be set up again"
    );

    // Without `unprepare` it stays, and is not run again.
    declares(&daemon, "");
    created(&daemon);
    deploys(&daemon, "r-3").exits(1);
    becomes(&daemon, "orders", "ready");
    assert_eq!(said(&daemon).last(), Some(&format!("set-up {}/prepare r-3", newest(&daemon))));
    assert!(!steps(&daemon, "r-3").contains(&"prepare".to_owned()));

    // One that fails itself: nothing was switched, and it is tried again the next time.
    let fails = "[\"/bin/sh\", \"-c\", \"echo no table >&2; exit 4\"]";
    daemon.rewrite(&format!("{MANIFEST}\n[releases.migration]\nprepare = {fails}\n{away}\n"));
    write(&daemon, GOOD);
    created(&daemon);
    let failed = deploys(&daemon, "r-4").exits(1);
    assert!(failed.stdout.contains("set-up") && failed.stdout.contains("no table"), "{failed}");
    let away = format!("away {}/prepare/undo", newest(&daemon));
    assert_eq!(said(&daemon).last(), Some(&away), "{:?}", said(&daemon));
    becomes(&daemon, "orders", "ready");
    let standing = daemon.ctl(["release", "list", "-o", "json"]).exits(0).json();
    let current = standing["releases"].as_array().expect("a list").iter().find(|one| one["current"] == true);
    assert_eq!(current.expect("one that runs")["id"], "r-1");
    assert!(steps(&daemon, "r-4").contains(&"prepare".to_owned()));
}

#[test]
fn killed_in_the_middle_it_is_run_again_with_the_same_key_and_killed_after_it_is_not() {
    let mut daemon = fleet();
    for (number, (what, times)) in [("intended", 2), ("done", 1)].into_iter().enumerate() {
        let (log, slow) = (daemon.path("log"), if what == "intended" { "; sleep 2" } else { "" });
        let says = format!("echo $AGENTD_OPERATION_KEY >> {}{slow}", log.display());
        let prepare = format!("[\"/bin/sh\", \"-c\", \"{says}\"]");
        daemon.rewrite(&format!("{MANIFEST}\n[releases.migration]\nprepare = {prepare}\n"));
        write(&daemon, &format!("# {number}\n{GOOD}"));
        created(&daemon);
        let release = format!("r-{}", number + 2);
        let deploy = ["deploy", &release, "--unproved", "--yes", "--detach", "--reason", "a test"];
        daemon.ctl(deploy).exits(0);
        let operation = newest(&daemon);
        let journal = daemon.path(&format!("state/operations/{operation}.jsonl"));
        let marks = (format!("\"{what}\""), "\"prepare\"");
        let seen = eventually(|| {
            let text = fs::read_to_string(&journal).unwrap_or_default();
            let entry = text.lines().any(|line| line.contains(&marks.0) && line.contains(marks.1));
            entry && said(&daemon).iter().any(|line| line.starts_with(&operation))
        });
        assert!(seen, "{what} prepare was not written");
        daemon.kill();
        daemon.launch();
        let ended = daemon.ctl(["operation", "show", &operation, "--follow", "-o", "json"]).exits(0).json();
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
        let key = format!("{operation}/prepare");
        assert_eq!(said(&daemon).iter().filter(|line| **line == key).count(), times, "{:?}", said(&daemon));
        becomes(&daemon, "orders", "ready");
    }
}
