//! A real fleet is measured, asked about, killed and asked again.
use crate::support::{Daemon, becomes, eventually};
use serde_json::Value;

const MANIFEST: &str = r#"
    schema = 1
    [[agent]]
    name = "orders"
    kind = "service"
    options = { command = [{agentctl}, "demo-agent", "http", "--name", "orders", "--port", "{port}"], port = 0 }
    [[agent.probe]]
    name = "ready"
    kind = "http"
    every = "2s"
    options = { path = "/health" }
"#;

fn query(daemon: &Daemon, args: &[&str]) -> Value {
    daemon.ctl(["metrics", "query"].iter().chain(args).chain(&["-o", "json"])).exits(0).json()
}

/// Looks at this series, by when they were made.
fn looks(daemon: &Daemon, name: &str) -> Vec<String> {
    let answer = daemon.ctl(["metrics", "query", name, "--step", "10s", "-o", "json"]);
    if answer.code != 0 {
        return Vec::new();
    }
    let points = answer.json()["series"][0]["points"].as_array().cloned().unwrap_or_default();
    points.iter().map(|point| point["at"].as_str().expect("a time").to_owned()).collect()
}

#[test]
fn a_fleet_is_measured_and_what_was_seen_outlives_the_daemon() {
    let mut daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    assert!(
        eventually(|| looks(&daemon, "agent_cpu_seconds").len() >= 2),
        "{}",
        daemon.ctl(["metrics", "list"])
    );

    let listed = daemon.ctl(["metrics", "list", "-o", "name"]).exits(0);
    for name in ["daemon_memory_bytes", "store_commit_ms", "agent_memory_bytes", "probe_passing", "requests"]
    {
        assert!(listed.stdout.lines().any(|line| line == name), "{name}: {listed}");
    }
    let memory = query(&daemon, &["agent_memory_bytes", "--label", "agent=orders"]);
    assert_eq!(memory["series"][0]["labels"]["instance"], "orders/0");
    assert!(memory["series"][0]["whole"]["value"].as_f64().is_some_and(|bytes| bytes > 1e6), "{memory}");
    let commit = query(&daemon, &["store_commit_ms", "--stat", "p95"]);
    assert!(commit["series"][0]["whole"]["count"].as_u64() > Some(0), "{commit}");
    let top = daemon.ctl(["metrics", "top"]).exits(0);
    assert!(top.stdout.contains("orders/0") && top.stdout.contains("MiB"), "{top}");
    let chart = daemon.ctl(["metrics", "query", "daemon_memory_bytes"]).exits(0);
    assert!(chart.stdout.contains("MiB") && chart.stdout.contains("steps have something"), "{chart}");
    assert!(!chart.stdout.contains('\x1b'), "colour without a terminal: {chart}");
    let lines = daemon.ctl(["metrics", "query", "agent_ready", "-o", "jsonl"]).exits(0).stdout;
    assert_eq!(lines.lines().count(), 1, "{lines}");

    for (args, code, hint) in [
        (&["daemon_memory_byte"][..], 7, "daemon_memory_bytes"),
        (&["agent_ready", "--label", "agent=order"], 7, "agent=orders"),
        (&["agent_ready", "--step", "1s"], 2, "10s"),
        (&["agent_ready", "--stat", "p95"], 2, "avg, min, max, last"),
        (&["agent_ready", "--since", "40h", "--step", "10s"], 2, "--step"),
        (&["agent_ready", "--label", "orders"], 2, "agent=orders"),
    ] {
        let answer = daemon.ctl(["metrics", "query"].iter().chain(args)).exits(code);
        assert!(answer.stderr.contains(hint), "{args:?}: {answer}");
    }

    let before = looks(&daemon, "daemon_memory_bytes");
    daemon.kill();
    daemon.launch();
    assert!(eventually(|| looks(&daemon, "daemon_memory_bytes").len() > before.len()));
    let after = looks(&daemon, "daemon_memory_bytes");
    assert!(after.starts_with(&before), "looks are gone: {before:?}, {after:?}");
    let mut once = after.clone();
    once.dedup();
    assert_eq!(once, after, "a look is there twice");
}
