//! A scratch agent that will not go is stopped, and /proc is asked who is left.
use super::PATIENCE;
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Fault, Outcome},
    readiness::{
        Found, Ground, Proof, ScratchFleet, check::settle, proof::poll, scratch_fleet::script_agent,
        survivors,
    },
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;
use tokio::time::Instant;

/// How a fleet is ended.
pub type Ending = for<'a> fn(&'a ScratchFleet) -> BoxFuture<'a, Result<(), Fault>>;

pub fn by_supervisor(fleet: &ScratchFleet) -> BoxFuture<'_, Result<(), Fault>> {
    async {
        let names: Vec<_> =
            fleet.supervisor().snapshot().agents.iter().map(|agent| agent.name.clone()).collect();
        fleet.supervisor().stop(&names).await
    }
    .boxed()
}

/// `end` is how the agents are stopped; a test breaks it. A cgroup is killed whole, so that alone would hide what a stop
/// does where there is none.
pub async fn verified(ground: &Ground, end: Ending) -> Found {
    let (with, without) =
        tokio::join!(stopped(ground, end, "auto").boxed(), stopped(ground, end, "off").boxed());
    if with.outcome != Outcome::Pass {
        return with.seen("in cgroups, where this machine gives them");
    }
    without
        .seen("that was without cgroups; in cgroups, where this machine gives them:")
        .all_seen(with.evidence)
}

async fn stopped(ground: &Ground, end: Ending, cgroups: &str) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let (greeting, farewell) = (plot.path().join("greeting"), plot.path().join("farewell"));
        let stubborn = "trap '' TERM HUP INT; \
            (setsid /bin/sh -c \"trap '' TERM HUP INT; while :; do sleep 0.2; done\" </dev/null >/dev/null 2>&1 &) & \
            while :; do sleep 0.2; done";
        let polite = format!(
            "trap 'echo well > \"{}\"; exit 0' TERM; : > \"{}\"; while :; do sleep 0.02; done",
            farewell.display(),
            greeting.display()
        );
        let mut polite = script_agent("polite", "service", &polite);
        polite["stop_timeout"] = json!("10s");
        let fleet = ground
            .fleet(json!({ "daemon": { "cgroups": cgroups }, "agent": [script_agent("stubborn", "service", stubborn), polite] }), false)
            .await?;
        let mark = fleet.mark().to_owned();
        // The main shell, its sleep, the shell in another session and its sleep, and the polite two, once that is ready
        // for what it is to be told.
        let family = poll(PATIENCE, || {
            let pids = survivors::marked(&mark).ok()?;
            let apart = pids.iter().filter(|pid| survivors::leads_session(**pid)).count();
            (pids.len() >= 4 && apart >= 1 && greeting.exists()).then_some(pids)
        })
        .await;
        let Some(family) = family else {
            return Ok(Found::error(
                "the scratch agent did not fork into a session of its own: is setsid installed?",
            ));
        };
        let started = Instant::now();
        let stopped = end(&fleet).await;
        let took = started.elapsed();
        let left = survivors::marked(&mark)
            .map_err(|error| Fault::internal(format!("cannot read /proc: {error}")))?;
        let mut proof = Proof::default();
        proof.holds(
            stopped.is_ok(),
            match &stopped {
                Ok(()) => format!(
                    "stop ended after {:.0} ms (stop_timeout 400 ms and 10 s)",
                    took.as_secs_f64() * 1e3
                ),
                Err(fault) => fault.to_string(),
            },
        );
        judge_survivors(&mut proof, family.len(), left.len(), farewell.exists());
        fleet.finish().await;
        Ok(proof.judge(format!(
            "all {} processes are gone, a double fork that ignores TERM included",
            family.len()
        )))
    };
    settle(exercise.await)
}

fn judge_survivors(proof: &mut Proof, before: usize, left: usize, farewell: bool) {
    proof.holds(
        left == 0,
        format!("{left} of {before} processes with the scratch mark survive (source: /proc/*/environ)"),
    );
    proof.holds(
        farewell,
        format!(
            "the polite agent {} its farewell before it ended",
            if farewell { "wrote" } else { "could not write" }
        ),
    );
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-005",
    at_work: || {
        async {
            let idle: Ending = |_| std::future::ready(Ok(())).boxed();
            let rude: Ending = |fleet| {
                let killed =
                    survivors::kill_all(fleet.mark()).map_err(|error| Fault::internal(error.to_string()));
                std::future::ready(killed).boxed()
            };
            let broken = [("a stop that only says so", idle), ("a stop that waits for nobody", rude)];
            let tried = tried(verified, by_supervisor as Ending, broken).await;
            for ((_, found), word) in tried.broken.iter().zip(["survive", "farewell"]) {
                let broken = |line: &String| line.starts_with("BROKEN") && line.contains(word);
                assert!(found.evidence.iter().any(broken), "{found:?}");
            }
            tried
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_and_rudeness_are_found() {
        for (left, farewell, outcome) in
            [(0, true, Outcome::Pass), (1, true, Outcome::Fail), (0, false, Outcome::Fail)]
        {
            let mut proof = Proof::default();
            judge_survivors(&mut proof, 6, left, farewell);
            assert_eq!(proof.judge("well").outcome, outcome);
        }
    }
}
