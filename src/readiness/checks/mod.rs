//! The categories in print order, each with its checks. A new check is a function and its entry in its file.
mod agent_operations;
mod authentication;
mod configuration;
mod database;
mod error_handling;
mod health_monitoring;
mod performance;
mod security;

use super::Check;
use crate::domain::Category;
pub use security::way_to;

pub struct Section {
    pub category: Category,
    /// In groups, as their files have them. Empty: no check exists yet, and the category is unmeasured.
    pub checks: &'static [&'static [Check]],
}

impl Section {
    /// Its checks, in print order.
    pub fn all(&self) -> impl Iterator<Item = &'static Check> + use<> {
        self.checks.iter().copied().flatten()
    }
}

pub const CATEGORIES: &[Section] = &[
    Section { category: Category::ErrorHandling, checks: &[error_handling::CHECKS] },
    Section { category: Category::Authentication, checks: authentication::CHECKS },
    Section { category: Category::Database, checks: &[database::CHECKS] },
    Section { category: Category::HealthMonitoring, checks: &[health_monitoring::CHECKS] },
    Section { category: Category::Configuration, checks: &[configuration::CHECKS] },
    Section { category: Category::AgentOperations, checks: &[agent_operations::CHECKS] },
    Section { category: Category::Performance, checks: &[performance::CHECKS] },
    Section { category: Category::Security, checks: &[security::CHECKS] },
];

/// Every check, in print order.
pub fn all() -> impl Iterator<Item = &'static Check> {
    CATEGORIES.iter().flat_map(Section::all)
}

/// How one check was seen to pass and to object. Every check has one, in the file of its function.
#[cfg(test)]
pub struct Saboteur {
    /// The check's id.
    pub of: &'static str,
    pub at_work: fn() -> futures_util::future::BoxFuture<'static, Tried>,
}

/// What a check said of what it guards, whole and broken.
#[cfg(test)]
#[derive(Default)]
pub struct Tried {
    pub sound: Vec<super::Found>,
    /// What was broken, and what the check said then.
    pub broken: Vec<(&'static str, super::Found)>,
}

/// Scratch ground in a directory of its own, for the tests of the checks.
#[cfg(test)]
fn scratch_ground() -> (tempfile::TempDir, super::Ground) {
    let base = tempfile::tempdir().expect("a directory");
    let ground = super::Ground::new(base.path().join("scratch"), crate::resilience::Clock::system());
    (base, ground)
}

/// What an exercise says of a control that is sound, and of each that is broken. It must leave nothing behind.
#[cfg(test)]
async fn tried<C>(
    exercise: impl AsyncFn(&super::Ground, C) -> super::Found,
    sound: C,
    broken: impl IntoIterator<Item = (&'static str, C)>,
) -> Tried {
    let (_base, ground) = scratch_ground();
    let mut tried = Tried { sound: vec![exercise(&ground, sound).await], broken: Vec::new() };
    for (what, control) in broken {
        tried.broken.push((what, exercise(&ground, control).await));
    }
    assert!(ground.close(std::time::Duration::from_secs(60)).await, "something scratch is left");
    tried
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Outcome, Severity};
    use futures_util::{StreamExt, stream};
    use std::collections::BTreeSet;

    /// Every category's saboteurs.
    const SABOTEURS: &[&[&[Saboteur]]] = &[
        error_handling::SABOTEURS,
        authentication::SABOTEURS,
        &[database::SABOTEURS],
        &[health_monitoring::SABOTEURS],
        configuration::SABOTEURS,
        &[agent_operations::SABOTEURS],
        &[performance::SABOTEURS],
        security::SABOTEURS,
    ];
    /// How many saboteurs are at work at once: each may start processes.
    const AT_ONCE: usize = 4;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_check_passes_what_is_sound_and_objects_to_what_is_broken() {
        let saboteurs = || SABOTEURS.iter().copied().flatten().copied().flatten();
        for saboteur in saboteurs() {
            assert!(all().any(|check| check.id == saboteur.of), "{} is no check", saboteur.of);
        }
        for check in all() {
            let mine = saboteurs().filter(|saboteur| saboteur.of == check.id).count();
            assert_eq!(mine, 1, "saboteurs of {}", check.id);
        }
        let tried = stream::iter(saboteurs()).map(|s| async { (s.of, (s.at_work)().await) });
        let mut wrong = Vec::new();
        for (id, tried) in tried.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            if tried.sound.is_empty() || tried.broken.is_empty() {
                wrong.push(format!("{id} was not tried both ways"));
            }
            let lied = tried.sound.iter().filter(|found| found.outcome != Outcome::Pass);
            wrong.extend(lied.map(|found| format!("{id} objects to what is sound: {found:?}")));
            let blind = tried
                .broken
                .iter()
                .filter(|(_, found)| !matches!(found.outcome, Outcome::Fail | Outcome::Warn));
            wrong.extend(blind.map(|(what, found)| format!("{id} does not object to {what}: {found:?}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn ids_are_unique_and_every_exercised_control_is_a_gate() {
        assert!(CATEGORIES.iter().map(|section| section.category).eq(Category::ALL));
        let mut seen = BTreeSet::new();
        for section in CATEGORIES {
            let exercised = section.all().filter(|check| check.exercised).count();
            assert!(section.checks.is_empty() || exercised >= 3, "{} exercises too little", section.category);
            for check in section.all() {
                let id = check.id;
                assert!(seen.insert(id), "{id} twice");
                assert_eq!(check.category, section.category, "{id}");
                assert!(!check.exercised || check.severity == Severity::Blocker, "{id}");
                assert!(check.weight > 0, "{id}");
                for text in [check.title, check.why, check.how, check.fix] {
                    assert!(!text.is_empty(), "{id} does not say enough");
                }
            }
        }
    }
}
