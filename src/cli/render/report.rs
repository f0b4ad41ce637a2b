//! Readiness: the report, the list of runs, the list of checks, and progress while a run lasts.
use crate::{
    cli::{Exit, Ui, escape},
    domain::{Category, Finding, Interval, Outcome, Report, RunState, RunSummary, Severity, Verdict},
};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{fmt::Write, io::IsTerminal};

/// Where a list of ids is broken when it goes to no terminal.
const UNKNOWN_WIDTH: usize = 100;

/// READY and PARTIAL 0, NOT READY 1, INCONCLUSIVE 3.
pub fn exit_of(report: &Report) -> Exit {
    match report.verdict {
        Verdict::Ready | Verdict::Partial => Exit::Ok,
        Verdict::NotReady => Exit::Negative,
        Verdict::Inconclusive => Exit::Inconclusive,
    }
}

/// The verdict first, then the categories, then what did not pass, worst first; `wide` shows what passed too.
pub fn report(ui: &Ui, report: &Report, wide: bool) -> String {
    let mut text = head(ui, report);
    text.push('\n');
    text.push_str(&categories(report));
    let mut shown: Vec<&Finding> = report.findings.iter().filter(|f| wide || is_trouble(f)).collect();
    shown.sort_by_key(|f| (rank(f.outcome), f.severity)); // stable: print order within
    for finding in shown {
        text.push('\n');
        text.push_str(&of_finding(ui, finding));
    }
    if !report.not_run.is_empty() {
        text.push('\n');
        let width = ui.width().or(Some(UNKNOWN_WIDTH));
        text.push_str(&filled("not run: ", 9, &report.not_run.join(" "), width));
    }
    let quiet = report.findings.iter().filter(|f| !is_trouble(f)).count();
    if !wide && quiet > 0 {
        let (checks, them) = if quiet == 1 {
            ("check passed or does not apply", "it with its")
        } else {
            ("checks passed or do not apply", "them with their")
        };
        let _ = writeln!(text, "\n{quiet} {checks}: -o wide shows {them} evidence");
    }
    text
}

/// Newest first, a line each.
pub fn runs(runs: &[RunSummary]) -> String {
    if runs.is_empty() {
        return "no validation has run yet: `agentctl validate`\n".into();
    }
    let mut table = columns(&["RUN", "STARTED", "ENVIRONMENT", "VERDICT", "SCORE", "COVERAGE"]);
    for run in runs {
        let verdict = match (run.state, run.verdict) {
            (RunState::Finished, Some(verdict)) => verdict.as_str(),
            (RunState::Finished, None) => "-",
            (RunState::Running, _) => "running",
            (RunState::Interrupted, _) => "interrupted",
        };
        table.add_row([
            run.run.to_string(),
            run.started_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            escape(&run.environment),
            format!("{verdict}{}", if run.partial { " (partial)" } else { "" }),
            run.score.map_or_else(|| "-".into(), span),
            run.coverage.map_or_else(|| "-".into(), percent),
        ]);
    }
    lines(&table)
}

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

/// Progress on stderr while a run lasts: only where somebody looks, and not with --quiet.
pub struct Watcher {
    bar: ProgressBar,
    notable: u32,
}

