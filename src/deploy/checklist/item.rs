//! From an item as it is written to what the engine asks.
use super::{
    attest::Attest,
    defaults::in_force,
    kind::{Around, Ask, Look, compile},
};
use crate::{
    config::{ItemSettings, Necessity, Settings},
    domain::{Category, Digest, Phase},
    readiness::{CheckInfo, Declared, Found, declare},
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::time::timeout;

/// An item as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemInfo {
    pub id: String,
    pub title: String,
    pub group: Category,
    pub kind: String,
    pub phases: Vec<Phase>,
    pub required: bool,
    /// Nobody but a person can answer for it.
    pub attested: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Items of a phase in the order of groups, within one as they are written.
pub fn items(settings: &Settings, phase: Phase, around: &Around) -> Vec<Arc<Declared>> {
    let mut items: Vec<&ItemSettings> =
        in_force(settings).iter().filter(|item| item.phases.contains(&phase)).collect();
    items.sort_by_key(|item| item.group);
    items.into_iter().map(|item| prepare(item, around)).collect()
}

pub fn info(item: &ItemSettings) -> ItemInfo {
    ItemInfo {
        id: item.id.clone(),
        title: item.title.clone(),
        group: item.group,
        kind: item.kind.clone(),
        phases: item.phases.clone(),
        required: item.severity == Necessity::Required,
        attested: is_attested(item),
        owner: item.owner.clone(),
        hint: item.hint.clone(),
    }
}

pub fn is_attested(item: &ItemSettings) -> bool {
    item.kind == Attest::NAME
}

/// Of what somebody reads who answers for it. Another text is another item.
pub fn fingerprint(item: &ItemSettings) -> String {
    let read = serde_json::json!([item.id, item.title, item.kind, item.options]).to_string();
    let hash = digest(&SHA256, read.as_bytes());
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// In hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Digest(hash).to_string()
}

fn prepare(item: &ItemSettings, around: &Around) -> Arc<Declared> {
    let check = item.as_check();
    let Some(compiled) = compile(&item.kind, &item.options) else {
        return declare(&check, item.timeout.0);
    };
    let around = Around { item: item.id.clone(), fingerprint: fingerprint(item), ..around.clone() };
    let about = super::ITEMS.iter().find(|entry| entry.kind.name == item.kind).map(|entry| entry.kind.about);
    let info = CheckInfo {
        id: check.id,
        title: check.title,
        category: check.category,
        severity: check.severity,
        weight: check.weight,
        why: "the checklist asks for it".into(),
        how: format!("kind {}: {}", item.kind, about.unwrap_or_default()),
        fix: item.hint.clone().unwrap_or_else(|| "mend what the evidence names".into()),
        exercised: false,
        declared: true,
    };
    let limit = item.timeout;
    let hint = item.hint.clone().or_else(|| is_attested(item).then(|| word(&item.id)));
    let quiet = compiled.as_ref().is_ok_and(|ask| ask.is_quiet());
    let run: crate::readiness::Run = match compiled {
        Ok(ask) => {
            let both: Arc<(Box<dyn Ask>, Around)> = Arc::new((ask, around));
            Box::new(move |evidence| {
                let both = Arc::clone(&both);
                Box::pin(async move {
                    let answer = timeout(limit.0, both.0.ask(evidence, &both.1)).await;
                    answer.unwrap_or_else(|_| Found::timeout(format!("no answer within {limit}")))
                })
            })
        }
        // The manifest was verified; what gets here all the same was not asked.
        Err(problems) => {
            let first = problems.first().map_or(String::new(), |p| format!(": {} {}", p.pointer, p.message));
            Box::new(move |_| {
                let found = Found::error(format!("the item is misconfigured{first}"));
                Box::pin(async move { found })
            })
        }
    };
    Arc::new(Declared { info, hint, longest: item.timeout.0, quiet, run })
}

fn word(id: &str) -> String {
    format!("`agentctl deploy-check attest {id} --by NAME --note TEXT`, if you have seen it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::checklist::fixture;
    use serde_json::json;

    fn item(title: &str, options: serde_json::Value) -> ItemSettings {
        let written = json!({
            "id": "restore-read", "title": title, "kind": "attest", "group": "database", "options": options,
        });
        serde_json::from_value(written).expect("an item")
    }

    #[test]
    fn another_text_is_another_item_and_another_owner_is_not() {
        let first = fingerprint(&item("the plan was read", json!({})));
        assert_eq!(first.len(), 16);
        assert_ne!(first, fingerprint(&item("the plan was tried", json!({}))));
        assert_ne!(first, fingerprint(&item("the plan was read", json!({"expires": "1d"}))));
        let owned = ItemSettings { owner: Some("ana".into()), ..item("the plan was read", json!({})) };
        assert_eq!(first, fingerprint(&owned));
    }

    #[test]
    fn a_phase_has_its_own_items_group_by_group() {
        let settings: Settings = serde_json::from_value(json!({"checklist": {"item": [
            {"id": "a", "title": "t", "kind": "alerts", "group": "security"},
            {"id": "b", "title": "t", "kind": "tcp", "group": "database", "phases": ["pre", "post"], "options": {"port": 1}},
            {"id": "c", "title": "t", "kind": "attest", "group": "database", "phases": ["post"]},
            {"id": "d", "title": "t", "kind": "agents", "group": "database"},
        ]}}))
        .expect("settings");
        let ids = |phase| {
            let items = items(&settings, phase, &fixture::around(""));
            items.iter().map(|item| item.info.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            (ids(Phase::Pre), ids(Phase::Post)),
            (vec!["b".into(), "d".into(), "a".into()], vec!["b".into(), "c".into()])
        );
    }
}
