//! A small fleet through a whole day: started, looked at, stopped, restarted, scaled, killed over, ended.
use crate::support::{Answer, Daemon, agent, agentctl, agentctl_bin, becomes, eventually, instance, state};
use std::{fs, path::Path, process::Command};

const FLEET: &str = r#"
schema = 1

[[agent]]
name = "orders"
kind = "process"
tier = "core"
restart = { policy = "always", backoff = "10ms..50ms", latch = "20 in 1m" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }

[[agent]]
name = "billing"
kind = "service"
tier = "core"
options = { command = [{agentctl}, "demo-agent", "http", "--name", "billing", "--port", "{port}"], port = 0 }

  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "1s"
  deadline = "1s"
  options = { path = "/health", expect = { status = 200, json = { "$.status" = "healthy", "$.agent" = "billing" } } }
"#;

fn first_pid(daemon: &Daemon, name: &str) -> i64 {
    instance(daemon, name)["pid"].as_i64().unwrap_or(0)
}

#[track_caller]
fn comes_up(daemon: &Daemon) {
    becomes(daemon, "orders", "ready");
    becomes(daemon, "billing", "ready");
}

fn alive(pid: i64) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists() && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

#[test]
fn a_fleet_is_controlled_agent_by_agent_and_leaves_nothing() {
    let mut daemon = Daemon::start(FLEET);
    comes_up(&daemon);
    daemon.ctl(["status"]).exits(0);

    let before = first_pid(&daemon, "orders");
    daemon.ctl(["agent", "restart", "orders"]).exits(0);
    let after = first_pid(&daemon, "orders");
    assert!(after != before && alive(after) && !alive(before), "{before} {after}");

    daemon.ctl(["agent", "stop", "orders", "--yes"]).exits(0);
    assert!(!alive(after), "it was said to be stopped");
    assert_eq!(state(&daemon, "orders"), "stopped");
    daemon.ctl(["agent", "start", "orders"]).exits(0);
    assert_eq!(state(&daemon, "orders"), "ready");

    daemon.ctl(["agent", "scale", "billing", "3"]).exits(0);
    assert_eq!(agent(&daemon, "billing")["instances"].as_array().map(Vec::len), Some(3));
    let logs = daemon.ctl(["agent", "logs", "billing"]).exits(0);
    assert!(logs.stdout.contains("billing listens on 127.0.0.1:"), "{logs}");

    assert_eq!(daemon.ctl(["agent", "show", "nobody"]).code, 7);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
    assert_eq!(daemon.ctl(["status"]).code, 5);
}

#[test]
fn off_is_off_over_reloads_and_kills_until_it_is_on_again() {
    let mut daemon = Daemon::start(FLEET);
    comes_up(&daemon);
    let pids = [first_pid(&daemon, "orders"), first_pid(&daemon, "billing")];
    assert_eq!(daemon.ctl(["system", "off", "--reason", "x"]).code, 6, "nobody was asked");
    assert_eq!(daemon.ctl(["system", "off", "--yes", "--reason", " "]).code, 2);
    assert!(pids.iter().all(|pid| alive(*pid)), "a refusal stopped something");

    let off = ["system", "off", "--yes", "--reason", "wrong answers, OPS-17", "-o", "json"];
    let standing = daemon.ctl(off).exits(0).json();
    assert_eq!((&standing["agent_system"], &standing["alive"]), (&"off".into(), &0.into()), "{standing:#}");
    assert!(!pids.iter().any(|pid| alive(*pid)), "it was said to be off");
    let held = |daemon: &Daemon| {
        assert_eq!(daemon.strays(), Vec::<i32>::new());
        assert_eq!(state(daemon, "orders"), "disabled");
        let refused = daemon.ctl(["agent", "start", "orders"]).exits(6);
        assert!(refused.stderr.contains("wrong answers, OPS-17"), "{refused}");
        let status = daemon.ctl(["status"]);
        assert!(status.stdout.contains("switched off"), "{status}");
    };
    held(&daemon);
    daemon.ctl(["config", "reload"]).exits(0);
    held(&daemon);
    daemon.kill();
    daemon.launch();
    held(&daemon);

    daemon.ctl(["system", "on"]).exits(0);
    comes_up(&daemon);
    daemon.ctl(["system", "on"]).exits(0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn an_agent_that_is_killed_comes_back() {
    let daemon = Daemon::start(FLEET);
    comes_up(&daemon);
    let before = first_pid(&daemon, "orders");
    let killed = rustix::process::Pid::from_raw(i32::try_from(before).expect("a pid")).expect("a pid");
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).expect("signalled");
    let back = eventually(|| {
        let now = first_pid(&daemon, "orders");
        now != 0 && now != before && state(&daemon, "orders") == "ready"
    });
    assert!(back, "{}", daemon.ctl(["status", "--all"]));
    assert_eq!(instance(&daemon, "orders")["restarts"], 1);
}

#[test]
fn after_kill_nine_the_next_daemon_takes_the_living_over() {
    let mut daemon = Daemon::start(FLEET);
    comes_up(&daemon);
    let before = first_pid(&daemon, "billing");
    daemon.kill();
    assert!(alive(before), "an agent outlives its daemon");
    daemon.launch();
    comes_up(&daemon);
    assert_eq!(first_pid(&daemon, "billing"), before);
    assert_eq!(instance(&daemon, "billing")["adopted"], true);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn a_manifest_that_cannot_be_used_is_refused_with_its_line() {
    let mut daemon = Daemon::prepared("schema = 1\n[daemon]\nstart_concurency = 3\n");
    let said = daemon.another(&daemon.path("state"), &daemon.socket()).exits(2).stderr;
    assert!(said.contains("start_concurrency") && said.contains(":3"), "{said}");
    daemon.rewrite(FLEET);
    daemon.launch();
    comes_up(&daemon);
}

#[test]
fn quickstart_shows_a_verdict_and_leaves_nothing() {
    let scratch = tempfile::tempdir().expect("a directory");
    let output = Command::new(agentctl_bin())
        .args(["quickstart"])
        .env("TMPDIR", scratch.path())
        .output()
        .expect("agentctl runs");
    let answer = Answer::from(output).exits(0);
    assert!(answer.stdout.contains("READY  score "), "{answer}");
    assert!(!answer.stdout.contains("NOT READY") && !answer.stdout.contains("gate "), "{answer}");
    assert!(answer.stderr.contains("Nothing is left running"), "{answer}");
    assert_eq!(fs::read_dir(scratch.path()).expect("still there").count(), 0, "{answer}");
}

#[test]
fn names_complete_while_the_daemon_runs_and_nothing_is_said_when_it_does_not() {
    let mut daemon = Daemon::start(FLEET);
    let complete = |daemon: &Daemon| {
        let line = ["agentctl", "--socket", daemon.socket().to_str().expect("text"), "agent", "show", ""]
            .map(str::to_owned);
        let output = Command::new(agentctl_bin())
            .arg("--")
            .args(&line)
            .env("AGENTCTL_COMPLETE", "fish")
            .output()
            .expect("agentctl runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.stderr)
    };
    // On a machine that is busy with the other tests the 100 ms may pass without an answer: asked again, as by a person.
    let known = |names: &str| names.contains("orders") && names.contains("billing");
    assert!(eventually(|| known(&complete(&daemon).0)), "{}", complete(&daemon).0);
    daemon.stop();
    let (names, complaints) = complete(&daemon);
    assert!(!names.contains("orders") && complaints.is_empty(), "{names}");
    let topics = agentctl(["help", "exit-codes"]).exits(0);
    assert!(topics.stderr.is_empty());
}
