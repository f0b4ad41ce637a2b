//! What the exercises of this category share: local servers, a scratch monitor that looks at them, and its pace.
use crate::{
    domain::{Fault, ProbeState, ProbeStatus},
    readiness::{
        Ground, ScratchFleet,
        faults::{FaultServer, Manner},
        proof::poll,
        scratch_fleet::script_agent,
    },
};
use serde_json::{Value, json};
use std::time::Duration;

pub const EVERY: Duration = Duration::from_millis(60);
/// Of a look that is to be cut off: many times the interval, so that one that holds up others shows in how often
/// they are looked at.
pub const DEADLINE: Duration = Duration::from_millis(600);
/// Of a look that is answered at once: so long that only a target's answer makes it fail, not a busy machine.
pub const UNHURRIED: Duration = Duration::from_secs(4);
pub const THRESHOLD: u32 = 3;
/// How many answers of a target that flaps are waited for.
pub const FLAPS: usize = 6;
/// How long is waited for what must come. Nothing is proved by this wait, so a busy machine may have it all.
pub const PATIENCE: Duration = Duration::from_secs(8);

pub fn dependency(name: &str, server: &FaultServer, threshold: u32, expect: Value) -> Value {
    json!({
        "name": name,
        "kind": "http",
        "every": millis(EVERY),
        "deadline": millis(UNHURRIED),
        "failure_threshold": threshold,
        "options": { "url": server.url(), "expect": expect },
    })
}

/// A probe of an agent that asks a local server in its place.
pub fn probe(name: &str, role: &str, server: &FaultServer) -> Value {
    json!({
        "name": name,
        "role": role,
        "kind": "http",
        "every": millis(EVERY),
        "deadline": millis(UNHURRIED),
        "options": { "url": server.url(), "identity": false },
    })
}

/// An agent that does nothing but live, with these probes.
pub fn sleeper(name: &str, probes: Value) -> Value {
    let mut agent = script_agent(name, "service", "exec sleep 600");
    agent["probe"] = probes;
    agent
}

pub async fn watch(ground: &Ground, dependencies: Vec<Value>) -> Result<ScratchFleet, Fault> {
    ground.fleet(json!({ "dependency": dependencies }), true).await
}

pub async fn watched<const A: usize, const D: usize>(
    ground: &Ground,
    agents: [Value; A],
    dependencies: [Value; D],
) -> Result<ScratchFleet, Fault> {
    ground.fleet(json!({ "agent": agents.to_vec(), "dependency": dependencies.to_vec() }), true).await
}

pub async fn stands(
    fleet: &ScratchFleet,
    target: &str,
    state: ProbeState,
    deadline: Duration,
) -> Option<ProbeStatus> {
    poll(deadline, || status(fleet, target).filter(|probe| probe.state == state)).await
}

/// How its first probe stands now.
pub fn status(fleet: &ScratchFleet, target: &str) -> Option<ProbeStatus> {
    fleet.probes().into_iter().find(|probe| probe.target == target)
}

/// Waits until the server was asked so many times more; false if it was not.
pub async fn asked(server: &FaultServer, times: usize) -> bool {
    let before = server.hits().len();
    poll(PATIENCE, || (server.hits().len() >= before + times).then_some(())).await.is_some()
}

pub async fn server(manner: Manner) -> Result<FaultServer, Fault> {
    FaultServer::start(manner)
        .await
        .map_err(|error| Fault::internal(format!("cannot start a local server: {error}")))
}

pub fn told(fleet: &ScratchFleet) -> Vec<String> {
    let line = |probe: ProbeStatus| {
        let detail = probe.last.map_or_else(|| "no result".into(), |last| last.detail);
        format!("{}: {:?}: {detail}", probe.target, probe.state)
    };
    fleet.probes().into_iter().map(line).collect()
}

pub fn millis(period: Duration) -> String {
    format!("{}ms", period.as_millis())
}

pub fn shortened() -> String {
    format!("scratch interval {} ms, shortened for the proof", EVERY.as_millis())
}
