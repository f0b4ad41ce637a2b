//! What somebody answers for, apart from the rest and struck through; and the waivers that speak for nothing.
use super::{
    findings::{body, marks},
    lines::{filled, one_line},
};
use crate::{
    cli::Ui,
    domain::{Finding, Report},
};

/// Nothing where nothing is waived.
pub fn waived(ui: &Ui, report: &Report) -> String {
    let waived = report.waived();
    let Some(without) = report.score_without_waived.filter(|_| !waived.is_empty()) else {
        return waived.iter().map(|finding| format!("\n{}", one(ui, finding))).collect();
    };
    let what = if waived.len() == 1 { "finding is" } else { "findings are" };
    let mut text =
        format!("\n{} {what} waived: the score is {}, and {without} without\n", waived.len(), report.score);
    for finding in waived {
        text.push('\n');
        text.push_str(&one(ui, finding));
    }
    text
}

/// Waivers that have lapsed, and those that no finding needed.
pub fn others(ui: &Ui, report: &Report) -> String {
    let mut text = String::new();
    for (label, waivers) in
        [("no longer waived: ", report.lapsed()), ("waived without need: ", report.idle())]
    {
        if !waivers.is_empty() {
            text.push('\n');
        }
        for waiver in waivers {
            let sentence = one_line(&waiver.sentence(report.judged_at()));
            text.push_str(&filled(label, label.len(), &sentence, ui.width()));
        }
    }
    text
}

fn one(ui: &Ui, finding: &Finding) -> String {
    let head =
        ui.paint("2", &format!("{:<15}", format!("WAIVED {}", finding.outcome.as_str().to_uppercase())));
    // Struck through where the terminal can.
    let title = ui.paint("9", &one_line(&finding.title));
    let mut text = format!("{head}{}  {title}{}\n", one_line(&finding.id), marks(finding));
    if let Some(waived) = &finding.waived {
        text.push_str(&filled("  ", 2, &one_line(&waived.sentence()), ui.width()));
    }
    text + &body(ui, finding)
}
