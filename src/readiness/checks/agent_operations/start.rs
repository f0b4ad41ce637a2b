//! Starts that cannot succeed: one that never becomes ready, and one whose port somebody else holds.
use super::PATIENCE;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, CrashClass, Fault},
    readiness::{Found, Ground, Proof, check::settle, scratch_fleet::script_agent, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{net::TcpListener, process, time::Duration};
use tokio::time::Instant;

/// How long the scratch agent may take to become ready, in milliseconds.
pub const LIMIT_MS: u64 = 300;
/// How much later than its limit it may be ended: what the machine and its stop (400 ms at most) take.
const SLACK: Duration = Duration::from_secs(4);

/// `limit_ms` is the start timeout; a test makes it too long.
pub async fn cut(ground: &Ground, limit_ms: u64) -> Found {
    let exercise = async {
        let mut deaf = script_agent("deaf", "process", "exec sleep 600");
        deaf["start_timeout"] = json!(format!("{limit_ms}ms"));
        deaf["restart"] = json!({ "policy": "never" });
        let fleet = ground.fleet(json!({ "agent": [deaf] }), false).await?;
        let up = fleet.instance("deaf", PATIENCE, |_, now| now.pid.is_some_and(survivors::alive)).await;
        let Some(pid) = up.and_then(|up| up.pid) else {
            return Ok(Found::error("the scratch agent did not come up"));
        };
        let started = Instant::now();
        let allowed = Duration::from_millis(LIMIT_MS) + SLACK;
        let over = fleet.instance("deaf", allowed, |_, now| now.state.is_settled()).await;
        let took = started.elapsed();
        let mut proof = Proof::default();
        let class = over.as_ref().and_then(|now| now.last_exit.as_ref()).and_then(|exit| exit.class);
        proof.holds(
            class == Some(CrashClass::StartTimeout),
            match &over {
                Some(now) => format!(
                    "{} after {:.0} ms: {}",
                    now.state.as_str(),
                    took.as_secs_f64() * 1e3,
                    now.reason.as_deref().unwrap_or("no reason given")
                ),
                None => format!("it was still being started after {:.0} ms", took.as_secs_f64() * 1e3),
            },
        );
        let alive = survivors::alive(pid);
        proof.holds(
            !alive,
            format!("its process {pid} is {} (source: /proc)", if alive { "still there" } else { "gone" }),
        );
        fleet.finish().await;
        Ok(proof.judge(format!("a start that hangs was ended at its timeout, {LIMIT_MS} ms on scratch")))
    };
    settle(exercise.await)
}

/// `held`: somebody really listens on the port; a test lets go of it before.
pub async fn preflight(ground: &Ground, held: bool) -> Found {
    let exercise = async {
        let cannot =
            |error: std::io::Error| Fault::internal(format!("cannot listen on a scratch port: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        let holder = held.then_some(listener);
        let mut agent = script_agent("late", "service", "exec sleep 600");
        agent["options"]["port"] = json!(port);
        agent["restart"] = json!({ "backoff": "20ms..50ms" });
        let fleet = ground.fleet(json!({ "agent": [agent] }), false).await?;
        let tried = fleet
            .instance("late", PATIENCE, |_, now| now.state == AgentState::BackingOff || now.pid.is_some())
            .await;
        let Some(tried) = tried else { return Ok(Found::error("the scratch agent was not started")) };
        let reason = tried.reason.unwrap_or_default();
        let mut proof = Proof::default();
        proof.holds(
            tried.pid.is_none() && tried.state == AgentState::BackingOff,
            format!("with port {port} held it is {}, pid {}", tried.state.as_str(), tried.pid.unwrap_or(0)),
        );
        let named =
            |what: String| reason.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == what);
        proof.holds(
            named(port.to_string()) && named(process::id().to_string()),
            format!("the holder is pid {}, the reason given: {reason}", process::id()),
        );
        drop(holder);
        let up = fleet.instance("late", PATIENCE, |_, now| now.pid.is_some_and(survivors::alive)).await;
        proof.holds(
            up.is_some(),
            if up.is_some() { "once the port was free it was started" } else { "it was not started then" },
        );
        fleet.finish().await;
        Ok(proof.judge("an agent whose port is held was not started, the holder was named"))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR_OF_CUT: Saboteur = Saboteur {
    of: "AO-010",
    at_work: || tried(cut, LIMIT_MS, [("a start timeout of a minute", 60_000)]).boxed(),
};

#[cfg(test)]
pub const SABOTEUR_OF_PREFLIGHT: Saboteur = Saboteur {
    of: "AO-011",
    at_work: || tried(preflight, true, [("an agent that is started all the same", false)]).boxed(),
};