impl Watcher {
    pub fn new(ui: &Ui) -> Self {
        let watched = !ui.quiet && std::io::stderr().is_terminal();
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, notable: 0 }
    }

    pub fn show(&mut self, total: u32, findings: &[Finding]) {
        self.bar.set_length(u64::from(total));
        for finding in findings {
            self.bar.inc(1);
            self.notable += u32::from(is_trouble(finding));
            let outcome = finding.outcome.as_str();
            self.bar.set_message(format!(
                "{} {outcome}: {} ({} not passed)",
                finding.id, finding.title, self.notable
            ));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn head(ui: &Ui, report: &Report) -> String {
    let verdict = ui.paint(style_of(report.verdict), report.verdict.as_str());
    let partial = if report.partial { " (partial run: it answers for what it ran alone)" } else { "" };
    let mut text = format!(
        "{verdict}{partial}  score {} of 100, bar {}, coverage {}\nrun {} · {} · {} · {} checks in {:.1} s · agentd {} · configuration {}\n",
        span(report.score),
        report.bar,
        percent(report.coverage),
        report.run,
        escape(&report.environment),
        report.started_at.strftime("%Y-%m-%d %H:%M:%SZ"),
        report.findings.len(),
        report.took_ms / 1e3,
        escape(&report.version),
        escape(&report.config_digest.chars().take(12).collect::<String>()),
    );
    for (index, reason) in report.reasons.iter().enumerate() {
        let label = if index == 0 { "because" } else { "" };
        text.push_str(&filled(&format!("{label:<9}"), 9, &one_line(reason), ui.width()));
    }
    text
}

fn categories(report: &Report) -> String {
    let mut table = columns(&["CATEGORY", "SCORE", "WEIGHT", "COVERAGE", "PASSED"]);
    // A partial run is about the categories it asked.
    for c in report.categories.iter().filter(|c| c.asked || !report.partial) {
        let (score, coverage) = match (c.asked, c.score) {
            (false, _) => ("not asked".into(), "-".into()),
            (true, None) => ("n/a".into(), "-".into()),
            (true, Some(interval)) => (span(interval), percent(c.coverage)),
        };
        let passed = format!("{}/{}", c.passed, c.checks);
        table.add_row([c.category.to_string(), score, c.weight.to_string(), coverage, passed]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    lines(&table)
}

fn of_finding(ui: &Ui, finding: &Finding) -> String {
    let style = match finding.outcome {
        Outcome::Pass => "32",
        Outcome::Fail => "1;31",
        Outcome::NotApplicable => "2",
        Outcome::Warn | Outcome::Error | Outcome::Timeout | Outcome::Skipped => "33",
    };
    let outcome = ui.paint(style, &format!("{:<15}", finding.outcome.as_str().to_uppercase()));
    let gate = if finding.severity == Severity::Blocker { "  [gate]" } else { "" };
    let mut text = format!("{outcome}{}  {}{gate}\n", escape(&finding.id), escape(&finding.title));
    let width = ui.width();
    text.push_str(&filled("  ", 2, &one_line(&finding.summary), width));
    for line in &finding.evidence {
        text.push_str(&filled("    · ", 6, &one_line(line), width));
    }
    if let Some(hint) = &finding.hint {
        text.push_str(&filled(&format!("  {} ", ui.paint("36", "try:")), 7, &one_line(hint), width));
    }
    text
}

/// `text` after `label`, which is `indent` columns wide; further lines are indented as much. Without a width it is
/// one line, which is what a pipe wants; a word that is longer than a line keeps its line to itself.
fn filled(label: &str, indent: usize, text: &str, width: Option<usize>) -> String {
    let Some(room) = width.map(|width| width.saturating_sub(indent).max(20)) else {
        return format!("{label}{text}\n");
    };
    let (mut filled, mut used) = (label.to_owned(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            let _ = write!(filled, "\n{:indent$}", "");
            used = 0;
        }
        if used > 0 {
            filled.push(' ');
            used += 1;
        }
        filled.push_str(word);
        used += length;
    }
    filled.push('\n');
    filled
}

/// Untrusted text as one harmless line.
fn one_line(text: &str) -> String {
    escape(text).replace(['\n', '\t'], " ")
}

fn is_trouble(finding: &Finding) -> bool {
    !matches!(finding.outcome, Outcome::Pass | Outcome::NotApplicable)
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fail => 0,
        Outcome::Error => 1,
        Outcome::Timeout => 2,
        Outcome::Skipped => 3,
        Outcome::Warn => 4,
        Outcome::Pass => 5,
        Outcome::NotApplicable => 6,
    }
}

fn style_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ready => "1;32",
        Verdict::NotReady => "1;31",
        Verdict::Inconclusive => "1;33",
        Verdict::Partial => "1;36",
    }
}

/// `83.05`, or `60–100` where something is not known.
fn span(interval: Interval) -> String {
    let short = |value: f64| {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let (low, high) = (short(interval.low), short(interval.high));
    if low == high { low } else { format!("{low}–{high}") }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).floor())
}

