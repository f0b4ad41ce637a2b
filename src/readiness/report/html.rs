//! One page for a reader: no outside asset, no script, light and dark as the reader's machine is, fit for paper.
//! The verdict and what to do about it come first, for it is read at three in the morning.
use super::{facts::facts, markup::markup};
use crate::domain::{CategoryScore, Finding, Interval, Outcome, Report, Severity, Verdict, Waiver, percent};
use std::fmt::Write;

const STYLE: &str = include_str!("html.css");

pub fn render(report: &Report) -> String {
    let title = format!("{} · {}", report.verdict_word(), report.environment);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        markup(&title)
    );
    head(&mut page, report);
    list(&mut page, "Why", "why", &report.reasons);
    list(&mut page, "Asked for and not met", "unmet", &report.unmet);
    section(&mut page, "In trouble, worst first", &report.trouble());
    section(&mut page, "Waived", &report.waived());
    let sentences = |waivers: Vec<&Waiver>| -> Vec<String> {
        waivers.into_iter().map(|waiver| waiver.sentence(report.judged_at())).collect()
    };
    list(&mut page, "No longer waived", "lapsed", &sentences(report.lapsed()));
    list(&mut page, "Waived without need", "idle", &sentences(report.idle()));
    categories(&mut page, report);
    comparison(&mut page, report);
    quiet(&mut page, report);
    list(&mut page, "Not run", "ids", &report.not_run);
    about(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report) {
    let tone = match report.verdict {
        Verdict::Ready => "good",
        Verdict::NotReady => "bad",
        Verdict::Inconclusive => "unsure",
        Verdict::Partial => "part",
    };
    let word = report.verdict_word();
    let _ = writeln!(page, "<header class=\"{tone}\">\n<h1>{word}</h1>");
    let partial = if report.partial { " · partial run: it answers for what it ran alone" } else { "" };
    let _ = writeln!(page, "<p class=\"where\">{}{partial}</p>", markup(&report.environment));
    let _ = writeln!(
        page,
        "<p class=\"score\"><b>{}</b> of 100 <span>bar {} · coverage {}</span></p>",
        report.score,
        report.bar,
        percent(report.coverage)
    );
    gauge(page, report.score, Some(report.bar));
    if let Some(score) = report.score_without_waived {
        let _ = writeln!(page, "<p class=\"without\">{score} if what is waived were not counted</p>");
    }
    page.push_str("</header>\n");
}

/// What is known to be earned in full colour, what is not known hatched, the bar as a line. Figures alone go in here.
fn gauge(page: &mut String, score: Interval, bar: Option<f64>) {
    let low = score.low.clamp(0.0, 100.0);
    let open = (score.high.clamp(0.0, 100.0) - low).max(0.0);
    let bar = bar
        .map(|bar| format!("<i class=\"bar\" style=\"left:{:.2}%\"></i>", bar.clamp(0.0, 100.0)))
        .unwrap_or_default();
    let _ = writeln!(
        page,
        "<div class=\"gauge\" role=\"img\" aria-label=\"{score} of 100\"><i class=\"low\" style=\"width:{low:.2}%\"></i>\
         <i class=\"open\" style=\"width:{open:.2}%\"></i>{bar}</div>"
    );
}

fn section(page: &mut String, title: &str, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(page, "<section>\n<h2>{title} <small>{}</small></h2>", findings.len());
    for finding in findings {
        of_finding(page, finding);
    }
    page.push_str("</section>\n");
}

