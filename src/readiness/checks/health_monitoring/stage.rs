//! What the exercises of this category share: local servers, a scratch monitor that looks at them, and its pace.
use crate::{
    domain::{Fault, ProbeState, ProbeStatus},
    readiness::{
        Ground, ScratchFleet,
        faults::{FaultServer, Manner},
        proof::poll,
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
/// How long is waited for what must come. Nothing is proved by this wait, so a busy machine may have it all.
pub const PATIENCE: Duration = Duration::from_secs(8);

pub fn dependency(name: &str, server: &FaultServer, threshold: u32, expect: Value) -> Value {
    json!({
        "name": name,
        "kind": "http",
        "every": format!("{}ms", EVERY.as_millis()),
        "deadline": format!("{}ms", UNHURRIED.as_millis()),
        "failure_threshold": threshold,
        "options": { "url": server.url(), "expect": expect },
    })
}

pub async fn watch(ground: &Ground, dependencies: Vec<Value>) -> Result<ScratchFleet, Fault> {
    ground.fleet(json!({ "dependency": dependencies }), true).await
}

pub async fn stands(
    fleet: &ScratchFleet,
    target: &str,
    state: ProbeState,
    deadline: Duration,
) -> Option<ProbeStatus> {
    poll(deadline, || fleet.probes().into_iter().find(|probe| probe.target == target && probe.state == state))
        .await
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

pub fn shortened() -> String {
    format!("scratch interval {} ms, shortened for the proof", EVERY.as_millis())
}
