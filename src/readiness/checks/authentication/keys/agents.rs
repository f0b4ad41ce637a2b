//! A scratch agent's key at the daemon's own router: it reports, and that is all that it does.
use super::scene::Scene;
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
use serde_json::{Value, json};
use std::sync::Arc;

const REPORT: &str = "/v1/agents/report";

pub async fn only_report(evidence: &Evidence) -> Found {
    match &evidence.serve {
        Some(serve) => settle(tried_all(&evidence.ground, serve).await),
        None => Found::skipped("the daemon gave no router to try"),
    }
}

pub(super) async fn tried_all(ground: &Ground, serve: &Arc<dyn Serve>) -> Result<Found, Fault> {
    let scene = Scene::set(ground, serve, json!({})).await?;
    let open = scene.open().await;
    let mut proof = Proof::default();
    let agent = open.key(json!({ "principal": "agent:scratch", "clients": "all" })).await?;
    let operator = open.key(json!({ "principal": "service:ops", "role": "operator" })).await?;
    let admin = open.key(json!({ "principal": "service:root", "role": "admin" })).await?;
    let new_key = || json!({ "principal": "service:more", "role": "viewer" });
    let other = || json!({ "id": operator.id });
    let asked: [(&str, Option<Value>); 6] = [
        ("/v1/keys/create", Some(new_key())),
        ("/v1/keys/list", None),
        ("/v1/keys/revoke", Some(other())),
        ("/v1/sessions/open", Some(json!({}))),
        ("/v1/sessions/revoke", Some(json!({ "principal": "service:ops" }))),
        ("/v1/sessions/whoami", None),
    ];
    for (path, body) in asked {
        let status = open.ask(Some(&agent.token), path, body).await.status;
        proof.holds(status == 403, format!("an agent's key at {path} was answered with {status}"));
    }
    // Through the gate, to a handler that knows no such instance.
    let report = |instance: &str| Some(json!({ "instance": instance }));
    let own = open.ask(Some(&agent.token), REPORT, report("scratch/0")).await.status;
    proof.holds(own == 404, format!("its report of itself, which does not run, was answered with {own}"));
    let others = open.ask(Some(&agent.token), REPORT, report("other/0")).await.status;
    proof.holds(others == 403, format!("its report of another was answered with {others}"));
    for role in ["viewer", "operator", "admin", "service"] {
        let wider = json!({ "principal": "agent:scratch", "role": role });
        let status = open.ask(None, "/v1/keys/create", Some(wider)).await.status;
        proof.holds(status == 412, format!("a key that makes an agent {role} was answered with {status}"));
    }
    let status = open.ask(Some(&operator.token), "/v1/keys/create", Some(new_key())).await.status;
    proof.holds(status == 403, format!("an operator's key at /v1/keys/create was answered with {status}"));
    let status = open.ask(Some(&admin.token), "/v1/keys/create", Some(new_key())).await.status;
    proof.holds(status == 200, format!("an admin's key at /v1/keys/create was answered with {status}"));
    open.close().await;
    scene.strike().await;
    Ok(proof.judge("an agent's key reports for its agent and opens nothing else"))
}
