//! The breakers of this daemon: is any open now? And does a probe whose breaker is open say so?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{BreakerState, BreakerStatus, ProbeState},
    health::standing,
    readiness::{
        Evidence, Found, Ground, Proof, ScratchFleet,
        check::settle,
        faults::{FaultServer, Manner},
        proof::poll,
    },
    resilience::Tripped,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(8);
const REASON: &str = "held for the proof";

pub fn open_now(evidence: &Evidence) -> Found {
    let standings: Vec<BreakerStatus> = evidence.monitor.policies().all().iter().map(standing).collect();
    judge(&standings)
}

fn judge(breakers: &[BreakerStatus]) -> Found {
    if breakers.is_empty() {
        return Found::not_applicable("the manifest has no dependency, and no check with a policy");
    }
    let open: Vec<_> = breakers.iter().filter(|breaker| breaker.state != BreakerState::Closed).collect();
    let line = |breaker: &BreakerStatus| {
        let why = match (&breaker.tripped, &breaker.why) {
            (Some(trip), _) => format!(", held by {}: {}", trip.by, trip.reason),
            (None, Some(why)) => format!(", since {why}"),
            (None, None) => String::new(),
        };
        format!("{} is {}{why} (opened by itself: {})", breaker.name, breaker.state.as_str(), breaker.opened)
    };
    let found = match &open[..] {
        [] => Found::pass(format!("{} breakers, all closed", breakers.len())),
        [one] => Found::fail(format!("breaker {} is {}", one.name, one.state.as_str())),
        [first, ..] => {
            Found::fail(format!("{} breakers let no calls pass, {} first", open.len(), first.name))
        }
    };
    let found = found.all_seen(breakers.iter().map(line));
    open.into_iter().fold(found, |found, breaker| {
        let how = if breaker.tripped.is_some() { "tripped" } else { "open" };
        found.about(format!("breaker/{}", breaker.name), how)
    })
}

/// `tripped` is the breaker that is held open, that of `guarded` is what is judged; a test holds another.
pub async fn said_by_its_probe(ground: &Ground, tripped: &str) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let (guarded, other) =
            (super::stage::server(Manner::Healthy).await?, super::stage::server(Manner::Healthy).await?);
        let dependency = |name: &str, server: &FaultServer| {
            json!({
                "name": name, "kind": "http", "every": "60ms", "deadline": "4s", "failure_threshold": 2,
                "options": { "url": server.url() },
            })
        };
        let overlay = json!({ "dependency": [dependency("guarded", &guarded), dependency("other", &other)] });
        let fleet = ground.fleet(overlay, true).await?;
        let well = stands(&fleet, ProbeState::Passing).await.is_some();
        proof.holds(well, "a dependency that is well passes");
        let breaker = fleet.monitor().and_then(|monitor| monitor.policies().get(tripped));
        let Some(policy) = breaker else { return Ok(Found::error("the dependency has no breaker")) };
        policy.breaker().trip(Tripped { by: "proof".into(), reason: REASON.into() }, ground.clock().now());
        // One look may have been under way.
        let detail = stands(&fleet, ProbeState::Failing).await;
        proof.holds(
            detail.as_ref().is_some_and(|detail| detail.contains("not asked") && detail.contains(REASON)),
            match &detail {
                Some(detail) => format!("with its breaker held open it fails: {detail}"),
                None => "with its breaker held open it passes all the same".into(),
            },
        );
        let before = guarded.hits().len();
        let others = other.hits().len();
        let waited = poll(PATIENCE, || (other.hits().len() >= others + 5).then_some(())).await.is_some();
        let asked = guarded.hits().len() - before;
        proof.holds(
            waited && asked == 0,
            format!("meanwhile it was asked {asked} times, and its neighbour at least 5 times"),
        );
        policy.breaker().reset(ground.clock().now());
        let well = stands(&fleet, ProbeState::Passing).await.is_some();
        proof.holds(well, "reset, it is asked again and passes");
        fleet.finish().await;
        Ok(proof.judge("a probe behind an open breaker asked nobody, and failed"))
    };
    settle(exercise.await)
}

/// What the probe of `guarded` says once it stands so.
async fn stands(fleet: &ScratchFleet, state: ProbeState) -> Option<String> {
    let wanted = || {
        let probe = fleet.probes().into_iter().find(|probe| probe.target == "guarded")?;
        (probe.state == state).then(|| probe.last.map(|last| last.detail).unwrap_or_default())
    };
    poll(PATIENCE, wanted).await
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "EH-011",
        at_work: || {
            async {
                let policies = crate::resilience::Policies::new(crate::resilience::Clock::system());
                let settings = crate::config::Settings::default();
                let terms = crate::health::terms(&settings.policy("database", None));
                policies.apply(["orders-db", "cache"].map(|name| (name.into(), terms)).into());
                let judged = || judge(&policies.all().iter().map(standing).collect::<Vec<_>>());
                let sound = vec![judged()];
                let cache = policies.get("cache").expect("it is there");
                cache
                    .breaker()
                    .trip(Tripped { by: "user:0".into(), reason: REASON.into() }, jiff::Timestamp::now());
                let tripped = judged();
                assert_eq!(tripped.affected[0].resource, "breaker/cache");
                cache.breaker().reset(jiff::Timestamp::now());
                for _ in 0..terms.breaker.failures {
                    cache.breaker().admit().expect("closed").failed(|| "refused".into());
                }
                let broken =
                    vec![("one held open by hand", tripped), ("one that opened by itself", judged())];
                crate::readiness::checks::Tried { sound, broken }
            }
            .boxed()
        },
    },
    Saboteur {
        of: "EH-012",
        at_work: || {
            tried(said_by_its_probe, "guarded", [("a breaker that guards something else", "other")]).boxed()
        },
    },
];
