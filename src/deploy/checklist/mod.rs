//! What must hold before and after a deployment, asked item by item; and who answers for what no machine can check.
mod agents;
mod alerts;
mod attest;
mod attesting;
mod backup;
mod checks;
mod defaults;
mod errors;
#[cfg(test)]
mod fixture;
mod item;
mod kind;
mod rehearsed;
mod service;
mod soak;
mod validated;

pub use attesting::{AttestRequest, AttestationEntry, LARGEST_EVIDENCE, Shown};
pub use backup::{Backups, LastBackup};
pub use item::ItemInfo;
use kind::ItemKind;
pub use service::{CheckRequest, ChecklistParts, Checklists, WindowInfo};

/// Every kind of the checklist alone, in the order that the documentation lists them. A new one is one file and one
/// line here.
const ITEMS: &[ItemKind] = &[
    ItemKind::of::<checks::Checks>(),
    ItemKind::of::<validated::Validated>(),
    ItemKind::of::<agents::Agents>(),
    ItemKind::of::<errors::Errors>(),
    ItemKind::of::<backup::Backup>(),
    ItemKind::of::<rehearsed::OfReturn>(),
    ItemKind::of::<alerts::Alerts>(),
    ItemKind::of::<attest::Attest>(),
    ItemKind::of::<soak::Level>(),
    ItemKind::of::<soak::Leak>(),
    ItemKind::of::<soak::Impact>(),
    ItemKind::of::<soak::Restarts>(),
    ItemKind::of::<soak::Steadiness>(),
];

/// The same, for reading a configuration.
pub fn kinds() -> Vec<crate::config::Kind> {
    ITEMS.iter().map(|entry| entry.kind).collect()
}
