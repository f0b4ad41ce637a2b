//! What is said first: the verdict, the score and why, the demands, the categories, the baseline.
use super::{
    lines::{columns, filled, one_line, rows},
    verdict::verdict_style,
};
use crate::{
    cli::{Ui, escape},
    domain::{Report, moment, percent},
};
use comfy_table::CellAlignment;

pub fn head(ui: &Ui, report: &Report) -> String {
    let verdict = ui.paint(verdict_style(report.verdict), report.verdict.as_str());
    let partial = if report.partial { " (partial run: it answers for what it ran alone)" } else { "" };
    let without = report
        .score_without_waived
        .map(|score| format!(" ({score} without what is waived)"))
        .unwrap_or_default();
    let as_of = report.as_of.map(|day| format!(" · judged as of {}", moment(day))).unwrap_or_default();
    let mut text = format!(
        "{verdict}{partial}  score {} of 100{without}, bar {}, coverage {}\n\
         run {} · {} · {} · {} checks in {:.1} s · agentd {} · configuration {}{as_of}\n",
        report.score,
        report.bar,
        percent(report.coverage),
        report.run,
        escape(&report.environment),
        moment(report.started_at),
        report.findings.len(),
        report.took_ms / 1e3,
        escape(&report.version),
        escape(&report.config_digest.chars().take(12).collect::<String>()),
    );
    text.push_str(&labelled(ui, "because", &report.reasons));
    text.push_str(&labelled(ui, "not met", &report.unmet));
    text
}

pub fn categories(report: &Report) -> String {
    let mut table = columns(&["CATEGORY", "SCORE", "WEIGHT", "COVERAGE", "PASSED"]);
    // A partial run is about the categories it asked.
    for c in report.categories.iter().filter(|c| c.asked || !report.partial) {
        let (score, coverage) = match (c.asked, c.score) {
            (false, _) => ("not asked".into(), "-".into()),
            (true, None) => ("n/a".into(), "-".into()),
            (true, Some(interval)) => (interval.to_string(), percent(c.coverage)),
        };
        let passed = format!("{}/{}", c.passed, c.checks);
        table.add_row([c.category.to_string(), score, c.weight.to_string(), coverage, passed]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    rows(&table)
}

/// Against the baseline, if there was one.
pub fn comparison(ui: &Ui, report: &Report) -> String {
    let Some(baseline) = &report.baseline else { return String::new() };
    let mut text = format!("\n{}\n", one_line(&baseline.sentence()));
    for (word, ids) in baseline.moves() {
        text.push_str(&filled(&format!("  {word:<10} "), 13, &one_line(&ids.join(" ")), ui.width()));
    }
    text
}

/// Sentences one below the other, the first with what they are.
pub fn labelled(ui: &Ui, label: &str, sentences: &[String]) -> String {
    let mut text = String::new();
    for (index, sentence) in sentences.iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        text.push_str(&filled(&format!("{label:<9}"), 9, &one_line(sentence), ui.width()));
    }
    text
}
