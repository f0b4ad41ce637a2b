//! What people leave for later: contacts, owners, limits, probes.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    config::{AgentSettings, Contact, Settings},
    domain::ProbeRole,
    readiness::Found,
};
#[cfg(test)]
use futures_util::FutureExt;

pub fn contacts(settings: &Settings) -> Found {
    if settings.contacts.is_empty() {
        return Found::warn("there is nobody under [contacts]");
    }
    let doubtful: Vec<String> = settings
        .contacts
        .iter()
        .filter_map(|(key, contact)| placeholder(contact).map(|why| format!("{key}: {why}")))
        .collect();
    match doubtful.first() {
        None => Found::pass(format!("{} contacts have a name and an address", settings.contacts.len())),
        Some(first) => Found::fail(format!(
            "{} of {} contacts are placeholders: {first}",
            doubtful.len(),
            settings.contacts.len()
        ))
        .all_seen(doubtful),
    }
}

/// Is it what people write when they mean to fill it in later?
pub fn unfinished(text: &str) -> bool {
    const WORDS: &[&str] = &["todo", "tbd", "fixme", "changeme", "placeholder", "xxx", "lorem"];
    const PHRASES: &[&str] = &["contact info", "change-me", "change_me", "your name", "your-name", "n/a"];
    let lower = text.trim().to_lowercase();
    lower.is_empty()
        || lower.starts_with(['[', '<', '{'])
        || lower.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
        || PHRASES.iter().any(|phrase| lower.contains(phrase))
}

fn placeholder(contact: &Contact) -> Option<String> {
    if unfinished(&contact.name) {
        return Some(format!("the name is `{}`", contact.name));
    }
    let address = contact.email.trim();
    let well_formed = address.split_once('@').is_some_and(|(who, host)| {
        !who.is_empty()
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
            && !address.contains(char::is_whitespace)
    });
    (unfinished(address) || !well_formed).then(|| format!("the address is `{address}`"))
}

pub fn agents(settings: &Settings) -> Found {
    let agents: Vec<&AgentSettings> = settings.agents.iter().filter(|agent| agent.enabled).collect();
    if agents.is_empty() {
        return Found::not_applicable("the manifest enables no agent");
    }
    let lacking: Vec<String> = agents
        .iter()
        .filter_map(|agent| {
            let remote = agent.kind == "http";
            let lacks = [
                (agent.owner.is_none(), "owner"),
                (!remote && agent.limits.memory.is_none(), "memory limit"),
                (
                    !agent.probes.iter().any(|p| p.role == ProbeRole::Readiness) && agent.kind != "process",
                    "readiness probe of its own",
                ),
            ];
            let lacks: Vec<&str> =
                lacks.into_iter().filter_map(|(lacks, what)| lacks.then_some(what)).collect();
            (!lacks.is_empty()).then(|| format!("{} has no {}", agent.name, lacks.join(", no ")))
        })
        .collect();
    if lacking.is_empty() {
        return Found::pass(format!("all {} agents have them", agents.len()));
    }
    Found::warn(format!("{} of {} agents lack some of it", lacking.len(), agents.len()))
        .all_seen(lacking.into_iter().take(30))
}

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "CF-006",
        at_work: || {
            async {
                let say = |name: &str, email: &str| {
                    let mut settings = Settings::default();
                    let contact = Contact { name: name.into(), email: email.into() };
                    settings.contacts.insert("oncall".into(), contact);
                    contacts(&settings)
                };
                let broken =
                    [("[Contact Info]", "a@b.example"), ("TODO", "a@b.example"), ("Platform", "changeme")];
                Tried {
                    sound: vec![say("Platform on-call", "oncall@shop.example")],
                    broken: (broken.into_iter().map(|(name, email)| ("a placeholder", say(name, email))))
                        .chain([("a manifest without contacts", contacts(&Settings::default()))])
                        .collect(),
                }
            }
            .boxed()
        },
    },
    Saboteur {
        of: "CF-007",
        at_work: || {
            async {
                let say = |without: &str| {
                    let mut agent = serde_json::json!({
                        "name": "orders", "kind": "service", "owner": "oncall", "limits": { "memory": "256MiB" },
                        "probe": [{ "name": "ready", "kind": "tcp" }], "options": { "command": ["x"], "port": 8000 },
                    });
                    agent.as_object_mut().expect("an object").remove(without);
                    let whole = serde_json::json!({ "agent": [agent] });
                    agents(&serde_json::from_value(whole).expect("settings"))
                };
                Tried {
                    sound: vec![say("")],
                    broken: vec![
                        ("an agent without an owner", say("owner")),
                        ("an agent without a memory limit", say("limits")),
                        ("an agent without a probe", say("probe")),
                    ],
                }
            }
            .boxed()
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_people() {
        let contact = |name: &str, email: &str| Contact { name: name.into(), email: email.into() };
        for (name, email) in [
            ("[Contact Info]", "a@b.example"),
            ("", "a@b.example"),
            ("TODO", "a@b.example"),
            ("Platform", "changeme"),
            ("Platform", "changeme@shop.example"),
            ("Platform", "a@b"),
            ("Platform", "<your email>"),
            ("Platform", ""),
        ] {
            assert!(
                placeholder(&contact(name, email)).is_some(),
                "{name:?} {email:?} was taken for a person"
            );
        }
        for (name, email) in
            [("Platform on-call", "oncall@shop.example"), ("Xi Todorov", "x.todorov@shop.example")]
        {
            assert_eq!(placeholder(&contact(name, email)), None, "{name:?}");
        }
    }
}
