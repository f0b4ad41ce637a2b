//! A target that goes down and comes up again, and one that stalls beside one that is well.
use super::stage::{DEADLINE, PATIENCE, THRESHOLD, dependency, server, shortened, stands, told, watch};
use crate::{
    domain::ProbeState,
    readiness::{Found, Ground, Proof, check::settle, faults::Manner, proof::poll},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// `threshold` is what the probe has, 3 is what is expected of it; a test breaks it.
pub async fn down_and_up(ground: &Ground, threshold: u32) -> Found {
    let exercise = async {
        let target = server(Manner::Healthy).await?;
        let fleet = watch(ground, vec![dependency("planted", &target, threshold, json!({}))]).await?;
        if stands(&fleet, "planted", ProbeState::Passing, PATIENCE).await.is_none() {
            return Ok(Found::fail("a healthy target was not found healthy").all_seen(told(&fleet)));
        }
        let changed = Instant::now();
        target.behave(Manner::Failing);
        let failing = stands(&fleet, "planted", ProbeState::Failing, PATIENCE).await;
        let (took, looks) = (changed.elapsed(), target.failed());
        let recovered = Instant::now();
        target.behave(Manner::Healthy);
        let passing = stands(&fleet, "planted", ProbeState::Passing, PATIENCE).await;
        let back = recovered.elapsed();
        let mut proof = Proof::default();
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

/// `deadline` is what the stalled probe has, 600 ms is what is expected of it; a test breaks it.
pub async fn past_a_stall(ground: &Ground, deadline: Duration) -> Found {
    let exercise = async {
        let (silent, healthy) = (server(Manner::Silent).await?, server(Manner::Healthy).await?);
        let mut stalled = dependency("stalled", &silent, 1, json!({}));
        stalled["deadline"] = json!(format!("{}ms", deadline.as_millis()));
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
mod tests {
    use super::*;
    use crate::readiness::checks::tells_apart;

    #[tokio::test(flavor = "multi_thread")]
    async fn following_is_proved_and_a_probe_that_never_or_too_soon_changes_its_mind_is_found() {
        tells_apart(down_and_up, THRESHOLD, [1000, 1]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cut_is_proved_and_a_deadline_that_does_not_cut_is_found() {
        tells_apart(past_a_stall, DEADLINE, [Duration::from_secs(60)]).await;
    }
}
