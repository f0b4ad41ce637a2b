//! The whole report in the order in which it is read at night: the verdict, why, what is in trouble, what is waived.
use super::{checklist, findings, head, lines::filled, waivers};
use crate::{cli::Ui, domain::Report};
use std::fmt::Write;

/// Where a list of ids is broken when it goes to no terminal.
const UNKNOWN_WIDTH: usize = 100;

/// More checks than these are counted, not named: a run of one check is asked about that one.
const FEW: usize = 20;

/// What did not pass, worst first; `wide` shows what passed too.
pub fn report(ui: &Ui, report: &Report, wide: bool) -> String {
    if let Some(list) = &report.checklist {
        return checklist::page(ui, report, list, wide);
    }
    let mut text = head::head(ui, report);
    text.push('\n');
    text.push_str(&head::categories(report));
    text.push_str(&head::comparison(ui, report));
    let quiet = report.quiet();
    for finding in report.trouble().into_iter().chain(quiet.iter().copied().filter(|_| wide)) {
        text.push('\n');
        text.push_str(&findings::finding(ui, finding));
    }
    text.push_str(&waivers::waived(ui, report));
    text.push_str(&waivers::others(ui, report));
    if !report.not_run.is_empty() {
        text.push('\n');
        let width = ui.width().or(Some(UNKNOWN_WIDTH));
        let what = match report.not_run.len() {
            many if many > FEW && !wide => format!("{many} checks; -o wide names them"),
            _ => report.not_run.join(" "),
        };
        text.push_str(&filled("not run: ", 9, &what, width));
    }
    if !wide && !quiet.is_empty() {
        let (checks, them) = if quiet.len() == 1 {
            ("check passed or does not apply", "it with its")
        } else {
            ("checks passed or do not apply", "them with their")
        };
        let _ = writeln!(text, "\n{} {checks}: -o wide shows {them} evidence", quiet.len());
    }
    text
}
