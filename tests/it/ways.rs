//! Deployments and rollbacks through the real binaries: there and back, back by itself, off at once; refused before any
//! harm; and killed before and after every step.
use crate::support::{Answer, Daemon, becomes, eventually, instance, state};
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
restart = { policy = "on-failure", backoff = "10ms..50ms", latch = "3 in 1m" }
options = { command = ["/bin/sh", "{artifact}/run.sh", {agentctl}] }

[[agent]]
name = "billing"
kind = "process"
depends_on = ["orders"]
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "billing"] }
"#;
const GOOD: &str = "exec \"$1\" demo-agent stdio --name orders\n";
const BAD: &str = "echo 'ImportError: no module named billing' >&2\nexit 1\n";

/// A daemon with its code, and release r-1 of it deployed and stable.
fn fleet(more: &str) -> Daemon {
    let mut daemon = Daemon::prepared(&format!("{MANIFEST}{more}"));
    fs::create_dir(daemon.path("code")).expect("a directory");
    write(&daemon, GOOD);
    daemon.launch();
    up(&daemon);
    created(&daemon, "r-1");
    deploys(&daemon, "r-1").exits(0);
    daemon.ctl(["release", "bless", "r-1"]).exits(0);
    up(&daemon);
    daemon
}

fn write(daemon: &Daemon, script: &str) {
    fs::write(daemon.path("code/run.sh"), script).expect("written");
}

/// Another release that differs by a word of its code.
fn release(daemon: &Daemon, id: &str, script: &str) {
    write(daemon, &format!("# {id}\n{script}"));
    created(daemon, id);
}

fn created(daemon: &Daemon, id: &str) {
    let made = daemon.ctl(["release", "create", "--note", "for a test", "-o", "json"]).exits(0).json();
    assert_eq!(made["release"]["id"], id, "{made:#}");
}

fn deploys(daemon: &Daemon, id: &str) -> Answer {
    daemon.ctl(["deploy", id, "--unproved", "--yes", "--reason", "a test"])
}

fn back(daemon: &Daemon, mode: &str) -> Answer {
    daemon.ctl(["rollback", "run", "--mode", mode, "--yes", "--reason", "a test"])
}

#[track_caller]
fn up(daemon: &Daemon) {
    becomes(daemon, "orders", "ready");
    becomes(daemon, "billing", "ready");
}

/// Which one runs, as its instances say.
fn runs(daemon: &Daemon) -> Value {
    instance(daemon, "orders")["release"].clone()
}

fn standing(daemon: &Daemon, id: &str) -> String {
    let list = daemon.ctl(["release", "list", "-o", "json"]).exits(0).json();
    let all = list["releases"].as_array().expect("releases").clone();
    let one = all.iter().find(|release| release["id"] == id).unwrap_or_else(|| panic!("no {id}: {list:#}"));
    one["state"].as_str().expect("a state").to_owned()
}

fn pid(daemon: &Daemon, agent: &str) -> i64 {
    instance(daemon, agent)["pid"].as_i64().unwrap_or(0)
}

#[test]
fn there_and_back_and_off_and_back_again() {
    let mut daemon = fleet("");
    assert_eq!((runs(&daemon), standing(&daemon, "r-1").as_str()), ("r-1".into(), "stable"));
    // Nothing but what runs was ever stable.
    let nowhere = back(&daemon, "full").exits(6);
    assert!(nowhere.stderr.contains("no release to return to"), "{nowhere}");
    // Nothing has proved that this fleet is ready.
    let unproved = daemon.ctl(["deploy", "r-1", "--yes"]).exits(6);
    assert!(unproved.stderr.contains("agentctl validate"), "{unproved}");

    release(&daemon, "r-2", GOOD);
    let before = pid(&daemon, "orders");
    daemon.ctl(["deploy", "r-2", "--unproved", "--dry-run"]).exits(0);
    assert_eq!(daemon.ctl(["deploy", "r-2", "--unproved", "--reason", "x"]).code, 6, "nobody was asked");
    assert_eq!(pid(&daemon, "orders"), before, "looking changed something");
    deploys(&daemon, "r-2").exits(0);
    assert_eq!((runs(&daemon), standing(&daemon, "r-2").as_str()), ("r-2".into(), "on-trial"));

    let plan = daemon.ctl(["rollback", "plan", "-o", "json"]).exits(0).json();
    assert_eq!((&plan["from"], &plan["to"]), (&"r-2".into(), &"r-1".into()), "{plan:#}");
    assert!(
        plan["steps"].as_array().expect("steps").iter().all(|step| step["expected_ms"].is_u64()),
        "{plan:#}"
    );
    let other = "0".repeat(64);
    let stale = ["rollback", "run", "--plan", &other, "--yes", "--reason", "x"];
    assert_eq!(daemon.ctl(stale).code, 7, "a plan that nobody looked at was carried out");
    back(&daemon, "full").exits(0);
    assert_eq!(runs(&daemon), "r-1");
    assert_eq!(
        (standing(&daemon, "r-1").as_str(), standing(&daemon, "r-2").as_str()),
        ("stable", "reverted")
    );

    let off = back(&daemon, "immediate").exits(0);
    assert!(off.stdout.contains("quiescent"), "{off}");
    assert_eq!(daemon.strays(), Vec::<i32>::new());
    assert_eq!(daemon.ctl(["agent", "start", "orders"]).code, 6);
    daemon.ctl(["rollback", "run", "--to", "r-2", "--yes", "--reason", "a test"]).exits(0);
    assert_eq!((runs(&daemon), standing(&daemon, "r-2").as_str()), ("r-2".into(), "on-trial"));
    let past = daemon.ctl(["rollback", "list", "-o", "json"]).exits(0).json();
    assert_eq!(past["operations"].as_array().map(Vec::len), Some(5), "{past:#}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_does_not_come_up_is_taken_back_and_what_is_not_whole_is_not_touched() {
    let daemon = fleet("");
    release(&daemon, "r-2", BAD);
    let failed = deploys(&daemon, "r-2").exits(1);
    assert!(failed.stdout.contains("unwound"), "{failed}");
    up(&daemon);
    assert_eq!((runs(&daemon), standing(&daemon, "r-2").as_str()), ("r-1".into(), "candidate"));

    release(&daemon, "r-3", GOOD);
    let before = (pid(&daemon, "orders"), pid(&daemon, "billing"));
    let code = daemon.path("releases/r-3/orders/run.sh");
    let mut about = fs::metadata(&code).expect("the copy").permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "it is changed behind agentd's back on purpose"
    )]
    about.set_readonly(false);
    fs::set_permissions(&code, about).expect("writable");
    fs::write(&code, "exec sleep 60\n").expect("tampered with");
    let refused = deploys(&daemon, "r-3").exits(1);
    assert!(refused.stdout.contains("run.sh"), "{refused}");
    assert_eq!((pid(&daemon, "orders"), pid(&daemon, "billing")), before, "it was stopped for nothing");
}

