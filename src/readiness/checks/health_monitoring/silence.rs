//! An agent that stops reporting is not well, whatever its process does.
use super::stage::{EVERY, PATIENCE, millis, shortened, sleeper, stands, status, told, watched};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Fault, InstanceId, ProbeState},
    readiness::{Found, Ground, Proof, check::settle, proof::poll},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::time::Duration;

const ID: &str = "reporting/0";
/// The longest silence that is expected to be borne.
pub const WITHIN: Duration = Duration::from_millis(300);

/// `within` is the silence that the probe bears; a test breaks it.
pub async fn goes_stale(ground: &Ground, within: Duration) -> Found {
    let exercise = async {
        let probe = json!({
            "name": "reports",
            "role": "readiness",
            "kind": "heartbeat",
            "every": millis(EVERY),
            "failure_threshold": 1,
            "options": { "within": millis(within) },
        });
        let fleet = watched(ground, [sleeper("reporting", json!([probe]))], []).await?;
        let Some(monitor) = fleet.monitor() else { return Ok(Found::error("nobody watches")) };
        let id: InstanceId =
            ID.parse().map_err(|error| Fault::internal(format!("cannot name an instance: {error}")))?;
        let passes = || {
            // Refused until the process is up, and then what the probe says counts.
            let _ = monitor.heartbeat(&id);
            status(&fleet, ID).filter(|probe| probe.state == ProbeState::Passing)
        };
        if poll(PATIENCE, passes).await.is_none() {
            return Ok(Found::fail("an agent that reports was not found well").all_seen(told(&fleet)));
        }
        let silent = stands(&fleet, ID, ProbeState::Failing, PATIENCE).await;
        let back = poll(PATIENCE, passes).await.is_some();
        let mut proof = Proof::default();
        let detail = silent.as_ref().and_then(|probe| probe.last.as_ref()).map(|last| last.detail.clone());
        proof.holds(
            silent.is_some(),
            match detail {
                Some(detail) => format!("after {WITHIN:?} without a report it fails: {detail}"),
                None => "an agent that stopped reporting is still taken for well".into(),
            },
        );
        proof.holds(
            silent.is_some() && back,
            format!("with a new report it {}", if back { "passes again" } else { "does not pass again" }),
        );
        fleet.finish().await;
        Ok(proof.judge("silence was noticed, and its end").seen(shortened()))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "HM-012",
    at_work: || {
        let broken = [("an hour of silence is borne", Duration::from_secs(3600))];
        tried(goes_stale, WITHIN, broken).boxed()
    },
};
