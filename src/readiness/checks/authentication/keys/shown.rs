//! Scratch keys at the daemon's own router: the right one, and every way in which one is not, or no longer.
use super::scene::{Scene, WHOAMI};
use crate::{
    auth::{TokenKind, checksum, mint},
    domain::{AuditOutcome, Fault},
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle},
};
use secrecy::ExposeSecret;
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Seen by a request that comes a second after it was asked for.
const AT_ONCE: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

pub async fn told_apart(evidence: &Evidence) -> Found {
    match &evidence.serve {
        Some(serve) => settle(wrong_ones(&evidence.ground, serve).await),
        None => Found::skipped("the daemon gave no router to try"),
    }
}

pub async fn over(evidence: &Evidence) -> Found {
    match &evidence.serve {
        Some(serve) => settle(ended(&evidence.ground, serve).await),
        None => Found::skipped("the daemon gave no router to try"),
    }
}

pub(super) async fn wrong_ones(ground: &Ground, serve: &Arc<dyn Serve>) -> Result<Found, Fault> {
    let scene = Scene::set(ground, serve, json!({})).await?;
    let open = scene.open().await;
    let mut proof = Proof::default();
    let viewer = |name: &str| json!({ "principal": format!("service:{name}"), "role": "viewer" });
    let key = open.key(viewer("scratch")).await?;
    let other = open.key(viewer("other")).await?;
    let taken = open.whoami(&key.token).await;
    proof.holds(
        taken.as_deref() == Some("service:scratch"),
        format!("the right key was taken for {}", taken.as_deref().unwrap_or("nobody's")),
    );
    let spliced = format!("{}_{}", key.id, other.secret());
    let spliced = format!("agc_{spliced}{}", String::from_utf8_lossy(&checksum(spliced.as_bytes())));
    let stranger = mint(TokenKind::Key)?.token.expose_secret().to_owned();
    let mut flipped = key.token.clone().into_bytes();
    if let Some(byte) = flipped.get_mut(30) {
        *byte = if *byte == b'0' { b'1' } else { b'0' };
    }
    let wrong = [
        ("with another's secret", spliced, "wrong"),
        ("that was never made", stranger, "unknown"),
        ("cut by one character", key.token[..key.token.len().saturating_sub(1)].to_owned(), "malformed"),
        ("with one character changed", String::from_utf8_lossy(&flipped).into_owned(), "malformed"),
        ("of its public part alone", format!("agc_{}", key.id), "malformed"),
        ("that is empty", String::new(), "malformed"),
    ];
    let mut answers = BTreeSet::new();
    let before = refusals(&scene).await?.len();
    for (what, token, _) in &wrong {
        let answered = open.ask(Some(token), WHOAMI, None).await;
        proof.holds(answered.status == 401, format!("a key {what} was answered with {}", answered.status));
        answers.insert(answered.body.to_string());
    }
    proof.holds(answers.len() == 1, format!("{} wrong keys were told {} things", wrong.len(), answers.len()));
    let rows = refusals(&scene).await?.split_off(before);
    let told =
        rows.len() == wrong.len() && rows.iter().zip(&wrong).all(|(row, (.., kind))| row.starts_with(kind));
    proof
        .holds(told, format!("{} of {} are in the audit trail, each with its kind", rows.len(), wrong.len()));
    let secrets = [key.secret(), other.secret()];
    // Whole rows: an object may repeat what a reason leaves out.
    let whole = format!("{:?}", scene.fleet().store().audit_events(0, 100).await?);
    let leaked = secrets.iter().any(|secret| whole.contains(secret));
    proof.holds(!leaked, if leaked { "a row repeats a secret" } else { "no row repeats a secret" });
    let still = open.whoami(&key.token).await.is_some();
    proof.holds(
        still,
        format!("after them the right key {}", if still { "still opens" } else { "is refused" }),
    );
    open.close().await;
    let restarted = scene.open().await;
    let kept = restarted.whoami(&key.token).await.is_some();
    proof.holds(kept, format!("a daemon started anew {} it", if kept { "takes" } else { "refuses" }));
    restarted.close().await;
    scene.strike().await;
    Ok(proof.judge(format!("the right key opens, {} wrong ones do not", wrong.len())))
}

/// The reasons of refused looks at oneself, oldest first.
async fn refusals(scene: &Scene) -> Result<Vec<String>, Fault> {
    let rows = scene.fleet().store().audit_events(0, 1000).await?.into_iter();
    let refused = rows.filter(|row| {
        row.outcome == AuditOutcome::Refused && WHOAMI.strip_prefix("/v1/") == Some(row.action.as_str())
    });
    Ok(refused.map(|row| row.reason).collect())
}

pub(super) async fn ended(ground: &Ground, serve: &Arc<dyn Serve>) -> Result<Found, Fault> {
    let scene = Scene::set(ground, serve, json!({})).await?;
    let open = scene.open().await;
    let mut proof = Proof::default();
    let lasting = |name: &str, length: &str| json!({ "principal": format!("service:{name}"), "role": "viewer", "expires_in": length });
    let short = open.key(lasting("short", "30m")).await?;
    let long = open.key(lasting("long", "3h")).await?;
    let doomed = open.key(lasting("doomed", "3h")).await?;
    let old = open.key(lasting("rotated", "3h")).await?;
    let new = open.rotate(&old.id, "30m").await?;
    for (what, key) in
        [("expires", &short), ("lasts", &long), ("was rotated", &old), ("took its place", &new)]
    {
        let good = open.whoami(&key.token).await.is_some();
        let is = if good { "good" } else { "refused" };
        proof.holds(good, format!("before its time, a key that {what} is {is}"));
    }
    let good = open.whoami(&doomed.token).await.is_some();
    let asked = Instant::now();
    let revoked = open.ask(None, "/v1/keys/revoke", Some(json!({ "id": doomed.id }))).await;
    let refused = open.whoami(&doomed.token).await.is_none();
    let took = asked.elapsed();
    proof.holds(
        good && revoked.status == 200 && refused && took < AT_ONCE,
        format!(
            "a key was {} before and {} {} ms after its revocation was asked for",
            if good { "good" } else { "refused" },
            if refused { "refused" } else { "good" },
            took.as_millis()
        ),
    );
    let told = open.ask(Some(&doomed.token), WHOAMI, None).await;
    let unknown = open.ask(Some(mint(TokenKind::Key)?.token.expose_secret()), WHOAMI, None).await;
    proof.holds(
        told.status == unknown.status && told.body == unknown.body,
        "a revoked key is answered as one that never was",
    );
    open.close().await;
    let later = scene.open_ahead(HOUR).await;
    for (what, key, wanted) in [
        ("whose time is up", &short, false),
        ("whose overlap is over", &old, false),
        ("that was revoked", &doomed, false),
        ("that took another's place", &new, true),
        ("whose time is not up", &long, true),
    ] {
        let good = later.whoami(&key.token).await.is_some();
        let is = if good { "good" } else { "refused" };
        proof.holds(good == wanted, format!("an hour later, a key {what} is {is}"));
    }
    later.close().await;
    scene.strike().await;
    Ok(proof.judge("keys end when they expire, are replaced or revoked, and not before"))
}
