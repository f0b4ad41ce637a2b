//! Roles in the applications that may more than their work needs: custom ones with what only `system` should have, and
//! agents that are `system`.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    auth::{Granted, Roles},
    config::Settings,
    domain::{Clients, KEPT_FOR_SYSTEM, Principal},
    readiness::{Evidence, Found},
};
#[cfg(test)]
use futures_util::FutureExt;

pub async fn narrow(evidence: &Evidence) -> Found {
    judge(&evidence.settings)
}

fn judge(settings: &Settings) -> Found {
    let roles = Roles::of(settings);
    // What is too much, the sentence, and what of it was seen: when that changes, a waiver is void.
    let mut broad: Vec<(String, String, String)> = Vec::new();
    for role in roles.all().filter(|role| role.custom) {
        let kept = KEPT_FOR_SYSTEM.iter().filter(|one| role.permissions.contains(one));
        let kept: Vec<&str> = kept.map(|one| one.as_str()).collect();
        if !kept.is_empty() {
            let has = kept.join(", ");
            broad.push((format!("role/{}", role.name), format!("custom role {} has {has}", role.name), has));
        }
    }
    let mut granted = 0;
    for agent in &settings.agents {
        let Granted::Now(grant) = Granted::by_file(settings, &Principal::agent(&agent.name)) else {
            continue;
        };
        let Some(role) = grant.role else { continue };
        granted += 1;
        if role == "system" {
            let every = if grant.clients == Clients::All { ", for every client" } else { "" };
            let line = format!("agent {} has role system: all 18 permissions{every}", agent.name);
            broad.push((format!("agent/{}", agent.name), line, format!("system{every}")));
        }
    }
    let custom = settings.roles.len();
    if granted == 0 && custom == 0 {
        return Found::not_applicable("no agent has a role in the applications, and the file adds none");
    }
    let Some((_, first, _)) = broad.first() else {
        return Found::pass(format!(
            "{granted} agents with a role and {custom} custom roles; none has what only system should have"
        ));
    };
    let found = Found::warn(match broad.len() {
        1 => first.clone(),
        more => format!("{first}; and {} more like it", more - 1),
    });
    broad.into_iter().fold(found, |found, (resource, line, seen)| found.seen(line).about(resource, seen))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-013",
    at_work: || {
        use serde_json::json;
        let judged = |role: &str, permissions: &[&str]| {
            let settings = json!({
                "role": [{ "name": "desk", "permissions": permissions }],
                "agent": [{ "name": "orders", "kind": "process", "role": role, "clients": ["1"] }],
            });
            judge(&serde_json::from_value(settings).expect("settings"))
        };
        let mut broken: Vec<_> = KEPT_FOR_SYSTEM
            .iter()
            .map(|one| (one.as_str(), judged("desk", &["send_sms", one.as_str()])))
            .collect();
        broken.push(("an agent that is system", judged("system", &["send_sms"])));
        let sound = vec![judged("desk", &["send_sms"]), judged("support", &["access_logs", "read_payments"])];
        async move { Tried { sound, broken } }.boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn where_nothing_is_granted_nothing_is_judged() {
        assert_eq!(judge(&Settings::default()).outcome, Outcome::NotApplicable);
    }
}
