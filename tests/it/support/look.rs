//! What a daemon says of agents and probes, and what it wrote down of them.
use super::{Daemon, PATIENCE};
use serde_json::Value;
use std::{net::TcpListener, time::Instant};

/// Free a moment ago, which is all that can be known.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

pub fn agent(daemon: &Daemon, name: &str) -> Value {
    let shown = daemon.ctl(["agent", "show", name, "-o", "json"]).exits(0).json();
    shown["agent"].clone()
}

/// The first instance.
pub fn instance(daemon: &Daemon, name: &str) -> Value {
    agent(daemon, name)["instances"][0].clone()
}

pub fn state(daemon: &Daemon, name: &str) -> String {
    agent(daemon, name)["state"].as_str().expect("a state").to_owned()
}

/// Waits for an agent to be in this state: woken by each change of the fleet.
#[track_caller]
pub fn becomes(daemon: &Daemon, name: &str, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut version = 0;
    loop {
        let seen = daemon.get(&format!("/v1/agents/watch?names={name}&after={version}"));
        if seen["agents"][0]["state"] == wanted {
            return;
        }
        let logs = || daemon.ctl(["agent", "logs", name]);
        assert!(Instant::now() < deadline, "{name} is not {wanted}: {}\n{}", agent(daemon, name), logs());
        version = seen["version"].as_u64().expect("a version");
    }
}

/// An agent's probes as `PROBE state`.
pub fn probes(daemon: &Daemon, name: &str) -> Vec<(String, String)> {
    let shown = daemon.ctl(["agent", "show", name, "-o", "json"]).exits(0).json();
    let text = |probe: &Value, key: &str| probe[key].as_str().expect("text").to_owned();
    let probes = shown["probes"].as_array().expect("probes");
    // Those of its dependencies are shown beside its own.
    let own = format!("{name}/");
    let probes = probes.iter().filter(|probe| text(probe, "target").starts_with(&own));
    probes.map(|probe| (text(probe, "name"), text(probe, "state"))).collect()
}

/// What an agent's probe saw last, whatever follows from it.
pub fn saw(daemon: &Daemon, name: &str) -> String {
    let shown = daemon.ctl(["agent", "show", name, "-o", "json"]).exits(0).json();
    let probes = shown["probes"].as_array().expect("probes").clone();
    let own = format!("{name}/");
    let found = probes.iter().find(|probe| probe["target"].as_str().is_some_and(|of| of.starts_with(&own)));
    found.and_then(|probe| probe["last"]["detail"].as_str()).unwrap_or_default().to_owned()
}

/// The failing probe of this target, be it an instance or a dependency, with what it saw; none if it does not fail.
pub fn probe(daemon: &Daemon, target: &str) -> Option<String> {
    let report = daemon.ctl(["status", "-o", "json"]).json();
    let failing = report["failing_probes"].as_array().expect("probes").clone();
    let found = failing.into_iter().find(|probe| probe["target"] == target && probe["state"] == "failing")?;
    Some(found["last"]["detail"].as_str().unwrap_or_default().to_owned())
}

/// Every change of standing that was recorded, oldest first: target, probe, what it became.
pub fn transitions(daemon: &Daemon) -> Vec<(String, String, String)> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file =
        rusqlite::Connection::open_with_flags(daemon.path("state/agentd.db"), flags).expect("a database");
    let mut query =
        file.prepare("SELECT target, probe, became FROM transitions ORDER BY seq").expect("a query");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}
