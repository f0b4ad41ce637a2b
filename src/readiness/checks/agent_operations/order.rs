//! Two scratch agents, one of which needs the other: who starts first?
use super::{ANSWERS, PATIENCE};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, Event, EventKind, Fault},
    readiness::{Found, Ground, Proof, check::settle, scratch_fleet::script_agent},
    store::Store,
};
#[cfg(test)]
use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::json;
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep};

/// `needs` is what the second depends on; a test takes it away.
pub async fn kept(ground: &Ground, needs: &[&str]) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let (ready, seen) = (plot.path().join("ready"), plot.path().join("seen"));
        let base = format!("sleep 0.3; : > '{}'; {ANSWERS}", ready.display());
        let front = format!(
            "if [ -e '{}' ]; then echo after; else echo before; fi > '{}'; {ANSWERS}",
            ready.display(),
            seen.display()
        );
        let mut front = script_agent("front", "process", &front);
        front["depends_on"] = json!(needs);
        // The one that needs the other stands first in the manifest.
        let agents = json!([front, script_agent("base", "process", &base)]);
        let fleet = ground.fleet(json!({ "agent": agents }), false).await?;
        let both = fleet
            .until(PATIENCE, |fleet| {
                fleet.agents.iter().all(|agent| agent.state == AgentState::Ready).then_some(())
            })
            .await;
        let events = told(fleet.store()).await?;
        let word = fs::read_to_string(&seen).unwrap_or_default();
        fleet.finish().await;
        if both.is_none() {
            return Ok(Found::error("the scratch agents did not become ready"));
        }
        Ok(judge(word.trim(), &events))
    };
    settle(exercise.await)
}

/// Events are written beside what they tell of: once the last is there, so are those before it.
async fn told(store: &Store) -> Result<Vec<Event>, Fault> {
    let end = Instant::now() + PATIENCE;
    loop {
        let events = store.events(0, 100).await?;
        let all =
            ["base", "front"].iter().all(|agent| first(&events, agent, EventKind::AgentReady).is_some());
        if all || Instant::now() >= end {
            return Ok(events);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn first(events: &[Event], agent: &str, kind: EventKind) -> Option<(u64, Timestamp)> {
    let of = |event: &&Event| {
        event.kind == kind && event.instance.as_ref().is_some_and(|id| id.agent.as_str() == agent)
    };
    events.iter().find(of).map(|event| (event.seq, event.at))
}

fn judge(word: &str, events: &[Event]) -> Found {
    let ready = first(events, "base", EventKind::AgentReady);
    let started = first(events, "front", EventKind::AgentStarted);
    let mut proof = Proof::default();
    proof.holds(
        word == "after",
        format!("the agent itself was started {} what it needs was up (its own word)", word.escape_debug()),
    );
    match (ready, started) {
        (Some(ready), Some(started)) => proof.holds(
            ready.0 < started.0,
            format!("what it needs was ready at {}, it was started at {} (events)", ready.1, started.1),
        ),
        _ => proof.holds(false, "the events do not tell when which of them was started and ready"),
    };
    proof.judge("an agent was started once what it needs was ready, 300 ms after its own start")
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-007",
    at_work: || {
        let broken = [("an agent that does not wait for what it needs", [].as_slice())];
        tried(kept, ["base"].as_slice(), broken).boxed()
    },
};
