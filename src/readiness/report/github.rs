//! Workflow commands of GitHub: an annotation for each of the worst ten, and one that says how many are not shown.
//! GitHub itself shows no more than ten a step; what is beyond would vanish without a word.
use crate::domain::{Finding, Outcome, Report, Severity, Verdict, Waived, moment, visible};

const MOST: usize = 10;
/// GitHub cuts longer ones, in silence.
const LONGEST_TITLE: usize = 250;
const LONGEST_MESSAGE: usize = 4000;

pub fn render(report: &Report) -> String {
    let trouble = report.trouble();
    let dropped = trouble.len().saturating_sub(MOST);
    let mut text = head(report, trouble.len(), dropped);
    for finding in trouble.iter().take(MOST) {
        text.push_str(&of_finding(finding));
    }
    text
}

/// One command: `level` is error, warning or notice. No newline, percent or colon of what it tells is obeyed.
fn annotate(level: &str, title: &str, message: &str) -> String {
    let title = data(&bounded(title, LONGEST_TITLE)).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", data(&bounded(message, LONGEST_MESSAGE)))
}

fn head(report: &Report, trouble: usize, dropped: usize) -> String {
    let level = match report.verdict {
        _ if !report.unmet.is_empty() => "error",
        Verdict::NotReady => "error",
        Verdict::Inconclusive => "warning",
        Verdict::Ready | Verdict::Partial => "notice",
    };
    let partial = if report.partial { " (a partial run: it answers for what it ran alone)" } else { "" };
    let mut lines = vec![match &report.checklist {
        Some(list) => format!("{} items of phase {}{partial}", report.findings.len(), list.phase),
        None => format!("score {} of 100, bar {}{partial}", report.score, report.bar),
    }];
    lines.extend(report.as_of.map(|day| format!("judged as of {}", moment(day))));
    lines.extend(report.score_without_waived.map(|score| format!("score without what is waived: {score}")));
    for finding in report.waived() {
        let sentence = finding.waived.as_ref().map(Waived::sentence).unwrap_or_default();
        lines.push(format!("waived: {} {}: {sentence}", finding.id, finding.outcome.as_str()));
    }
    lines.extend(report.unmet.iter().map(|demand| format!("not met: {demand}")));
    lines.extend(
        report
            .lapsed()
            .iter()
            .map(|waiver| format!("no longer waived: {}", waiver.sentence(report.judged_at()))),
    );
    lines.extend(report.baseline.iter().map(crate::domain::Comparison::sentence));
    if trouble == 0 {
        lines.extend(report.reasons.iter().cloned());
    }
    lines.push(match (trouble, dropped) {
        (0, _) => "no check is in trouble".into(),
        (all, 0) => format!("{all} in trouble, worst first"),
        (all, dropped) => {
            format!(
                "{all} in trouble: the worst {MOST} are annotated, {dropped} more are not; the report has all"
            )
        }
    });
    annotate(level, &format!("{} {}", report.verdict_word(), report.environment), &lines.join("\n"))
}

fn of_finding(finding: &Finding) -> String {
    let level = match (finding.outcome, finding.severity) {
        (Outcome::Fail, Severity::Blocker | Severity::Major)
        | (Outcome::Error | Outcome::Timeout | Outcome::Skipped, Severity::Blocker) => "error",
        _ => "warning",
    };
    let gate = if finding.severity == Severity::Blocker { "gate " } else { "" };
    let title = format!("{gate}{} {}: {}", finding.id, finding.outcome.as_str(), finding.title);
    let mut message = finding.summary.clone();
    for line in finding.evidence.iter().map(|line| format!("\n· {line}")) {
        message.push_str(&line);
    }
    if let Some(hint) = &finding.hint {
        message.push_str(&format!("\ntry: {hint}"));
    }
    annotate(level, &title, &message)
}

/// At most so many characters, and how many there are besides.
fn bounded(text: &str, most: usize) -> String {
    let text = visible(text);
    let more = text.chars().count().saturating_sub(most);
    if more == 0 {
        return text;
    }
    let kept: String = text.chars().take(most).collect();
    format!("{kept}… ({more} more characters are in the report)")
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
