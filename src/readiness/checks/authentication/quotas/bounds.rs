//! What is in force: is anybody unbounded who should not be?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    config::Settings,
    domain::{Principal, PrincipalKind},
    readiness::Found,
};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// What the documents allow one agent.
const OF_AN_AGENT: RangeInclusive<u64> = 1_000..=10_000;

pub fn bounded(settings: &Settings) -> Found {
    let written = settings.quotas.principals.keys().filter_map(|name| name.parse::<Principal>().ok());
    let written = written.filter(|principal| principal.kind != PrincipalKind::User);
    let agents = settings.agents.iter().filter(|agent| agent.enabled);
    let mut all: BTreeSet<Principal> =
        agents.map(|agent| Principal::agent(&agent.name)).chain(written).collect();
    // Services come and go with their keys: one that nobody wrote down speaks for all of those.
    let any = Principal { kind: PrincipalKind::Service, name: "any".into() };
    all.insert(any.clone());
    let (mut open, mut odd) = (Vec::new(), Vec::new());
    for principal in &all {
        let quota = settings.quotas.of(principal);
        let name = if *principal == any { "any other service".to_owned() } else { principal.to_string() };
        match (quota.per_hour, quota.speed) {
            (None, _) => open.push((name, "has no quota of an hour")),
            (_, None) => open.push((name, "may ask as fast as it can")),
            (Some(hour), _)
                if principal.kind == PrincipalKind::Agent && !OF_AN_AGENT.contains(&hour.get()) =>
            {
                odd.push(format!("{name} has {hour} an hour, which is not 1,000 to 10,000"));
            }
            _ => {}
        }
    }
    if let Some((name, what)) = open.first() {
        let more =
            if open.len() > 1 { format!(", and {} more are open", open.len() - 1) } else { String::new() };
        let found = Found::fail(format!("{name} {what}{more}"));
        return open.iter().fold(found, |found, (name, what)| {
            found.seen(format!("{name} {what}")).about(format!("quota/{name}"), *what)
        });
    }
    if let Some(first) = odd.first() {
        return Found::warn(first.clone()).all_seen(odd);
    }
    let (agents, others): (Vec<_>, Vec<_>) = all.iter().partition(|of| of.kind == PrincipalKind::Agent);
    let agents = agents.len();
    let named = others.len() - 1;
    Found::pass(format!(
        "each has a quota of an hour and a rate: {agents} agents, {named} services by name, and any other service"
    ))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur { of: "AU-034", at_work: || Box::pin(std::future::ready(tried())) };

#[cfg(test)]
fn tried() -> Tried {
    let settings = |quotas: serde_json::Value| -> Settings {
        let agent = serde_json::json!({ "name": "orders", "kind": "process" });
        serde_json::from_value(serde_json::json!({ "agent": [agent], "quotas": quotas })).expect("settings")
    };
    let broken = [
        ("agents without a quota", serde_json::json!({ "agents": { "per_hour": 0 } })),
        ("agents without a rate", serde_json::json!({ "agents": { "per_second": 0 } })),
        (
            "one agent without a quota",
            serde_json::json!({ "principals": { "agent:orders": { "per_hour": 0 } } }),
        ),
        ("services without a quota", serde_json::json!({ "services": { "per_hour": 0 } })),
        (
            "a service without a rate",
            serde_json::json!({ "principals": { "service:x": { "per_second": 0 } } }),
        ),
        ("an agent with a million an hour", serde_json::json!({ "agents": { "per_hour": 1_000_000 } })),
    ];
    Tried {
        sound: vec![
            bounded(&settings(serde_json::json!({}))),
            bounded(&settings(
                serde_json::json!({ "users": { "per_hour": 5 }, "agents": { "per_hour": 1000 } }),
            )),
            bounded(&settings(serde_json::json!({ "principals": { "user:7": { "per_hour": 0 } } }))),
        ],
        broken: broken.map(|(what, quotas)| (what, bounded(&settings(quotas)))).into(),
    }
}
