//! Scratch agents are killed and fail on purpose: who comes back, who does not, and who is given up.
use super::PATIENCE;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, InstanceStatus},
    readiness::{Found, Ground, Proof, check::settle, proof::poll, scratch_fleet::script_agent, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, path::Path, time::Duration};
use tokio::time::Instant;

/// How long a killed scratch agent is left alone; jitter may take a tenth of it.
const BACKOFF: Duration = Duration::from_millis(300);

/// So many restarts of another agent are long enough to see that one is left alone.
const BEATS: usize = 5;

/// After so many starts no latch is waited for.
const ENDLESS: usize = 12;

/// `policy` is what the agent that should come back has; a test breaks it.
pub async fn restarted(ground: &Ground, policy: &str) -> Found {
    let exercise = async {
        let mut phoenix = script_agent("phoenix", "service", "exec sleep 600");
        phoenix["restart"] = json!({ "policy": policy, "backoff": format!("{0}ms..{0}ms", BACKOFF.as_millis()), "latch": "5 in 30s" });
        let mut mortal = script_agent("mortal", "service", "exec sleep 600");
        mortal["restart"] = json!({ "policy": "never" });
        let fleet = ground.fleet(json!({ "agent": [phoenix, mortal] }), false).await?;
        let up = |name: &'static str| {
            fleet.instance(name, PATIENCE, |_, instance| instance.pid.is_some_and(survivors::alive))
        };
        let (Some(phoenix), Some(mortal)) = (up("phoenix").await, up("mortal").await) else {
            return Ok(Found::error("the scratch agents did not come up"));
        };
        let killed_at = Instant::now();
        for pid in [phoenix.pid, mortal.pid].into_iter().flatten() {
            survivors::kill(pid);
        }
        let anew = |now: &InstanceStatus| {
            now.pid.is_some_and(|pid| Some(pid) != phoenix.pid && survivors::alive(pid))
        };
        let given_up = |now: &InstanceStatus| !now.state.is_up() && now.state.is_settled();
        let back = fleet.instance("phoenix", PATIENCE, |_, now| anew(now) || given_up(now)).await;
        let back = back.filter(anew);
        let took = killed_at.elapsed();
        let down = fleet.instance("mortal", PATIENCE, |_, now| given_up(now)).await;
        let mut proof = Proof::default();
        match &back {
            Some(now) => proof.holds(
                took >= BACKOFF.mul_f64(0.9),
                format!(
                    "on-failure: pid {} was killed, pid {} runs {:.0} ms later (backoff {} ms, less a tenth)",
                    phoenix.pid.unwrap_or(0),
                    now.pid.unwrap_or(0),
                    took.as_secs_f64() * 1e3,
                    BACKOFF.as_millis()
                ),
            ),
            None => proof.holds(
                false,
                format!("on-failure: the killed agent was not restarted in {:.0} s", took.as_secs_f64()),
            ),
        };
        proof.holds(back.as_ref().is_some_and(|now| now.restarts >= 1), "its restart is counted");
        match &down {
            Some(now) => {
                proof.holds(now.restarts == 0, format!("never: the killed agent is {}", now.state.as_str()))
            }
            None => proof.holds(false, "never: the killed agent did not stay down"),
        };
        fleet.finish().await;
        Ok(proof.judge("the killed agent came back as a new process, the other stayed down"))
    };
    settle(exercise.await)
}

/// `latch` is what the failing agent has; a test breaks it. Three failures are expected.
pub async fn latched(ground: &Ground, latch: &str) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let (tally, beats) = (plot.path().join("starts"), plot.path().join("beats"));
        let script = |tally: &Path, code| format!("echo start >> '{}'; exit {code}", tally.display());
        let mut looping = script_agent("looping", "service", &script(&tally, 1));
        // Restarted for ever at the same pace: it tells how long to wait, on a busy machine too.
        let mut metronome = script_agent("metronome", "service", &script(&beats, 0));
        metronome["restart"] =
            json!({ "policy": "always", "backoff": "10ms..20ms", "latch": "100000 in 1s" });
        looping["restart"] = json!({ "policy": "on-failure", "backoff": "10ms..20ms", "latch": latch });
        let mut clean = script_agent("clean", "service", "exit 0");
        clean["restart"] = json!({ "policy": "on-failure", "backoff": "10ms..20ms", "latch": latch });
        let fleet = ground.fleet(json!({ "agent": [looping, clean, metronome] }), false).await?;
        let starts = |tally: &Path| fs::read_to_string(tally).map_or(0, |text| text.lines().count());
        let is_latched = |now: &InstanceStatus| now.state == AgentState::CrashLooping;
        let latched = fleet
            .instance("looping", PATIENCE, |_, now| is_latched(now) || starts(&tally) >= ENDLESS)
            .await
            .filter(is_latched);
        let (at_latch, beat) = (starts(&tally), starts(&beats));
        let beaten = poll(PATIENCE, || (starts(&beats) >= beat + BEATS).then_some(())).await;
        let again = starts(&tally) - at_latch;
        let clean = fleet.instance("clean", PATIENCE, |_, now| now.state.is_settled()).await;
        let mut proof = Proof::default();
        match &latched {
            Some(now) => proof.holds(
                true,
                format!(
                    "latched after {at_latch} starts: {}",
                    now.reason.as_deref().unwrap_or("no reason given")
                ),
            ),
            None => proof.holds(false, format!("not latched after {at_latch} starts")),
        };
        proof.holds((1..=4).contains(&at_latch), format!("{at_latch} starts, 3 failures are allowed"));
        proof.holds(
            beaten.is_some() && again == 0,
            format!(
                "{again} starts after that, while an agent with the same backoff was restarted {BEATS} times"
            ),
        );
        let state = clean.as_ref().map_or("not settled", |now| now.state.as_str());
        proof.holds(state == AgentState::Stopped.as_str(), format!("the agent that ended well is {state}"));
        fleet.finish().await;
        Ok(proof.judge("the failing agent was latched and left alone, the one that ended well was not"))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const SABOTEUR_OF_RESTARTED: Saboteur = Saboteur {
    of: "AO-003",
    at_work: || tried(restarted, "on-failure", [("a policy that does not restart", "never")]).boxed(),
};

#[cfg(test)]
pub const SABOTEUR_OF_LATCHED: Saboteur = Saboteur {
    of: "AO-004",
    at_work: || tried(latched, "3 in 30s", [("a latch that never latches", "1000000 in 1s")]).boxed(),
};
