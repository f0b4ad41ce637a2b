//! JUnit XML: a suite for the verdict, one a category, a case a check. A build server that counts failures and errors
//! comes to the report's own answer.
use super::{
    facts::{command, facts},
    markup::markup,
};
use crate::domain::{Category, CategoryScore, Finding, Outcome, Report, Severity, Verdict, percent};
use std::fmt::Write;

#[derive(Default)]
struct Suite {
    name: String,
    properties: Vec<(String, String)>,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    class: String,
    seconds: f64,
    end: End,
    /// Shown whatever its end.
    output: Vec<String>,
}

/// What JUnit knows, the message and the details of each.
enum End {
    Passed,
    Failure(String, String),
    Error(String, String),
    Skipped(String),
}

pub fn render(report: &Report) -> String {
    let mut suites = vec![verdict(report)];
    suites.extend(Category::ALL.iter().filter_map(|category| of_category(report, *category)));
    suites.extend(left_out(report));
    let count = |kind: fn(&End) -> bool| {
        suites.iter().flat_map(|suite| &suite.cases).filter(|case| kind(&case.end)).count()
    };
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"agentctl {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        command(report),
        count(|_| true),
        count(is_failure),
        count(is_error),
        count(is_skipped),
        report.took_ms / 1e3,
    );
    let began = report.started_at.strftime("%Y-%m-%dT%H:%M:%S").to_string(); // JUnit has no zone: it is UTC
    for suite in &suites {
        put_suite(&mut xml, suite, &began);
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// The verdict and every demand that is not met, so that none of them is lost on who counts cases.
fn verdict(report: &Report) -> Suite {
    let details = report.reasons.join("\n");
    let word = report.verdict_word().to_owned();
    let end = match report.verdict {
        Verdict::Ready | Verdict::Partial => End::Passed,
        Verdict::NotReady => End::Failure(word, details),
        Verdict::Inconclusive => End::Error(word, details),
    };
    let mut output: Vec<String> = Vec::new();
    if let Some(baseline) = &report.baseline {
        output.push(baseline.sentence());
        output.extend(baseline.moves().iter().map(|(word, ids)| format!("{word}: {}", ids.join(" "))));
    }
    output.extend(
        report
            .lapsed()
            .iter()
            .map(|waiver| format!("no longer waived: {}", waiver.sentence(report.judged_at()))),
    );
    output.extend(
        report
            .idle()
            .iter()
            .map(|waiver| format!("waived without need: {}", waiver.sentence(report.judged_at()))),
    );
    let mut cases = vec![case("verdict", "verdict", end, output)];
    for (index, demand) in report.unmet.iter().enumerate() {
        let end = End::Failure(demand.clone(), String::new());
        cases.push(case(&format!("demand {}", index + 1), "verdict", end, Vec::new()));
    }
    let properties = facts(report).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Suite { name: "verdict".into(), properties, cases }
}

/// None if a partial run left it out whole.
fn of_category(report: &Report, category: Category) -> Option<Suite> {
    let score = report.categories.iter().find(|score| score.category == category);
    let mut cases: Vec<Case> =
        report.findings.iter().filter(|finding| finding.category == category).map(of_finding).collect();
    if cases.is_empty() {
        if score.is_none_or(|score| !score.asked) {
            return None;
        }
        let why = "unmeasured: no check exists for this category".to_owned();
        cases.push(case("coverage", category.as_str(), End::Error(why, String::new()), Vec::new()));
    }
    Some(Suite { name: category.to_string(), properties: score.map(properties).unwrap_or_default(), cases })
}

fn properties(score: &CategoryScore) -> Vec<(String, String)> {
    let points = score.score.map_or_else(|| "not applicable".into(), |score| score.to_string());
    vec![
        ("score".into(), points),
        ("weight".into(), score.weight.to_string()),
        ("coverage".into(), percent(score.coverage)),
    ]
}

fn of_finding(finding: &Finding) -> Case {
    let Finding { summary, outcome, severity, .. } = finding;
    let gate = if *severity == Severity::Blocker { "gate " } else { "" };
    let details =
        finding.hint.as_ref().map_or_else(|| summary.clone(), |hint| format!("{summary}\ntry: {hint}"));
    let word = outcome.as_str();
    let end = match (outcome, &finding.waived) {
        (Outcome::Pass | Outcome::Warn, None) | (Outcome::Pass, Some(_)) => End::Passed,
        (Outcome::NotApplicable, _) => End::Skipped(format!("{word}: {summary}")),
        (_, Some(waived)) => End::Skipped(format!("waived: {gate}{word}: {summary}; {}", waived.sentence())),
        (Outcome::Fail, None) => End::Failure(format!("{gate}failed: {summary}"), details),
        (Outcome::Error | Outcome::Timeout, None) => {
            End::Error(format!("{gate}unmeasured ({word}): {summary}"), details)
        }
        (Outcome::Skipped, None) => End::Skipped(format!("{gate}unmeasured ({word}): {summary}")),
    };
    let mut output = vec![format!("{word}: {summary}")];
    output.extend(finding.evidence.iter().cloned());
    output.extend(finding.affected.iter().map(|affected| format!("about {}", affected.resource)));
    let declared = if finding.declared { " (declared)" } else { "" };
    let name = format!("{} {}{declared}", finding.id, finding.title);
    Case { seconds: finding.took_ms / 1e3, ..case(&name, finding.category.as_str(), end, output) }
}

fn left_out(report: &Report) -> Option<Suite> {
    let why = || End::Skipped("not run: a partial run left it out".into());
    let cases: Vec<Case> = report.not_run.iter().map(|id| case(id, "not-run", why(), Vec::new())).collect();
    (!cases.is_empty()).then(|| Suite { name: "not-run".into(), cases, ..Suite::default() })
}

fn case(name: &str, class: &str, end: End, output: Vec<String>) -> Case {
    Case { name: name.into(), class: format!("agentctl.{class}"), seconds: 0.0, end, output }
}

fn put_suite(xml: &mut String, suite: &Suite, began: &str) {
    let count = |kind: fn(&End) -> bool| suite.cases.iter().filter(|case| kind(&case.end)).count();
    let seconds: f64 = suite.cases.iter().map(|case| case.seconds).sum();
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\" timestamp=\"{began}\">",
        attribute(&suite.name),
        suite.cases.len(),
        count(is_failure),
        count(is_error),
        count(is_skipped),
    );
    if !suite.properties.is_empty() {
        xml.push_str("    <properties>\n");
        for (name, value) in &suite.properties {
            let (name, value) = (attribute(name), attribute(value));
            let _ = writeln!(xml, "      <property name=\"{name}\" value=\"{value}\"/>");
        }
        xml.push_str("    </properties>\n");
    }
    for case in &suite.cases {
        put_case(xml, case);
    }
    xml.push_str("  </testsuite>\n");
}

