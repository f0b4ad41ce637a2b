//! The categories in print order, each with its checks. A new check is a function and its entry in its file.
mod agent_operations;
mod configuration;
mod database;
mod health_monitoring;
mod performance;
mod security;

use super::Check;
use crate::domain::Category;

pub struct Section {
    pub category: Category,
    /// Empty: no check exists yet, and the category is unmeasured.
    pub checks: &'static [Check],
}

pub const CATEGORIES: &[Section] = &[
    Section { category: Category::ErrorHandling, checks: &[] },
    Section { category: Category::Authentication, checks: &[] },
    Section { category: Category::Database, checks: database::CHECKS },
    Section { category: Category::HealthMonitoring, checks: health_monitoring::CHECKS },
    Section { category: Category::Configuration, checks: configuration::CHECKS },
    Section { category: Category::AgentOperations, checks: agent_operations::CHECKS },
    Section { category: Category::Performance, checks: performance::CHECKS },
    Section { category: Category::Security, checks: security::CHECKS },
];

/// Every check, in print order.
pub fn all() -> impl Iterator<Item = &'static Check> {
    CATEGORIES.iter().flat_map(|section| section.checks)
}

/// Scratch ground in a directory of its own, for the tests of the checks.
#[cfg(test)]
fn scratch_ground() -> (tempfile::TempDir, super::Ground) {
    let base = tempfile::tempdir().expect("a directory");
    let ground = super::Ground::new(base.path().join("scratch"), crate::resilience::Clock::system());
    (base, ground)
}

/// An exercise must pass a control that is sound, fail each that is broken, and leave nothing behind. Returns what it
/// found of the broken ones.
#[cfg(test)]
async fn tells_apart<C>(
    exercise: impl AsyncFn(&super::Ground, C) -> super::Found,
    sound: C,
    broken: impl IntoIterator<Item = C>,
) -> Vec<super::Found> {
    use crate::domain::Outcome;
    let (_base, ground) = scratch_ground();
    let found = exercise(&ground, sound).await;
    assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
    let mut all = Vec::new();
    for control in broken {
        let found = exercise(&ground, control).await;
        assert_eq!(found.outcome, Outcome::Fail, "broken control {}: {found:?}", all.len() + 1);
        all.push(found);
    }
    assert!(ground.close(std::time::Duration::from_secs(60)).await, "something scratch is left");
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Severity;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_every_exercised_control_is_a_gate() {
        assert!(CATEGORIES.iter().map(|section| section.category).eq(Category::ALL));
        let mut seen = BTreeSet::new();
        for section in CATEGORIES {
            let exercised = section.checks.iter().filter(|check| check.exercised).count();
            assert!(section.checks.is_empty() || exercised >= 3, "{} exercises too little", section.category);
            for check in section.checks {
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
