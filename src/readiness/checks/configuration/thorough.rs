//! What people leave for later: contacts, owners, limits, probes.
use crate::{
    config::{AgentSettings, Contact, Settings},
    domain::ProbeRole,
    readiness::Found,
};

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

fn placeholder(contact: &Contact) -> Option<String> {
    const WORDS: &[&str] = &["todo", "tbd", "fixme", "changeme", "placeholder", "xxx", "lorem"];
    const PHRASES: &[&str] = &["contact info", "change-me", "change_me", "your name", "your-name", "n/a"];
    let unfinished = |text: &str| {
        let lower = text.trim().to_lowercase();
        lower.is_empty()
            || lower.starts_with(['[', '<', '{'])
            || lower.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
            || PHRASES.iter().any(|phrase| lower.contains(phrase))
    };
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
