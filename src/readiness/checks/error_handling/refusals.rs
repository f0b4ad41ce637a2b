//! Requests that fail at the daemon's own routes, on a scratch fleet, with a planted key in one: what is written of them.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{ErrorFilter, ErrorGroup, Fault, FaultCategory, Identity, Occurrence, SpikeRule},
    readiness::{Answered, Evidence, Found, Ground, Proof, Question, Serve, Stage, check::settle},
    store::Store,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Legal as the name of an agent, and yet a key.
const PLANTED: &str = "sk-proj-4f8a9c2e1b7d6a5f0c3e";
/// No person here, and no uid that is kept for agents.
const VIEWER: u32 = 54_244;

pub async fn recorded(evidence: &Evidence) -> Found {
    match evidence.serve.clone() {
        Some(serve) => exercise(&evidence.ground, serve).await,
        None => Found::skipped("the daemon gave no routes to ask"),
    }
}

async fn exercise(ground: &Ground, serve: Arc<dyn Serve>) -> Found {
    let exercise = async {
        let overlay = json!({ "access": { "viewer_users": [VIEWER.to_string()] } });
        let fleet = ground.fleet(overlay, false).await?;
        let stage = Stage {
            manifest: fleet.path().join("agentd.toml"),
            settings: Arc::new(fleet.settings().clone()),
            paths: fleet.paths().clone(),
            store: fleet.store().clone(),
            supervisor: fleet.supervisor().clone(),
            clock: ground.clock(),
        };
        let served = serve.serve(stage).await;
        let stop = |uid, agent: &str| Question {
            identity: person(uid),
            bearer: None,
            path: "/v1/agents/stop".into(),
            body: Some(json!({ "agents": [agent] })),
        };
        let absent = served.ask(stop(0, PLANTED)).await;
        let forbidden = served.ask(stop(VIEWER, "orders")).await;
        let allowed = served
            .ask(Question { identity: person(VIEWER), bearer: None, path: "/v1/status".into(), body: None })
            .await;
        served.close().await;
        let kept = kept(fleet.store(), ground).await?;
        let mut proof = Proof::default();
        proof.holds(
            (absent.status, forbidden.status, allowed.status) == (404, 403, 200),
            format!("{}, {} and {} were answered", absent.status, forbidden.status, allowed.status),
        );
        occurred(&mut proof, &kept, &absent, FaultCategory::Api, "user:0");
        occurred(&mut proof, &kept, &forbidden, FaultCategory::Authorization, &format!("user:{VIEWER}"));
        let all: u64 = kept.iter().map(|(group, _)| group.count).sum();
        proof.holds(all == 2, format!("two refusals and an answer were recorded as {all} failures"));
        let rows = fleet.store().audit_events(0, 100).await?;
        let text = format!("{}{rows:?}", serde_json::to_string(&kept).unwrap_or_default());
        proof.holds(
            !text.contains(PLANTED),
            "the planted key is in no error and in no row of the audit trail",
        );
        fleet.finish().await;
        Ok(proof.judge(
            "each refusal was recorded once, with who asked and what for, and without the planted key",
        ))
    };
    settle(exercise.await)
}

/// A process of that user that belongs to no agent.
fn person(uid: u32) -> Identity {
    Identity { uid, gid: uid, pid: Some(std::process::id().cast_signed()) }
}

type Kept = Vec<(ErrorGroup, Vec<Occurrence>)>;

async fn kept(store: &Store, ground: &Ground) -> Result<Kept, Fault> {
    let (now, rule) = (ground.clock().now(), SpikeRule { minimum: 10, factor: 5.0 });
    let all = ErrorFilter { all: true, ..ErrorFilter::default() };
    let mut kept = Vec::new();
    for group in store.error_groups(all, now, rule, 100).await? {
        kept.extend(store.error_group(group.id, now, rule).await?);
    }
    Ok(kept)
}