fn of_finding(page: &mut String, finding: &Finding) {
    let Finding { id, title, summary, outcome, severity, .. } = finding;
    let waived = if finding.waived.is_some() { " waived" } else { "" };
    let _ = writeln!(page, "<article class=\"{}{waived}\">", tone(*outcome));
    let gate = if *severity == Severity::Blocker { " <em>gate</em>" } else { "" };
    let declared = if finding.declared { " <em>declared</em>" } else { "" };
    let _ = writeln!(
        page,
        "<h3><span class=\"word\">{}</span> <code>{}</code> <span class=\"title\">{}</span>{gate}{declared}</h3>",
        outcome.as_str(),
        markup(id),
        markup(title),
    );
    if let Some(waived) = &finding.waived {
        let _ = writeln!(page, "<p class=\"by\">{}</p>", markup(&waived.sentence()));
    }
    let _ = writeln!(page, "<p>{}</p>", markup(summary));
    if let Some(hint) = &finding.hint {
        let _ = writeln!(page, "<p class=\"try\"><b>Try</b> {}</p>", markup(hint));
    }
    let mut lines: Vec<String> = finding.evidence.iter().map(|line| markup(line)).collect();
    lines.extend(finding.affected.iter().map(|affected| format!("about {}", markup(&affected.resource))));
    if !lines.is_empty() {
        let _ = writeln!(page, "<pre>{}</pre>", lines.join("\n"));
    }
    page.push_str("</article>\n");
}

fn categories(page: &mut String, report: &Report) {
    page.push_str(
        "<section>\n<h2>Categories</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>category</th><th></th><th class=\"n\">score</th>\
         <th class=\"n\">weight</th><th class=\"n\">coverage</th><th class=\"n\">passed</th></tr></thead>\n<tbody>\n",
    );
    for CategoryScore { category, weight, score, coverage, checks, passed, asked } in &report.categories {
        let _ = write!(page, "<tr><td>{category}</td><td class=\"g\">");
        let (score, coverage) = match (asked, score) {
            (false, _) => ("not asked".into(), "–".into()),
            (true, None) => ("not applicable".into(), "–".into()),
            (true, Some(score)) => {
                gauge(page, *score, None);
                (score.to_string(), percent(*coverage))
            }
        };
        let _ = writeln!(
            page,
            "</td><td class=\"n\">{score}</td><td class=\"n\">{weight}</td><td class=\"n\">{coverage}</td>\
             <td class=\"n\">{passed}/{checks}</td></tr>"
        );
    }
    page.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn comparison(page: &mut String, report: &Report) {
    let Some(baseline) = &report.baseline else { return };
    let _ =
        writeln!(page, "<section>\n<h2>Against the baseline</h2>\n<p>{}</p>", markup(&baseline.sentence()));
    if !baseline.moves().is_empty() {
        page.push_str("<dl>\n");
        for (word, ids) in baseline.moves() {
            let _ = writeln!(page, "<dt>{word}</dt><dd>{}</dd>", markup(&ids.join(", ")));
        }
        page.push_str("</dl>\n");
    }
    page.push_str("</section>\n");
}

/// Folded on a screen, for it is what needs nobody; paper shows it all.
fn quiet(page: &mut String, report: &Report) {
    let quiet = report.quiet();
    if quiet.is_empty() {
        return;
    }
    let count = quiet.len();
    let _ = writeln!(
        page,
        "<section>\n<details>\n<summary><h2>Passed or not applicable <small>{count}</small></h2></summary>"
    );
    for finding in quiet {
        of_finding(page, finding);
    }
    page.push_str("</details>\n</section>\n");
}

fn list(page: &mut String, title: &str, class: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(page, "<section>\n<h2>{title}</h2>\n<ul class=\"{class}\">");
    for line in lines {
        let _ = writeln!(page, "<li>{}</li>", markup(line));
    }
    page.push_str("</ul>\n</section>\n");
}

fn about(page: &mut String, report: &Report) {
    page.push_str("<footer>\n<dl>\n");
    for (name, value) in facts(report) {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", markup(&value));
    }
    page.push_str("</dl>\n</footer>\n");
}

fn tone(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "good",
        Outcome::Fail => "bad",
        Outcome::Warn | Outcome::Error | Outcome::Timeout | Outcome::Skipped => "unsure",
        Outcome::NotApplicable => "none",
    }
}
