//! A run of the checklist as it is read before the switch is thrown: go or no-go, why, then item by item.
use super::{findings, lines::one_line, verdict::verdict_style};
use crate::{
    cli::{Ui, escape},
    domain::{Category, Checklist, Finding, Outcome, Report, Severity, moment},
};
use std::fmt::Write;

pub fn page(ui: &Ui, report: &Report, list: &Checklist, wide: bool) -> String {
    let mut text = head(ui, report, list);
    for group in Category::ALL {
        let mut mine = report.findings.iter().filter(|finding| finding.category == group).peekable();
        if mine.peek().is_some() {
            let _ = writeln!(text, "\n{}", ui.paint("1", group.as_str()));
        }
        for finding in mine {
            text.push_str(&item(ui, finding, wide));
        }
    }
    if !report.not_run.is_empty() {
        let _ = writeln!(text, "\nnot asked: {}", one_line(&report.not_run.join(" ")));
    }
    text
}

fn head(ui: &Ui, report: &Report, list: &Checklist) -> String {
    let verdict = ui.paint(verdict_style(report.verdict), report.verdict_word());
    let partial = if report.partial { " (partial run: it answers for what it asked alone)" } else { "" };
    let release =
        list.release.as_deref().map(|name| format!(" of release {}", escape(name))).unwrap_or_default();
    let as_of = report.as_of.map(|day| format!(" · judged as of {}", moment(day))).unwrap_or_default();
    let mut text = format!(
        "{verdict}{partial}  phase {}{release} in {}: {}\nrun {} · {} · {:.1} s · agentd {} · configuration {}{as_of}\n",
        list.phase,
        escape(&report.environment),
        counts(report),
        report.run,
        moment(report.started_at),
        report.took_ms / 1e3,
        escape(&report.version),
        escape(&report.config_digest.chars().take(12).collect::<String>()),
    );
    if let Some(soak) = &list.soak {
        let window = format!("{} ({} to {})", soak.progress(), moment(soak.since), moment(soak.until));
        text.push_str(&super::head::labelled(ui, "window ", &[window]));
    }
    text.push_str(&super::head::labelled(ui, "because", &report.reasons));
    text
}

fn counts(report: &Report) -> String {
    let of = |is: fn(&Finding) -> bool| report.findings.iter().filter(|finding| is(finding)).count();
    let parts = [
        (of(|f| f.outcome == Outcome::Pass), "hold"),
        (of(|f| f.outcome == Outcome::Fail), "do not"),
        (of(|f| f.outcome == Outcome::Warn), "are doubtful"),
        (of(|f| !f.outcome.is_measured() && f.outcome != Outcome::NotApplicable), "are unmeasured"),
        (of(|f| f.outcome == Outcome::NotApplicable), "do not apply"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!("of {} items {}", report.findings.len(), told.join(", "))
}

fn item(ui: &Ui, finding: &Finding, wide: bool) -> String {
    let quiet = matches!(finding.outcome, Outcome::Pass | Outcome::NotApplicable);
    let word = finding.outcome.as_str();
    let word = if quiet { word.to_owned() } else { word.to_uppercase() };
    let outcome = ui.paint(findings::style(finding.outcome), &format!("  {word:<14}  "));
    let advised = if finding.severity == Severity::Blocker { "" } else { "  [advised]" };
    let mut text = format!("{outcome}{}  {}{advised}\n", one_line(&finding.id), one_line(&finding.title));
    if !quiet || wide {
        for line in findings::body(ui, finding).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}
