//! Every process agent is pinged over its own channel, several times, and judged by its own slowest answers.
use super::figure::{Figure, Limit, worst};
#[cfg(test)]
use crate::readiness::{
    checks::{Saboteur, Tried, scratch_ground},
    scratch_fleet::script_agent,
};
use crate::{
    agents::Supervisor,
    domain::{FaultKind, InstanceId},
    readiness::{Evidence, Found},
};
#[cfg(test)]
use futures_util::FutureExt;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(2);
const PINGS: usize = 5;
/// Asking a large fleet all at once would measure our own queue.
const AT_ONCE: usize = 4;
/// So many pings without an answer settle it.
const MISSES: usize = 2;

pub async fn of_all(evidence: &Evidence) -> Found {
    let agents = evidence.canaries();
    if agents.is_empty() && !evidence.expects_canaries() {
        return Found::not_applicable("the fleet has no process agent that takes a ping");
    }
    pinged(&evidence.supervisor, &agents).await
}

async fn pinged(supervisor: &Supervisor, agents: &[InstanceId]) -> Found {
    if agents.is_empty() {
        return Found::error("nothing was measured: no process agent is up");
    }
    let asked: Vec<(String, f64, Found)> =
        stream::iter(agents.to_vec()).map(|id| one(supervisor, id)).buffered(AT_ONCE).collect().await;
    let mut slowest: Vec<_> = asked.iter().map(|(id, value, _)| (*value, id.clone())).collect();
    slowest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let shown: Vec<_> = slowest.iter().take(3).map(|(value, id)| format!("{id} {value:.1} ms")).collect();
    let fine = format!("each of {} agents answers within {LIMIT:?}", agents.len());
    let all = asked.into_iter().map(|(id, _, found)| (format!("agent/{id}"), found)).collect();
    worst(all, fine).seen(format!(
        "{} agents pinged {PINGS} times each; the slowest 95th percentiles: {}",
        agents.len(),
        shown.join(", ")
    ))
}

/// Its id, its 95th percentile in milliseconds, and the judgement.
async fn one(supervisor: &Supervisor, id: InstanceId) -> (String, f64, Found) {
    let (mut times, mut missed) = (Vec::new(), 0);
    while times.len() < PINGS && missed < MISSES {
        let started = Instant::now();
        let answer = supervisor.request(&id, "ping", json!({}), LIMIT).await;
        let took = started.elapsed().as_secs_f64() * 1e3;
        match answer {
            // That it knows no ping is an answer too.
            Ok(_) => times.push(took),
            Err(fault) if fault.kind == FaultKind::Refused => times.push(took),
            Err(fault) if fault.kind == FaultKind::Timeout => {
                missed += 1;
                times.push(took.max(LIMIT.as_secs_f64() * 1e3));
            }
            Err(fault) => {
                return (id.to_string(), f64::INFINITY, Found::fail(format!("{id} gave no answer: {fault}")));
            }
        }
    }
    let what = format!("a ping to {id}");
    let below = LIMIT.as_secs_f64() * 1e3;
    let found = Limit { what: &what, unit: "ms", below, figure: Figure::P95 }.judge_and_doubt(&times);
    let value = Figure::P95.read(&times).map_or(f64::INFINITY, |reading| reading.value);
    (id.to_string(), value, found)
}

/// Real agents of shell that answer at once, after three seconds, or are gone.
#[cfg(test)]
async fn slow_and_gone() -> Tried {
    let (base, ground) = scratch_ground();
    let switch = base.path().join("slow");
    let answers = |after: &str| {
        format!(
            "while read -r line; do id=${{line##*'\"id\":'}}; id=${{id%%,*}}; {after}\
             echo \"{{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":$id,\\\"result\\\":{{}}}}\"; done"
        )
    };
    let agents = [
        script_agent("quick", "process", &answers("")),
        script_agent("slow", "process", &answers(&format!("test -e {} && sleep 3; ", switch.display()))),
    ];
    let fleet = ground.fleet(json!({ "agent": agents }), false).await.expect("a fleet");
    let ready = |name: &'static str| {
        let ready = crate::domain::AgentState::Ready;
        fleet.instance(name, Duration::from_secs(20), move |_, now| now.state == ready)
    };
    let quick = ready("quick").await.expect("it is quick").id;
    let slow = ready("slow").await.expect("it is quick at first");
    let sound = pinged(fleet.supervisor(), &[quick.clone(), slow.id.clone()]).await;
    std::fs::write(&switch, "").expect("slowed");
    let slowed = pinged(fleet.supervisor(), &[quick.clone(), slow.id.clone()]).await;
    assert_eq!(slowed.affected.len(), 1, "{slowed:?}");
    fleet.supervisor().stop(std::slice::from_ref(&slow.id.agent)).await.expect("stopped");
    let gone = pinged(fleet.supervisor(), &[quick, slow.id]).await;
    fleet.finish().await;
    Tried {
        sound: vec![sound],
        broken: vec![("an agent that answers late", slowed), ("one that is gone", gone)],
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur { of: "PF-003", at_work: || slow_and_gone().boxed() };