fn put_case(xml: &mut String, case: &Case) {
    let (name, class) = (attribute(&case.name), attribute(&case.class));
    let _ =
        writeln!(xml, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{:.3}\">", case.seconds);
    let _ = match &case.end {
        End::Passed => Ok(()),
        End::Failure(message, details) => {
            let (message, details) = (attribute(message), markup(details));
            writeln!(xml, "      <failure message=\"{message}\" type=\"fail\">{details}</failure>")
        }
        End::Error(message, details) => {
            let (message, details) = (attribute(message), markup(details));
            writeln!(xml, "      <error message=\"{message}\" type=\"unmeasured\">{details}</error>")
        }
        End::Skipped(message) => writeln!(xml, "      <skipped message=\"{}\"/>", attribute(message)),
    };
    if !case.output.is_empty() {
        let _ = writeln!(xml, "      <system-out>{}</system-out>", markup(&case.output.join("\n")));
    }
    xml.push_str("    </testcase>\n");
}

/// A parser turns the newlines of an attribute into spaces; here they are so from the start.
fn attribute(text: &str) -> String {
    markup(text).replace(['\n', '\t'], " ")
}

fn is_failure(end: &End) -> bool {
    matches!(end, End::Failure(..))
}

fn is_error(end: &End) -> bool {
    matches!(end, End::Error(..))
}

fn is_skipped(end: &End) -> bool {
    matches!(end, End::Skipped(..))
}
