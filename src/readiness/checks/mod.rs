//! The categories in print order, each with its checks. A new check is a function and its entry in its file.
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
    Section { category: Category::Database, checks: &[] },
    Section { category: Category::HealthMonitoring, checks: &[] },
    Section { category: Category::Configuration, checks: &[] },
    Section { category: Category::AgentOperations, checks: &[] },
    Section { category: Category::Performance, checks: &[] },
    Section { category: Category::Security, checks: &[] },
];

/// Every check, in print order.
pub fn all() -> impl Iterator<Item = &'static Check> {
    CATEGORIES.iter().flat_map(|section| section.checks)
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
            for check in section.checks {
                let id = check.id;
                assert!(seen.insert(id), "{id} twice");
                assert_eq!(check.category, section.category, "{id}");
                assert_eq!(check.exercised, check.severity == Severity::Blocker, "{id}");
                assert!(check.weight > 0, "{id}");
                for text in [check.title, check.why, check.how, check.fix] {
                    assert!(!text.is_empty(), "{id} does not say enough");
                }
            }
        }
    }
}
