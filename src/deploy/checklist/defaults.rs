//! What is asked where a manifest has no checklist of its own: all of it is measured, and nobody's word is needed.
use crate::config::{ItemSettings, Settings};
use serde::Deserialize;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct Written {
    item: Vec<ItemSettings>,
}

static SHIPPED: LazyLock<Vec<ItemSettings>> = LazyLock::new(|| {
    let written: Written = toml::from_str(include_str!("defaults.toml"))
        .expect("it ships with the program, and a test reads it");
    written.item
});

/// The items of the manifest, or ours if it has none.
pub fn in_force(settings: &Settings) -> &[ItemSettings] {
    if settings.checklist.items.is_empty() { &SHIPPED } else { &settings.checklist.items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deploy::checklist::{ITEMS, item::is_attested, kind::compile},
        domain::Phase,
    };
    use std::collections::BTreeSet;

    #[test]
    fn what_ships_compiles_needs_nobodys_word_and_has_items_for_every_phase() {
        let settings = Settings::default();
        let shipped = in_force(&settings);
        for item in shipped {
            let compiled =
                compile(&item.kind, &item.options).unwrap_or_else(|| panic!("{} is of no kind", item.id));
            assert!(compiled.is_ok(), "{}: {:?}", item.id, compiled.err());
            assert!(!is_attested(item), "{}", item.id);
        }
        let ids: BTreeSet<&str> = shipped.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids.len(), shipped.len());
        for phase in [Phase::Pre, Phase::Post, Phase::Short, Phase::Extended] {
            assert!(shipped.iter().any(|item| item.phases.contains(&phase)), "{phase}");
        }
        let kinds: BTreeSet<&str> = shipped.iter().map(|item| item.kind.as_str()).collect();
        for kind in ["level", "leak", "impact", "restarts", "steadiness"] {
            assert!(kinds.contains(kind) && ITEMS.iter().any(|entry| entry.kind.name == kind), "{kind}");
        }
    }

    #[test]
    fn one_item_of_ones_own_takes_the_place_of_all() {
        let item = serde_json::json!({"id": "a", "title": "t", "kind": "agents", "group": "database"});
        let settings =
            serde_json::from_value(serde_json::json!({"checklist": {"item": [item]}})).expect("settings");
        assert_eq!(in_force(&settings).len(), 1);
    }
}