fn columns(names: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(names.iter().copied());
    table
}

fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::ColorChoice,
        domain::{CategoryScore, RunId},
    };

    fn finding(id: &str, outcome: Outcome, evidence: &str) -> Finding {
        Finding {
            id: id.into(),
            title: "a control".into(),
            category: Category::Database,
            severity: Severity::Blocker,
            weight: 1,
            outcome,
            summary: format!("it is {}", outcome.as_str()),
            evidence: vec![evidence.into()],
            hint: (outcome != Outcome::Pass).then(|| "mend it".into()),
            exercised: true,
            declared: false,
            affected: Vec::new(),
            waived: None,
            took_ms: 1.5,
        }
    }

    fn sample(verdict: Verdict) -> Report {
        Report {
            schema_version: 1,
            run: RunId(7),
            environment: "staging".into(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            took_ms: 6543.2,
            version: "0.1.0".into(),
            config_digest: "0123456789abcdef".into(),
            bar: 85.0,
            partial: false,
            verdict,
            reasons: vec!["gate DB-002 failed".into(), "category security is unmeasured".into()],
            score: Interval { low: 60.0, high: 83.05 },
            coverage: 0.7695,
            categories: vec![CategoryScore {
                category: Category::Database,
                weight: 15.0,
                score: Some(Interval { low: 50.0, high: 100.0 }),
                coverage: 0.5,
                checks: 2,
                passed: 1,
                asked: true,
            }],
            findings: vec![
                finding("DB-001", Outcome::Pass, "fine"),
                finding("DB-003", Outcome::Warn, "so so"),
                finding("DB-002", Outcome::Fail, "\x1b[2Jsaid the agent\nand a second line"),
            ],
            not_run: vec![],
            as_of: None,
            waivers: Vec::new(),
            score_without_waived: None,
            demands: crate::domain::Demands::default(),
            unmet: Vec::new(),
            baseline: None,
        }
    }

    #[test]
    fn the_verdict_leads_trouble_follows_worst_first_and_nothing_drives_the_terminal() {
        let ui = Ui::new(ColorChoice::Never, true);
        let text = report(&ui, &sample(Verdict::NotReady), false);
        assert!(text.starts_with("NOT READY  score 60–83.05 of 100, bar 85, coverage 76 %\n"), "{text}");
        assert!(
            !text.contains('\x1b') && text.contains("\\u{1b}[2Jsaid the agent and a second line"),
            "{text}"
        );
        let (fail, warn) = (text.find("DB-002  a"), text.find("DB-003  a"));
        assert!(fail.is_some() && fail < warn, "{text}");
        assert!(!text.contains("DB-001") && text.contains("1 check passed or does"), "{text}");
        assert!(report(&ui, &sample(Verdict::NotReady), true).contains("DB-001"));
    }

    #[test]
    fn long_text_keeps_to_the_terminal_and_its_indent() {
        let said = "word ".repeat(60);
        for width in [80, 120] {
            let text = filled("    · ", 6, said.trim(), Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("      word")), "{text}");
            assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 60);
        }
        assert_eq!(filled("  ", 2, "a  b", None), "  a  b\n", "a pipe gets it as it is");
        let long = "x".repeat(200);
        assert_eq!(filled("- ", 2, &format!("a {long} b"), Some(80)), format!("- a\n  {long}\n  b\n"));
    }

    #[test]
    fn the_verdict_decides_the_exit_code() {
        let table = [
            (Verdict::Ready, Exit::Ok),
            (Verdict::Partial, Exit::Ok),
            (Verdict::NotReady, Exit::Negative),
            (Verdict::Inconclusive, Exit::Inconclusive),
        ];
        for (verdict, exit) in table {
            assert_eq!(exit_of(&sample(verdict)), exit, "{verdict:?}");
        }
    }
}
