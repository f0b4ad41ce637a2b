//! A target that goes down and comes up again, and one that stalls beside one that is well.
use super::stage::{
    DEADLINE, FLAPS, PATIENCE, THRESHOLD, asked, dependency, millis, server, shortened, stands, status, told,
    watch,
};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{ProbeState, ProbeStatus},
    readiness::{
        Found, Ground, Proof, ScratchFleet,
        check::settle,
        faults::{FaultServer, Manner},
        proof::poll,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// `threshold` is what the probe has, 3 is what is expected of it; a test breaks it.
pub async fn down_and_up(ground: &Ground, threshold: u32) -> Found {
    let exercise = async {
        let target = server(Manner::Healthy).await?;
        let fleet = watch(ground, vec![dependency("planted", &target, threshold, json!({}))]).await?;
        let Some(before) = stands(&fleet, "planted", ProbeState::Passing, PATIENCE).await else {
            return Ok(Found::fail("a healthy target was not found healthy").all_seen(told(&fleet)));
        };
        let mut proof = Proof::default();
        flaps_change_nothing(&mut proof, &fleet, &target, &before).await;
        // So that no failure from before counts towards the threshold.
        target.behave(Manner::Healthy);
        let steady = || status(&fleet, "planted").filter(|probe| probe.streak > 1 && well(probe));
        if poll(PATIENCE, steady).await.is_none() {
            return Ok(Found::fail("a target that is well again was not seen so").all_seen(told(&fleet)));
        }
        let (changed, failed) = (Instant::now(), target.failed());
        target.behave(Manner::Failing);
        let failing = stands(&fleet, "planted", ProbeState::Failing, PATIENCE).await;
        let (took, looks) = (changed.elapsed(), target.failed() - failed);
        let recovered = Instant::now();
        target.behave(Manner::Healthy);
        let passing = stands(&fleet, "planted", ProbeState::Passing, PATIENCE).await;
        let back = recovered.elapsed();
        proof.holds(
            failing.is_some(),
            format!(
                "{} {:.0} ms and {looks} failing answers after the change",
                if failing.is_some() { "failing" } else { "still not failing" },
                took.as_secs_f64() * 1e3,
            ),
        );
        proof.holds(
            looks >= THRESHOLD,
            format!("it took {looks} failing answers to change its mind, the threshold is {THRESHOLD}"),
        );
        proof.holds(
            failing.is_some() && passing.is_some(),
            format!(
                "{} after {:.0} ms of health",
                if passing.is_some() { "passing again" } else { "not passing again" },
                back.as_secs_f64() * 1e3
            ),
        );
        fleet.finish().await;
        Ok(proof.judge("the probe followed its target down and up again").seen(shortened()))
    };
    settle(exercise.await)
}

/// `threshold` is how many successes the probe wants of a target that failed, 3 is what is expected; a test breaks it.
pub async fn held_up(ground: &Ground, threshold: u32) -> Found {
    let exercise = async {
        let target = server(Manner::Failing).await?;
        let mut planted = dependency("planted", &target, 1, json!({}));
        planted["success_threshold"] = json!(threshold);
        let fleet = watch(ground, vec![planted]).await?;
        let Some(before) = stands(&fleet, "planted", ProbeState::Failing, PATIENCE).await else {
            return Ok(Found::fail("a failing target was not found failing").all_seen(told(&fleet)));
        };
        let mut proof = Proof::default();
        flaps_change_nothing(&mut proof, &fleet, &target, &before).await;
        target.behave(Manner::Healthy);
        let passing = stands(&fleet, "planted", ProbeState::Passing, PATIENCE).await;
        proof.holds(
            passing.as_ref().is_some_and(|probe| probe.streak >= THRESHOLD),
            match &passing {
                Some(probe) => format!("passing after {} good answers in a row", probe.streak),
                None => "not passing although it is well".into(),
            },
        );
        fleet.finish().await;
        Ok(proof.judge("one good answer was no recovery, a row of them was").seen(shortened()))
    };
    settle(exercise.await)
}

/// Good and bad answers in turn must not move a probe whose threshold is above one, either way.
async fn flaps_change_nothing(
    proof: &mut Proof,
    fleet: &ScratchFleet,
    target: &FaultServer,
    before: &ProbeStatus,
) {
    target.behave(Manner::Flapping);
    let flapped = asked(target, FLAPS).await;
    let now = status(fleet, "planted");
    // `since` is set by every change of standing, those that were undone since included.
    let same = now.is_some_and(|now| now.state == before.state && now.since == before.since);
    proof.holds(flapped, format!("it was asked {FLAPS} times while good and bad answers took turns"));
    proof
        .holds(same, format!("it {} meanwhile", if same { "kept its standing" } else { "changed its mind" }));
}

fn well(probe: &ProbeStatus) -> bool {
    probe.last.as_ref().is_some_and(|last| last.ok)
}

/// `deadline` is what the stalled probe has, 600 ms is what is expected of it; a test breaks it.
pub async fn past_a_stall(ground: &Ground, deadline: Duration) -> Found {
    let exercise = async {
        let (silent, healthy) = (server(Manner::Silent).await?, server(Manner::Healthy).await?);
        let mut stalled = dependency("stalled", &silent, 1, json!({}));
        stalled["deadline"] = json!(millis(deadline));
        let fleet = watch(ground, vec![stalled, dependency("healthy", &healthy, 1, json!({}))]).await?;
        // The third look at the stalled target begins when two were cut off.
        let cut = poll(PATIENCE, || (silent.hits().len() >= 3).then_some(())).await;
        let stalls = silent.hits();
        let between = match (stalls.first(), stalls.get(2)) {
            (Some(first), Some(third)) => {
                healthy.hits().iter().filter(|hit| *hit > first && *hit <= third).count()
            }
            _ => 0,
        };
        let known = fleet.probes().into_iter().find(|p| p.target == "stalled").and_then(|p| p.last);
        let mut proof = Proof::default();
        proof.holds(
            cut.is_some() && known.as_ref().is_some_and(|last| !last.ok),
            match &known {
                Some(last) => format!(
                    "the stalled look was given up after {:.0} ms (deadline {} ms): {}",
                    last.took_ms,
                    DEADLINE.as_millis(),
                    last.detail
                ),
                None => "the stalled look was never given up".into(),
            },
        );
        proof.holds(
            silent.most_open() == 1,
            format!("{} looks at the stalled target were open at once", silent.most_open()),
        );
        // A monitor that waits for one target before the next looks at both equally often. Told by counting, since
        // a busy machine slows both.
        proof.holds(
            between >= 4,
            format!(
                "during two stalled looks the healthy target was looked at {between} times, 4 are the least"
            ),
        );
        fleet.finish().await;
        Ok(proof.judge("the stalled target was cut off and held up nobody").seen(shortened()))
    };
    settle(exercise.await)
}

#[cfg(test)]
pub const DOWN_AND_UP: Saboteur = Saboteur {
    of: "HM-001",
    at_work: || {
        let broken = [("a probe that never changes its mind", 1000), ("one that does so at once", 1)];
        tried(down_and_up, THRESHOLD, broken).boxed()
    },
};

#[cfg(test)]
pub const PAST_A_STALL: Saboteur = Saboteur {
    of: "HM-002",
    at_work: || {
        let never = [("a deadline that does not cut", Duration::from_secs(60))];
        tried(past_a_stall, DEADLINE, never).boxed()
    },
};

#[cfg(test)]
pub const HELD_UP: Saboteur = Saboteur {
    of: "HM-009",
    at_work: || {
        let broken = [("one good answer is enough", 1), ("no row of them is long enough", 1000)];
        tried(held_up, THRESHOLD, broken).boxed()
    },
};
