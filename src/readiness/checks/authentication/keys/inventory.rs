//! The keys that are in force: too old, unused, everlasting, too mighty, or of principals that nobody means.
use crate::{
    config::KeySettings,
    domain::{ApiKey, Clients, Fault, Holds, PrincipalKind, Role},
    readiness::{Evidence, Found},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// More keys of one principal, rotations aside, are keys that were forgotten.
const MANY: usize = 3;
/// Names that come with a manual or a first try.
const DEFAULTS: &[&str] =
    &["admin", "administrator", "changeme", "default", "demo", "example", "guest", "root", "test", "tmp"];

pub async fn kept_fresh(evidence: &Evidence) -> Found {
    let now = evidence.judged_at;
    match in_force(evidence).await {
        Ok(keys) => fresh(&keys, &evidence.settings.keys, now),
        Err(fault) => fault.into(),
    }
}

pub async fn no_wider(evidence: &Evidence) -> Found {
    in_force(evidence).await.map_or_else(Found::from, |keys| narrow(&keys))
}

pub async fn meant(evidence: &Evidence) -> Found {
    let agents = evidence.settings.agents.iter().map(|agent| agent.name.to_string()).collect();
    in_force(evidence).await.map_or_else(Found::from, |keys| known(&keys, &agents))
}

/// As the store has them: what the daemon holds in memory is what is being judged.
async fn in_force(evidence: &Evidence) -> Result<Vec<ApiKey>, Fault> {
    let keys = evidence.store.keys().await?.into_iter().map(|held| held.key);
    Ok(keys.filter(|key| key.holds(evidence.judged_at) == Holds::InForce).collect())
}

pub(super) fn fresh(keys: &[ApiKey], settings: &KeySettings, now: Timestamp) -> Found {
    let length =
        |period: crate::domain::Period| SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
    let objections = |key: &ApiKey| {
        let mut objections = Vec::new();
        if now.duration_since(key.created_at) > length(settings.max_age) {
            objections.push(format!("is older than {}", settings.max_age));
        }
        let used = key.last_used_at.unwrap_or(key.created_at);
        if now.duration_since(used) > length(settings.unused_after) {
            objections.push(format!("was not used for {}", settings.unused_after));
        }
        if key.expires_at.is_none() {
            objections.push("never expires".into());
        }
        objections
    };
    judge(keys, objections, "is fresh, in use and will expire")
}

pub(super) fn narrow(keys: &[ApiKey]) -> Found {
    let objections = |key: &ApiKey| {
        let mut objections = Vec::new();
        if key.role == Role::Admin {
            objections.push("is admin, and may make more keys".into());
        }
        if key.principal.kind == PrincipalKind::Service && key.role == Role::Operator {
            objections.push("is operator, which people are".into());
        }
        let system = key.application_role.as_deref() == Some("system");
        if system && key.principal.kind != PrincipalKind::Agent {
            objections.push("may do everything in the applications".into());
        }
        if key.clients == Clients::All && key.application_role.is_none() {
            objections.push("sees all clients and has no role to do anything for them".into());
        }
        objections
    };
    judge(keys, objections, "has no more than it needs")
}

pub(super) fn known(keys: &[ApiKey], agents: &BTreeSet<String>) -> Found {
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for key in keys.iter().filter(|key| key.replaced_by.is_none()) {
        *held.entry(key.principal.to_string()).or_default() += 1;
    }
    let objections = |key: &ApiKey| {
        let mut objections = Vec::new();
        if DEFAULTS.contains(&&*key.principal.name) {
            objections.push("bears a name that comes with a manual".into());
        }
        if key.principal.kind == PrincipalKind::Agent && !agents.contains(&*key.principal.name) {
            objections.push("is of an agent that is not in the manifest".into());
        }
        match held.get(&key.principal.to_string()) {
            Some(count) if *count > MANY => objections.push(format!("is one of {count} of its principal")),
            _ => {}
        }
        objections
    };
    judge(keys, objections, "is of a principal that somebody means")
}

/// One objection each is enough for a warning; without keys there is nothing to judge.
fn judge(keys: &[ApiKey], objections: impl Fn(&ApiKey) -> Vec<String>, well: &str) -> Found {
    if keys.is_empty() {
        return Found::not_applicable("no key is in force");
    }
    let mut lines = Vec::new();
    let mut about = Vec::new();
    for key in keys {
        let found = objections(key);
        if !found.is_empty() {
            lines.push(format!("key {} of {} {}", key.id, key.principal, found.join(", ")));
            about.push((format!("key/{}", key.id), found.join(", ")));
        }
    }
    if lines.is_empty() {
        return Found::pass(format!("each of {} keys {well}", keys.len()));
    }
    let summary = format!("{} of {} keys are to be looked at", lines.len(), keys.len());
    about.into_iter().fold(Found::warn(summary).all_seen(lines), |found, (key, what)| found.about(key, what))
}
