//! The secret references of the manifest, each followed to its end once a run. What stands there is judged and
//! dropped at once: an `Appraisal` is kept, never the value.
use crate::config::{Appraisal, Settings, is_reference, name_is_secret, resolve};
use futures_util::{StreamExt, stream};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many are resolved at once: some start a program.
const AT_ONCE: usize = 16;

/// Each reference with the keys and agents that it stands under.
pub type References = BTreeMap<String, BTreeSet<Use>>;
/// How a value is judged: `config::appraise`, or a broken one in a test.
pub type Appraise = fn(&str, bool) -> Appraisal;

/// Where a reference stands: `orders` and `API_KEY`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub by: String,
    pub key: String,
}

/// A reference, where it stands and what was found behind it.
#[derive(Clone, Debug)]
pub struct Followed {
    pub reference: String,
    pub uses: BTreeSet<Use>,
    pub end: Result<Appraisal, String>,
}

/// All of enabled agents, their probes, and dependencies.
pub fn of(settings: &Settings) -> References {
    let mut found = References::new();
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        collect(&agent.options, "", agent.name.as_str(), &mut found);
        for probe in &agent.probes {
            collect(&probe.options, "", agent.name.as_str(), &mut found);
        }
    }
    for dependency in &settings.dependencies {
        collect(&dependency.options, "", &dependency.name, &mut found);
    }
    found
}

/// Every one is tried, whatever becomes of the others.
pub async fn follow(references: References, appraise: Appraise) -> Vec<Followed> {
    let each = references.into_iter().map(|(reference, uses)| async move {
        let secret = is_secret(&reference, &uses);
        let end = match resolve(&reference).await {
            Ok(value) => Ok(appraise(value.expose_secret(), secret)),
            Err(fault) => Err(fault.to_string()),
        };
        Followed { reference, uses, end }
    });
    stream::iter(each).buffered(AT_ONCE).collect().await
}

impl Followed {
    /// `env:API_KEY (API_KEY of orders)`
    pub fn named(&self) -> String {
        const NAMED: usize = 3;
        let uses: Vec<_> = self.uses.iter().map(|at| format!("{} of {}", at.key, at.by)).collect();
        let more = uses.len().saturating_sub(NAMED);
        let shown = uses[..uses.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} ({shown}{more})", self.reference)
    }
}

/// By the key that it stands under, or by its own name: `env:API_KEY`, `file:/run/secrets/token`.
fn is_secret(reference: &str, uses: &BTreeSet<Use>) -> bool {
    let own = match reference.split_once(':') {
        Some(("env", name)) => name_is_secret(name),
        Some(("file", path)) => {
            path.contains("secret") || name_is_secret(path.rsplit('/').next().unwrap_or(path))
        }
        _ => false,
    };
    own || uses.iter().any(|at| name_is_secret(&at.key))
}

/// Every text that is a reference, with the key it stands under.
fn collect(value: &Value, key: &str, by: &str, into: &mut References) {
    match value {
        Value::String(text) if is_reference(text) => {
            into.entry(text.clone()).or_default().insert(Use { by: by.into(), key: key.into() });
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, by, into)),
        Value::Object(fields) => fields.iter().for_each(|(key, field)| collect(field, key, by, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand_with_the_name_they_go_by() {
        let settings: Settings = serde_json::from_value(serde_json::json!({
            "agent": [
                { "name": "a", "kind": "process", "options": { "a": ["env:A", "b"], "c": { "API_KEY": "file:/e", "f": 1 } },
                  "probe": [{ "name": "p", "kind": "http", "options": { "headers": { "Authorization": "exec:x y" } } }] },
                { "name": "off", "kind": "process", "enabled": false, "options": { "a": "env:OFF" } },
            ],
            "dependency": [{ "name": "db", "kind": "postgres", "options": { "url": "env:DB_PASSWORD" } }],
        }))
        .expect("settings");
        let found = of(&settings);
        let secret: Vec<_> =
            found.iter().map(|(text, uses)| (text.as_str(), is_secret(text, uses))).collect();
        assert_eq!(
            secret,
            [("env:A", false), ("env:DB_PASSWORD", true), ("exec:x y", true), ("file:/e", true)]
        );
        let followed = Followed {
            reference: "file:/e".into(),
            uses: found["file:/e"].clone(),
            end: Ok(Appraisal::default()),
        };
        assert_eq!(followed.named(), "file:/e (API_KEY of a)");
    }
}