/// By the correlation id of its answer: once, and as what it was.
fn occurred(proof: &mut Proof, kept: &Kept, answer: &Answered, category: FaultCategory, client: &str) {
    let id = answer.header("agentd-correlation").unwrap_or_default();
    let mine: Vec<_> = kept
        .iter()
        .flat_map(|(group, occurrences)| occurrences.iter().map(move |one| (group, one)))
        .filter(|(_, one)| one.correlation.is_some_and(|known| known.to_string() == id))
        .collect();
    proof.holds(mine.len() == 1, format!("the answer {} has {} occurrences", answer.status, mine.len()));
    let Some((group, one)) = mine.first() else { return };
    let alike = &group.alike;
    proof.holds(
        alike.category == category && alike.operation == "agents/stop",
        format!("it is of the category {} and the operation {}", alike.category, alike.operation),
    );
    let asked = one.client.as_deref().unwrap_or("nobody");
    proof.holds(asked == client, format!("it was asked by {asked}, and {client} is who asked"));
    let said = answer.body.get("message").and_then(Value::as_str).unwrap_or_default();
    let fingerprint = crate::domain::Fingerprint::of(
        category,
        alike.kind,
        "agents/stop",
        alike.agent.as_ref(),
        &crate::config::redact(said),
    );
    proof.holds(alike.fingerprint == fingerprint, format!("its fingerprint is {}", alike.fingerprint));
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "EH-020",
    at_work: || {
        use futures_util::FutureExt;
        let serve = |manners| Arc::new(daemon::Daemon(manners)) as Arc<dyn Serve>;
        let broken = daemon::Manners::BROKEN.map(|(what, manners)| (what, serve(manners)));
        tried(exercise, serve(daemon::Manners::Sound), broken).boxed()
    },
};

/// A daemon that answers as ours does, and records as it should or should not.
#[cfg(test)]
mod daemon {
    use super::*;
    use crate::{
        domain::{CorrelationId, FaultKind},
        errors::{Errors, Failure},
        readiness::Served,
    };
    use futures_util::{FutureExt, future::BoxFuture};

    pub struct Daemon(pub Manners);

    #[derive(Clone, Copy, PartialEq)]
    pub enum Manners {
        Sound,
        Forgets,
        Doubles,
        Anonymous,
        Unrelated,
        Vague,
        Leaks,
    }

    impl Manners {
        pub const BROKEN: [(&str, Self); 6] = [
            ("a daemon that records nothing", Self::Forgets),
            ("a daemon that records twice", Self::Doubles),
            ("failures that nobody asked for", Self::Anonymous),
            ("failures that belong to no request", Self::Unrelated),
            ("failures without a category of their own", Self::Vague),
            ("errors with a planted key in them", Self::Leaks),
        ];
    }

    struct Routes(Manners, Errors);

    impl Serve for Daemon {
        fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
            let errors = Errors::open(&stage.settings.errors, stage.store, stage.clock);
            async move { Box::new(Routes(self.0, errors)) as Box<dyn Served> }.boxed()
        }
    }

    impl Served for Routes {
        fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
            async move {
                let Some(body) = question.body else {
                    return Answered { status: 200, headers: Vec::new(), body: Value::Null };
                };
                let (status, kind, mut message) = match question.identity.uid {
                    0 => (404, FaultKind::NotFound, format!("cannot find agent {}", body["agents"][0])),
                    _ => (403, FaultKind::Forbidden, "cannot use it".to_owned()),
                };
                message = message.replace('"', "");
                let Self(manners, errors) = self;
                let id = CorrelationId(fastrand::u64(1..));
                let mut fault = Fault::new(kind, message.clone());
                if *manners == Manners::Vague {
                    fault = fault.category(FaultCategory::Resource);
                }
                let told = CorrelationId(if *manners == Manners::Unrelated { 7 } else { id.0 });
                let mut failure = Failure::new("agents/stop", fault);
                failure.correlation = told;
                if *manners != Manners::Anonymous {
                    failure = failure.asked_by(format!("user:{}", question.identity.uid), told);
                }
                if *manners == Manners::Leaks {
                    // Within a word no shape tells it, so that this gets past the redactor.
                    failure.context = format!("x{PLANTED}");
                }
                let times = match manners {
                    Manners::Forgets => 0,
                    Manners::Doubles => 2,
                    _ => 1,
                };
                (0..times).for_each(|_| errors.record(failure.clone()));
                let headers = vec![("agentd-correlation".to_owned(), id.to_string())];
                Answered { status, headers, body: json!({ "message": message }) }
            }
            .boxed()
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            self.1.close().boxed()
        }
    }
}
