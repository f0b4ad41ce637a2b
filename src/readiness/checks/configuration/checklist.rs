//! The checklist of a deployment is one that somebody meant: every item has an owner, and none is left for later.
use super::{manifest::is_development, thorough::unfinished};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    config::{ItemSettings, Settings},
    readiness::Found,
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::Value;

/// How many that are wrong are told one by one.
const MOST_TOLD: usize = 30;
/// Hosts that stand in documentation and answer nobody's deployment.
const NOBODYS: &[&str] = &["example.com", "example.org", "example.net"];

pub fn meant(settings: &Settings) -> Found {
    let items = &settings.checklist.items;
    if items.is_empty() {
        return Found::not_applicable("the manifest has no checklist");
    }
    let wrong: Vec<String> = items
        .iter()
        .flat_map(|item| faults(item).into_iter().map(move |why| format!("{}: {why}", item.id)))
        .collect();
    let Some(first) = wrong.first() else {
        return Found::pass(format!("all {} items have an owner and no placeholder", items.len()));
    };
    let told = format!("the checklist is not finished, in {} places: {first}", wrong.len());
    let found = if is_development(&settings.environment) { Found::warn(told) } else { Found::fail(told) };
    found.all_seen(wrong.into_iter().take(MOST_TOLD))
}

fn faults(item: &ItemSettings) -> Vec<String> {
    let mut faults = Vec::new();
    if item.owner.is_none() {
        faults.push("it has no owner".into());
    }
    let texts = [("title", Some(&item.title)), ("hint", item.hint.as_ref())];
    for (what, text) in texts.into_iter().filter_map(|(what, text)| Some((what, text?))) {
        if unfinished(text) || names_nobody(text) {
            faults.push(format!("its {what} is a placeholder: `{text}`"));
        }
    }
    for text in strings(&item.options) {
        // What it asks may well begin with a bracket; a word that stands for another never belongs there.
        let open = text.starts_with('<') && text.ends_with('>');
        if !text.is_empty() && (open || names_nobody(text) || unfinished(&format!("- {text}"))) {
            faults.push(format!("its options hold a placeholder: `{text}`"));
        }
    }
    faults
}

fn names_nobody(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words = || lower.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'));
    words().any(|word| NOBODYS.iter().any(|host| word == *host || word.ends_with(&format!(".{host}"))))
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-019",
    at_work: || {
        async {
            let say = |environment: &str, key: &str, value: Option<&str>| {
                let mut item = serde_json::json!({
                    "id": "orders-guarded", "title": "orders are guarded", "kind": "access", "group": "authentication",
                    "owner": "oncall", "hint": "mend the gateway",
                    "options": { "url": "https://api.shop.example/orders", "headers": { "authorization": "env:TOKEN" } },
                });
                match (key, value) {
                    ("", _) => {}
                    ("url", Some(url)) => item["options"]["url"] = url.into(),
                    (key, Some(value)) => item[key] = value.into(),
                    (key, None) => drop(item.as_object_mut().expect("an object").remove(key)),
                }
                let whole = serde_json::json!({ "environment": environment, "checklist": { "item": [item] } });
                meant(&serde_json::from_value(whole).expect("settings"))
            };
            Tried {
                sound: vec![say("staging", "", None), say("staging", "hint", None)],
                broken: vec![
                    ("an item without an owner", say("staging", "owner", None)),
                    ("an item that is left for later", say("staging", "title", Some("TODO: decide"))),
                    ("an item with a hint in brackets", say("staging", "hint", Some("[Contact Info]"))),
                    ("an item about nobody's host", say("staging", "url", Some("https://api.example.com/orders"))),
                    ("an item about no host", say("staging", "url", Some("https://xxx/orders"))),
                    ("an unfinished item in development", say("dev", "title", Some("tbd"))),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn without_a_checklist_there_is_nothing_to_judge_and_in_development_it_is_a_warning() {
        assert_eq!(meant(&Settings::default()).outcome, Outcome::NotApplicable);
        let written = |environment: &str| {
            let item = serde_json::json!({"id": "a", "title": "t", "kind": "attest", "group": "security"});
            serde_json::from_value(
                serde_json::json!({"environment": environment, "checklist": {"item": [item]}}),
            )
            .expect("settings")
        };
        assert_eq!(meant(&written("dev")).outcome, Outcome::Warn);
        assert_eq!(meant(&written("staging")).outcome, Outcome::Fail);
    }

    #[test]
    fn hosts_of_documentation_are_told_from_others() {
        for text in ["https://example.com/x", "API.Example.ORG", "see docs.example.net."] {
            assert!(names_nobody(text.trim_end_matches('.')), "{text}");
        }
        for text in ["https://api.shop.example/x", "counterexample.com", "for example", "myexample.org"] {
            assert!(!names_nobody(text), "{text}");
        }
    }
}