#[test]
fn migrations_go_with_it_and_what_cannot_be_taken_back_stops_there() {
    let with = |up: &str, more: &str| {
        format!("\n[releases.migration]\nup = [\"/bin/sh\", \"-c\", \"{up}\"]\n{more}\n")
    };
    let daemon = fleet("");
    let log = daemon.path("migrations");
    let (up_says, down_says) = (
        format!("echo up $AGENTD_OPERATION_KEY >> {}", log.display()),
        format!("echo down >> {}", log.display()),
    );
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let down = format!("down = [\"/bin/sh\", \"-c\", \"{down_says}\"]");

    daemon.rewrite(&format!("{MANIFEST}{}", with(&up_says, &down)));
    release(&daemon, "r-2", BAD);
    deploys(&daemon, "r-2").exits(1);
    up(&daemon);
    let lines: Vec<String> = said().lines().map(str::to_owned).collect();
    assert!(lines.len() == 2 && lines[0].ends_with("/migrate-up") && lines[1] == "down", "{lines:?}");
    assert_eq!(runs(&daemon), "r-1");

    daemon.rewrite(&format!("{MANIFEST}{}", with(&up_says, "irreversible = true")));
    release(&daemon, "r-3", BAD);
    let stopped = deploys(&daemon, "r-3").exits(1);
    assert!(stopped.stdout.contains("stopped") && stopped.stdout.contains("irreversible"), "{stopped}");
    let list = daemon.ctl(["release", "list", "-o", "json"]).json();
    let current =
        list["releases"].as_array().expect("releases").iter().find(|one| one["current"] == true).cloned();
    assert_eq!(current.expect("one that runs")["id"], "r-3", "it went back over what cannot be taken back");
}

#[test]
fn killed_before_and_after_every_step_it_ends_verified_on_one_release() {
    let mut daemon = fleet("");
    release(&daemon, "r-2", GOOD);
    deploys(&daemon, "r-2").exits(0);
    let journals = daemon.path("state/operations");
    let steps = ["target", "backup", "off", "quiescent", "switch", "on", "verify", "record"];
    for (index, (what, step)) in
        steps.iter().flat_map(|step| [("intended", step), ("done", step)]).enumerate()
    {
        // There and back in turns.
        let to = if index % 2 == 0 { "r-1" } else { "r-2" };
        let begun =
            daemon.ctl(["rollback", "run", "--to", to, "--yes", "--detach", "--reason", "a test"]).exits(0);
        let number = begun.stdout.trim_start_matches("op-").split(' ').next().expect("a number").to_owned();
        let journal = journals.join(format!("op-{number}.jsonl"));
        let marks = (format!("\"{what}\""), format!("\"{step}\""));
        let seen = eventually(|| {
            let text = fs::read_to_string(&journal).unwrap_or_default();
            text.lines().any(|line| line.contains(&marks.0) && line.contains(&marks.1))
        });
        assert!(seen, "{what} {step} was not written: {begun}");
        daemon.kill();
        daemon.launch();
        let id = format!("op-{number}");
        let ended = daemon.ctl(["operation", "show", &id, "--follow", "-o", "json"]).exits(0).json();
        assert_eq!(ended["state"], "succeeded", "after {what} {step}: {ended:#}");
        up(&daemon);
        assert_eq!(runs(&daemon), to, "after {what} {step}");
        assert_eq!(state(&daemon, "billing"), "ready");
    }
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}
