//! What stands in for an answer is marked, and stands in for nobody's own mistake.
use super::stage::{NEVER, server, settings};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    health::{Eye, Miss, Target, terms},
    readiness::{
        Found, Ground, Proof,
        check::settle,
        faults::{FaultServer, Manner},
    },
    resilience::{Deadline, Policy, Served, Stopped, Unserved},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;

const INSTEAD: &str = "from yesterday";

/// `down` is what the server does that needs a stand-in; a test lets it do well.
pub async fn marked(ground: &Ground, down: Manner) -> Found {
    let exercise = async {
        let mut proof = Proof::default();
        let failing = server(down).await?;
        let policy = policy(ground, NEVER)?;
        let served = asked(&policy, &failing).await?;
        proof.holds(
            is(&served, INSTEAD, |stopped| stopped == Some(Stopped::Exhausted)),
            format!("two attempts at a server that fails gave {}", told(&served)),
        );
        proof.holds(failing.hits().len() == 2, format!("it was asked {} times first", failing.hits().len()));
        let open = self::policy(ground, 1)?;
        let _ = asked(&open, &failing).await?;
        let before = failing.hits().len();
        let served = asked(&open, &failing).await?;
        proof.holds(
            is(&served, INSTEAD, |stopped| matches!(stopped, Some(Stopped::Open(_))))
                && failing.hits().len() == before,
            format!("an open breaker gave {}, and called nobody", told(&served)),
        );
        let sound = server(Manner::Healthy).await?;
        let served = asked(&policy, &sound).await?;
        proof.holds(
            matches!(&served, Ok(served) if served.instead.is_none() && served.value != INSTEAD),
            format!("a server that is well gave {}", told(&served)),
        );
        let mistaken = server(Manner::Answering(404)).await?;
        let served = asked(&policy, &mistaken).await?;
        proof.holds(served.is_err(), format!("a caller's own mistake gave {}", told(&served)));
        Ok(proof.judge("what stood in was marked, and only where nobody answered"))
    };
    settle(exercise.await)
}

type Answer = Result<Served<String, Miss>, Unserved<Miss>>;

async fn asked(policy: &Policy, server: &FaultServer) -> Result<Answer, Fault> {
    let eye = Eye::new("http", &json!({ "url": server.url() }))
        .map_err(|_| Fault::internal("cannot compile a scratch probe"))?;
    let target = Target::local("proof", None);
    let attempt = |_| eye.see(&target);
    Ok(policy.call_or(Deadline::far(), attempt, |_| async { Some(INSTEAD.to_owned()) }).await)
}

fn policy(ground: &Ground, failures: u32) -> Result<Policy, Fault> {
    let written = json!({ "attempts": 2, "backoff": "5ms..5ms", "breaker": { "failures": failures } });
    let settings = settings(&written)?;
    Ok(Policy::new("proof", terms(&settings.policy("proof", None)), ground.clock()))
}

fn is(answer: &Answer, value: &str, why: impl Fn(Option<Stopped>) -> bool) -> bool {
    matches!(answer, Ok(served) if served.value == value && why(served.instead))
}

fn told(answer: &Answer) -> String {
    match answer {
        Ok(Served { value, instead: None, .. }) => format!("its own answer, {value}"),
        Ok(Served { value, instead: Some(_), .. }) => format!("`{value}`, marked as standing in"),
        Err(unserved) => format!("no answer: {unserved}"),
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "EH-010",
    at_work: || {
        let broken = [("an answer that needs no stand-in", Manner::Healthy)];
        tried(marked, Manner::Failing, broken).boxed()
    },
};
