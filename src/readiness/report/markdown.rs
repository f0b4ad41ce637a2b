//! Markdown as GitHub, GitLab and most others read it. What others wrote is escaped where it stands in a line and
//! fenced where it has lines of its own.
use super::facts::facts;
use crate::domain::{CategoryScore, Finding, Report, Severity, Verdict, Waiver, one_line, percent, visible};
use std::fmt::Write;

pub fn render(report: &Report) -> String {
    let mut text = head(report);
    list(&mut text, "Why", &report.reasons);
    list(&mut text, "Asked for and not met", &report.unmet);
    categories(&mut text, report);
    comparison(&mut text, report);
    section(&mut text, "In trouble, worst first", &report.trouble());
    section(&mut text, "Waived", &report.waived());
    let sentences = |waivers: Vec<&Waiver>| -> Vec<String> {
        waivers.into_iter().map(|waiver| waiver.sentence(report.judged_at())).collect()
    };
    list(&mut text, "No longer waived", &sentences(report.lapsed()));
    list(&mut text, "Waived without need", &sentences(report.idle()));
    quiet(&mut text, report);
    list(&mut text, "Not run", &report.not_run);
    text
}

fn head(report: &Report) -> String {
    let mark = match report.verdict {
        Verdict::Ready => "✅",
        Verdict::NotReady => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Partial => "◐",
    };
    let mut text =
        format!("# {mark} {}: {}\n\n| | |\n|---|---|\n", report.verdict_word(), inline(&report.environment));
    for (name, value) in facts(report) {
        let _ = writeln!(text, "| {name} | {} |", inline(&value));
    }
    text
}

fn categories(text: &mut String, report: &Report) {
    text.push_str(
        "\n## Categories\n\n| category | score | weight | coverage | passed |\n|---|---:|---:|---:|---:|\n",
    );
    for CategoryScore { category, weight, score, coverage, checks, passed, asked } in &report.categories {
        let (score, coverage) = match (asked, score) {
            (false, _) => ("not asked".into(), "–".into()),
            (true, None) => ("not applicable".into(), "–".into()),
            (true, Some(score)) => (score.to_string(), percent(*coverage)),
        };
        let _ = writeln!(text, "| {category} | {score} | {weight} | {coverage} | {passed}/{checks} |");
    }
}

fn comparison(text: &mut String, report: &Report) {
    let Some(baseline) = &report.baseline else { return };
    let mut lines = vec![baseline.sentence()];
    lines.extend(baseline.moves().iter().map(|(word, ids)| format!("{word}: {}", ids.join(", "))));
    list(text, "Against the baseline", &lines);
}

fn section(text: &mut String, title: &str, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {title}\n");
    for finding in findings {
        of_finding(text, finding);
    }
}

fn of_finding(text: &mut String, finding: &Finding) {
    let gate = if finding.severity == Severity::Blocker { " (gate)" } else { "" };
    let declared = if finding.declared { " (declared)" } else { "" };
    let word = finding.outcome.as_str();
    let struck = if finding.waived.is_some() { "~~" } else { "" };
    let (id, title) = (inline(&finding.id), inline(&finding.title));
    let _ = write!(text, "\n### {struck}{word}: {id} {title}{struck}{gate}{declared}\n\n");
    if let Some(waived) = &finding.waived {
        let _ = write!(text, "{}\n\n", inline(&format!("Waived: {}", waived.sentence())));
    }
    let _ = writeln!(text, "{}", inline(&finding.summary));
    let mut lines = finding.evidence.clone();
    lines.extend(finding.affected.iter().map(|affected| format!("about {}", affected.resource)));
    if !lines.is_empty() {
        let _ = write!(text, "\n{}", fenced(&lines.join("\n")));
    }
    if let Some(hint) = &finding.hint {
        let _ = write!(text, "\n**Try:** {}\n", inline(hint));
    }
}

fn quiet(text: &mut String, report: &Report) {
    let quiet = report.quiet();
    if quiet.is_empty() {
        return;
    }
    text.push_str("\n## Passed or not applicable\n\n| check | outcome | what decided it |\n|---|---|---|\n");
    for finding in quiet {
        let (id, title) = (inline(&finding.id), inline(&finding.title));
        let declared = if finding.declared { " (declared)" } else { "" };
        let word = finding.outcome.as_str();
        let _ = writeln!(text, "| {id} {title}{declared} | {word} | {} |", inline(&finding.summary));
    }
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {title}\n\n");
    for line in lines {
        let _ = writeln!(text, "- {}", inline(line));
    }
}

/// One line in which nothing is Markdown or HTML any more. A mention would call somebody: a comment within ends it.
fn inline(text: &str) -> String {
    let line = one_line(text);
    let mut safe = String::with_capacity(line.len());
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        // A bullet, a rule or a number is one only where the line begins.
        let numbered = line[..at].bytes().all(|byte| byte.is_ascii_digit());
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '@' if !before.is_alphanumeric() => safe.push_str("@<!-- -->"),
            // Of bare text that looks like an address a link would be made.
            ':' if line[at..].starts_with("://") => safe.push_str("&#58;"),
            '.' if line[..at].to_ascii_lowercase().ends_with("www") => safe.push_str("\\."),
            // Plain within a line, and easier to read unescaped.
            ':' | ',' | ';' | '/' | '%' | '\'' | '"' | '?' | '(' | '@' => safe.push(c),
            '-' | '=' | '+' if at > 0 => safe.push(c),
            '.' | ')' if !(numbered && ends_word(&line[at + 1..])) => safe.push(c),
            c if c.is_ascii_punctuation() => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
        before = c;
    }
    safe
}

fn ends_word(after: &str) -> bool {
    after.is_empty() || after.starts_with(' ')
}

/// As it is, between fences longer than any that it holds.
fn fenced(text: &str) -> String {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}text\n{}\n{fence}\n", visible(text))
}
