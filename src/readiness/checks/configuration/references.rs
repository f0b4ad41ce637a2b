//! Every secret reference of the manifest is followed to its end, and what stands there is thrown away.
use crate::{
    config::{is_reference, resolve},
    readiness::{Evidence, Found, Proof},
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many are resolved at once: some start a program.
const AT_ONCE: usize = 16;

pub async fn resolve_all(evidence: &Evidence) -> Found {
    let mut references = BTreeSet::new();
    for agent in evidence.settings.agents.iter().filter(|agent| agent.enabled) {
        collect(&agent.options, &mut references);
        for probe in &agent.probes {
            collect(&probe.options, &mut references);
        }
    }
    for dependency in &evidence.settings.dependencies {
        collect(&dependency.options, &mut references);
    }
    let nowhere = format!("env:AGENTD_NOWHERE_{}", fastrand::u64(..));
    let refused = resolve(&nowhere).await.is_err();
    let tries = references.into_iter().map(|reference| async move {
        let why = resolve(&reference).await.err().map(|fault| fault.to_string());
        (reference, why)
    });
    let tried: Vec<_> = stream::iter(tries).buffered(AT_ONCE).collect().await;
    judge_references(refused, &tried)
}

fn judge_references(nowhere_refused: bool, tried: &[(String, Option<String>)]) -> Found {
    let mut proof = Proof::default();
    proof.holds(
        nowhere_refused,
        format!("a reference to nothing was {}", if nowhere_refused { "refused" } else { "taken" }),
    );
    for (reference, why) in tried {
        match why {
            None => proof.holds(true, format!("{reference}: has a value")),
            Some(why) => proof.holds(false, format!("{reference}: {why}")),
        };
    }
    proof.judge(format!("{} references resolve", tried.len()))
}

/// Every text in `options` that is a reference.
fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_reference(text) => {
            into.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_reference_that_leads_nowhere_is_found() {
        let tried = |why: Option<&str>| vec![("env:KEY".to_owned(), why.map(ToOwned::to_owned))];
        assert_eq!(judge_references(true, &[]).outcome, Outcome::Pass);
        assert_eq!(judge_references(true, &tried(None)).outcome, Outcome::Pass);
        assert_eq!(judge_references(true, &tried(Some("not set"))).outcome, Outcome::Fail);
        assert_eq!(
            judge_references(false, &tried(None)).outcome,
            Outcome::Fail,
            "a resolver that takes anything"
        );
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        let mut found = BTreeSet::new();
        let options = serde_json::json!({ "a": ["env:A", "b"], "c": { "d": "file:/e", "f": 1 } });
        collect(&options, &mut found);
        assert!(found.iter().map(String::as_str).eq(["env:A", "file:/e"]));
    }
}
