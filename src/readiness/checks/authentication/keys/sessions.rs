//! Scratch sessions at the daemon's own router: how they end, and that they never outlive what they were opened from.
use super::scene::{Open, Scene};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const AT_ONCE: Duration = Duration::from_secs(1);
const MOST: usize = 3;

pub async fn end(evidence: &Evidence) -> Found {
    match &evidence.serve {
        Some(serve) => settle(ended(&evidence.ground, serve).await),
        None => Found::skipped("the daemon gave no router to try"),
    }
}

pub(super) async fn ended(ground: &Ground, serve: &Arc<dyn Serve>) -> Result<Found, Fault> {
    let mut proof = Proof::default();
    in_time(ground, serve, &mut proof).await?;
    at_once(ground, serve, &mut proof).await?;
    Ok(proof.judge("sessions end when they idle, when their time is up, and at a word"))
}

/// Each bound by itself: the other is too far away to be what ends it.
async fn in_time(ground: &Ground, serve: &Arc<dyn Serve>, proof: &mut Proof) -> Result<(), Fault> {
    for (what, sessions) in [
        ("may idle for 30 minutes", json!({ "idle": "30m", "absolute": "12h" })),
        ("may last for 30 minutes", json!({ "idle": "12h", "absolute": "30m" })),
    ] {
        let scene = Scene::set(ground, serve, json!({ "sessions": sessions })).await?;
        let open = scene.open().await;
        // One each: being used keeps one alive.
        let tried = [(29, true, open.login(None).await?), (31, false, open.login(None).await?)];
        open.close().await;
        for (minutes, wanted, session) in tried {
            let later = scene.open_ahead(Duration::from_secs(minutes * 60)).await;
            let good = later.whoami(&session.token).await.is_some();
            let is = if good { "good" } else { "refused" };
            proof.holds(good == wanted, format!("a session that {what} is {is} after {minutes}"));
            later.close().await;
        }
        scene.strike().await;
    }
    Ok(())
}

async fn at_once(ground: &Ground, serve: &Arc<dyn Serve>, proof: &mut Proof) -> Result<(), Fault> {
    let scene = Scene::set(ground, serve, json!({ "sessions": { "per_principal": MOST } })).await?;
    let open = scene.open().await;
    let key = open.key(json!({ "principal": "service:scratch", "role": "viewer" })).await?;

    let mut sessions = Vec::new();
    for _ in 0..=MOST {
        sessions.push(open.login(Some(&key.token)).await?);
    }
    let mut good = Vec::new();
    for session in &sessions {
        good.push(open.whoami(&session.token).await.is_some());
    }
    let newest = good.iter().skip(1).all(|good| *good);
    proof.holds(
        good.first() == Some(&false) && newest,
        format!(
            "of {} sessions where {MOST} are allowed, {} are good, and the first is {}",
            good.len(),
            good.iter().filter(|good| **good).count(),
            if good.first() == Some(&true) { "one of them" } else { "not" }
        ),
    );
    let again =
        open.ask(sessions.last().map(|last| last.token.as_str()), "/v1/sessions/open", Some(json!({})));
    let again = again.await.status;
    proof.holds(again == 412, format!("a session opened from a session was answered with {again}"));

    let [.., by_admin, by_owner, by_key] = &sessions[..] else {
        return Err(Fault::internal("cannot try this: too few scratch sessions"));
    };
    let revoke = json!({ "id": by_admin.id });
    over_after(&open, proof, "revoked", &by_admin.token, None, "sessions/revoke", revoke).await;
    let own = Some(by_owner.token.as_str());
    over_after(&open, proof, "logged out of", &by_owner.token, own, "sessions/close", json!({})).await;
    let revoke = json!({ "id": key.id });
    over_after(&open, proof, "opened with a key", &by_key.token, None, "keys/revoke", revoke).await;
    open.close().await;
    scene.strike().await;
    Ok(())
}

/// It must be good before and refused right after.
async fn over_after(
    open: &Open,
    proof: &mut Proof,
    what: &str,
    token: &str,
    by: Option<&str>,
    endpoint: &str,
    body: serde_json::Value,
) {
    let good = open.whoami(token).await.is_some();
    let asked = Instant::now();
    let answered = open.ask(by, &format!("/v1/{endpoint}"), Some(body)).await.status;
    let refused = open.whoami(token).await.is_none();
    let took = asked.elapsed();
    proof.holds(
        good && answered == 200 && refused && took < AT_ONCE,
        format!(
            "a session that is {what}: {} before, {} {} ms after {endpoint} ({answered})",
            if good { "good" } else { "refused" },
            if refused { "refused" } else { "good" },
            took.as_millis()
        ),
    );
}
