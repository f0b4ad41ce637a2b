//! One finding: its outcome, what decided it, what was seen, what to do.
use super::lines::{filled, one_line};
use crate::{
    cli::Ui,
    domain::{Finding, Outcome, Severity},
};

pub fn finding(ui: &Ui, finding: &Finding) -> String {
    let outcome =
        ui.paint(style(finding.outcome), &format!("{:<15}", finding.outcome.as_str().to_uppercase()));
    format!(
        "{outcome}{}  {}{}\n{}",
        one_line(&finding.id),
        one_line(&finding.title),
        marks(finding),
        body(ui, finding)
    )
}

/// What is to be known of a check beside its title.
pub fn marks(finding: &Finding) -> String {
    let gate = if finding.severity == Severity::Blocker { "  [gate]" } else { "" };
    let declared = if finding.declared { "  [declared]" } else { "" };
    format!("{gate}{declared}")
}

/// What decided it, the evidence, the hint.
pub fn body(ui: &Ui, finding: &Finding) -> String {
    let width = ui.width();
    let mut text = filled("  ", 2, &one_line(&finding.summary), width);
    for line in &finding.evidence {
        text.push_str(&filled("    · ", 6, &one_line(line), width));
    }
    if let Some(hint) = &finding.hint {
        text.push_str(&filled(&format!("  {} ", ui.paint("36", "try:")), 7, &one_line(hint), width));
    }
    text
}

pub fn style(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "32",
        Outcome::Fail => "1;31",
        Outcome::NotApplicable => "2",
        Outcome::Warn | Outcome::Error | Outcome::Timeout | Outcome::Skipped => "33",
    }
}
