//! The fleet that works for a few alone: who is listed is served, others are refused and told why, the operator is never
//! locked out; over a kill, a restart, and an off and on between.
use crate::support::{Answer, Daemon, agentctl, becomes, state};
use std::fs;

const MANIFEST: &str = r#"
schema = 1

[[agent]]
name = "orders"
kind = "process"
role = "conversation"
clients = "all"
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }
"#;

/// A key of a service, in a file.
fn key(daemon: &Daemon, service: &str) -> String {
    let file = daemon.path(&format!("{service}.key")).display().to_string();
    let principal = format!("service:{service}");
    daemon.ctl(["auth", "key", "create", &principal, "--role", "service", "--to", &file]).exits(0);
    file
}

/// What an application asks before it works for somebody: the route that exists and is marked as work.
fn asks(daemon: &Daemon, key: &str) -> Answer {
    let socket = daemon.socket().display().to_string();
    agentctl(["--socket", &socket, "--key-file", key, "auth", "can", "agent:orders", "send_sms"])
}

fn limits(daemon: &Daemon, clients: &str) -> Answer {
    daemon.ctl(["system", "limited", "--clients", clients, "--reason", "OPS-17"])
}

#[test]
fn who_is_listed_is_served_and_who_is_not_is_told_why() {
    let mut daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    let (billing, shop) = (key(&daemon, "billing"), key(&daemon, "shop"));
    let served = asks(&daemon, &billing);
    assert_eq!(served.code, asks(&daemon, &shop).code, "{served}");
    assert_ne!(served.code, 6, "{served}");

    limits(&daemon, "service:billing").exits(0);
    assert_eq!(state(&daemon, "orders"), "ready", "it was stopped");
    let still = asks(&daemon, &billing);
    assert_eq!((still.code, &still.stdout), (served.code, &served.stdout), "{still}");
    let refused = asks(&daemon, &shop).exits(6);
    assert!(refused.stderr.contains("limited since") && refused.stderr.contains("OPS-17"), "{refused}");
    let row = daemon.ctl(["audit", "list", "--outcome", "refused", "-o", "json"]).exits(0);
    assert!(row.stdout.contains("service:shop") && row.stdout.contains("auth/can"), "{row}");

    // Looking and operating go on.
    let status = daemon.ctl(["status"]);
    assert!(status.stdout.contains("limited to service:billing"), "{status}");
    assert!(daemon.ctl(["system", "show"]).exits(0).stdout.contains("limited to service:billing"));
    let found = daemon.ctl(["validate", "--only", "AO-001", "-o", "json"]).json();
    assert_eq!(found["findings"][0]["outcome"], "warn", "{found:#}");
    daemon.ctl(["agent", "restart", "orders"]).exits(0);

    // Neither a kill nor a rollback that goes over off forgets it.
    daemon.kill();
    daemon.launch();
    asks(&daemon, &shop).exits(6);
    daemon.ctl(["rollback", "run", "--mode", "immediate", "--yes", "--reason", "a test"]).exits(0);
    for key in [&billing, &shop] {
        let off = asks(&daemon, key).exits(6);
        assert!(off.stderr.contains("off since"), "{off}");
    }
    limits(&daemon, "service:billing,service:shop").exits(0);
    becomes(&daemon, "orders", "ready");
    assert_ne!(asks(&daemon, &shop).code, 6);
    daemon.ctl(["system", "on"]).exits(0);
    assert!(!daemon.path("state/agent-system.json").exists());
    let found = daemon.ctl(["validate", "--only", "AO-001", "-o", "json"]).json();
    assert_eq!(found["findings"][0]["outcome"], "pass", "{found:#}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_limit_outlives_a_rollback_that_starts_the_fleet_again() {
    let daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    let shop = key(&daemon, "shop");
    daemon.ctl(["release", "create"]).exits(0);
    limits(&daemon, "service:billing").exits(0);
    daemon.ctl(["deploy", "r-1", "--unproved", "--yes", "--reason", "a test"]).exits(0);
    becomes(&daemon, "orders", "ready");
    asks(&daemon, &shop).exits(6);
    let shown = daemon.ctl(["system", "show", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&shown["agent_system"], &shown["limited"]["clients"][0]),
        (&"limited".into(), &"service:billing".into())
    );
}

#[test]
fn it_is_refused_without_clients_or_a_reason_and_a_file_that_is_torn_is_off() {
    let mut daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    daemon.ctl(["system", "limited", "--reason", "x"]).exits(2);
    daemon.ctl(["system", "limited", "--clients", "user:7", "--reason", " "]).exits(2);
    daemon.ctl(["system", "limited", "--clients", "everybody", "--reason", "x"]).exits(2);
    let many: Vec<String> = (0..101).map(|uid| format!("user:{uid}")).collect();
    daemon.ctl(["system", "limited", "--clients", &many.join(","), "--reason", "x"]).exits(2);
    assert!(!daemon.path("state/agent-system.json").exists());
    limits(&daemon, "user:7").exits(0);
    daemon.kill();
    let file = daemon.path("state/agent-system.json");
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, &text[..text.len() / 2]).expect("torn");
    daemon.launch();
    let shown = daemon.ctl(["system", "show", "-o", "json"]).exits(0).json();
    assert_eq!(shown["agent_system"], "off", "{shown:#}");
}
