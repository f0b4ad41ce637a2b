//! The list of checks, by category.
use crate::{
    cli::Ui,
    domain::{Category, Severity},
};
use std::fmt::Write;

/// One line of `check list`.
pub struct CheckRow<'a> {
    pub id: &'a str,
    pub category: Category,
    pub severity: Severity,
    pub weight: u32,
    pub title: &'a str,
    pub how: &'a str,
}

pub fn checks<'a>(ui: &Ui, rows: impl Iterator<Item = CheckRow<'a>>, wide: bool) -> String {
    let mut text = String::new();
    let rows: Vec<_> = rows.collect();
    // Those of the manifest are as long as their authors like.
    let ids = rows.iter().map(|row| row.id.len() + 1).max().unwrap_or(0).max(8);
    for category in Category::ALL {
        let _ = writeln!(text, "{}", ui.paint("1", category.as_str()));
        let mut none = true;
        for row in rows.iter().filter(|row| row.category == category) {
            none = false;
            let gate = if row.severity == Severity::Blocker { "gate" } else { "" };
            let _ = writeln!(text, "  {:<ids$}{gate:<6}{:>3}  {}", row.id, row.weight, row.title);
            if wide {
                let _ = writeln!(text, "{:1$}{2}", "", ids + 13, row.how);
            }
        }
        if none {
            text.push_str("  no check exists for this category yet: it counts as unmeasured\n");
        }
    }
    text
}
