//! Every format against one rich report, kept word for word, and against any report at all.
use super::*;
use crate::domain::{
    Category, Outcome, Severity, Verdict,
    sample::{HOSTILE, any_report, finding, rich},
};
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

fn rendered(name: &str, report: &Report) -> String {
    let reporter = REPORTERS.iter().find(|reporter| reporter.name == name).expect(name);
    (reporter.render)(report).expect(name)
}

/// `fixtures/report/`; `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn every_format_says_of_the_rich_report_what_it_said_before() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/report");
    for reporter in REPORTERS {
        let text = (reporter.render)(&rich()).expect(reporter.name);
        let path = kept.join(format!("{}.{}", reporter.name, reporter.extension));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(before == text, "{} differs from what is said now", path.display());
    }
}

#[test]
fn every_format_tells_of_every_check_waiver_demand_and_day() {
    let report = rich();
    for reporter in REPORTERS {
        let text = (reporter.render)(&report).expect(reporter.name);
        // GitHub's annotations are of what is in trouble.
        let github = reporter.name == "github";
        for finding in report.findings.iter().filter(|f| !github || f.is_trouble()) {
            assert!(text.contains(&finding.id), "{}: {} is missing", reporter.name, finding.id);
        }
        for part in ["2027-02-14", "AU-001", "DB-004", "waiver 2", "run 11", "90 that was asked for", "43"] {
            let json = reporter.name == "json" && part == "waiver 2";
            assert!(json || text.contains(part), "{}: `{part}` is missing", reporter.name);
        }
        assert!(github || text.contains("SE-009"), "{}: what was not run is missing", reporter.name);
    }
}

#[test]
fn junit_counts_what_it_holds_and_waived_is_skipped() {
    let xml = rendered("junit", &rich());
    let root = xml.lines().nth(1).expect("a root");
    for (kind, element) in
        [("tests", "<testcase "), ("failures", "<failure "), ("errors", "<error "), ("skipped", "<skipped ")]
    {
        let count = xml.matches(element).count();
        assert!(root.contains(&format!(" {kind}=\"{count}\"")), "{kind} {count}: {root}");
    }
    let case = |id: &str| {
        let from = xml.find(&format!("name=\"{id} ")).expect(id);
        &xml[from..from + xml[from..].find("</testcase>").expect("its end")]
    };
    assert!(
        case("SE-002").contains("<skipped message=\"waived: gate fail")
            && !case("SE-002").contains("<failure")
    );
    assert!(case("HM-003").contains("<skipped message=\"not-applicable: "));
    assert!(case("AO-001").contains("<error ") && case("HM-002").contains("<error "));
    assert!(case("PE-001").contains("<skipped ") && case("CF-002").contains("<failure "));
    let passed = case("EH-001");
    assert!(!passed.contains("<failure") && passed.contains("<system-out>pass: "), "{passed}");
}

#[test]
fn whoever_counts_only_failures_in_junit_comes_to_the_reports_answer() {
    let mut report = rich();
    report.findings.clear();
    report.unmet.clear();
    report.categories[0].asked = true;
    for (verdict, element) in [(Verdict::NotReady, "<failure "), (Verdict::Inconclusive, "<error ")] {
        report.verdict = verdict;
        assert!(rendered("junit", &report).contains(element), "{verdict:?}");
    }
    let xml = rendered("junit", &report);
    assert!(xml.contains("no check exists for this category"), "a category without checks is no pass: {xml}");
}

#[test]
fn sarif_keeps_to_the_rules_of_its_schema() {
    let log: Value = serde_json::from_str(&rendered("sarif", &rich())).expect("json");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let ids: Vec<&str> = rules.iter().filter_map(|rule| rule["id"].as_str()).collect();
    assert_eq!(ids.len(), rich().findings.len(), "a rule for every check that ran");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 7, "everything but what passed or does not apply");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(result["ruleId"], rules[index]["id"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().expect("a level")));
        assert!(!result["message"]["text"].as_str().expect("a text").is_empty());
        assert!(!result["locations"].as_array().expect("places").is_empty());
        assert_eq!(result["partialFingerprints"]["checkAndResource/v1"].as_str().map(str::len), Some(32));
        assert!(result["suppressions"].is_array(), "on all or on none");
    }
    let of = |id: &str| results.iter().find(|result| result["ruleId"] == id).expect(id);
    let suppressed = &of("SE-002")["suppressions"][0];
    assert_eq!((&suppressed["kind"], &suppressed["status"]), (&"external".into(), &"accepted".into()));
    assert!(suppressed["justification"].as_str().is_some_and(|text| text.contains("rotated on the 1st")));
    assert_eq!(
        of("CF-002")["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "file:///etc/agent%20d/agentd.toml"
    );
    assert!(of("DB-003")["locations"][0]["logicalLocations"].is_array());
    assert_eq!(of("AO-001")["level"], "error", "an unmeasured gate is not quiet");
    assert_eq!(run["properties"]["passed"].as_array().map(Vec::len), Some(3));
}

#[test]
fn github_shows_the_worst_ten_and_says_how_many_it_does_not() {
    let mut report = rich();
    report.findings = (0..14)
        .map(|n| {
            let outcome = if n < 9 { Outcome::Warn } else { Outcome::Fail };
            finding(&format!("XX-{n:03}"), Category::Database, Severity::Major, outcome)
        })
        .collect();
    let text = rendered("github", &report);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 11, "a head and ten: {text}");
    assert!(lines[0].contains("14 in trouble: the worst 10 are annotated, 4 more are not"), "{}", lines[0]);
    assert!(
        lines[1].starts_with("::error title=XX-009") && lines[6].starts_with("::warning title=XX-000"),
        "{text}"
    );
    assert!(!rendered("github", &rich()).contains("more are not"));
}

#[test]
fn what_is_too_long_for_github_is_cut_aloud() {
    let mut report = rich();
    report.findings[3].evidence = vec!["x".repeat(70_000)];
    let text = rendered("github", &report);
    let longest = text.lines().map(str::len).max().expect("lines");
    assert!(longest < 16_000 && text.contains("more characters are in the report)"), "{longest}");
}

#[test]
fn no_line_of_github_is_anybody_elses_command() {
    let text = rendered("github", &rich());
    assert!(
        text.lines().all(|line| line.starts_with("::error title=") || line.starts_with("::warning title="))
    );
    assert!(
        !text.contains("\n::error title=forged") && text.contains("%0A::error title=forged::100%2525 %250A"),
        "{text}"
    );
}

#[test]
fn the_page_takes_nothing_from_outside_and_runs_nothing() {
    let page = rendered("html", &rich());
    for never in ["<script", "<link", "<img", "src=", "href=", "@import", "url(", "onclick"] {
        assert!(!page.contains(never), "{never} is in the page");
    }
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn markdown_is_not_ended_by_what_it_quotes() {
    let text = rendered("markdown", &rich());
    let fenced = text.lines().filter(|line| line.starts_with("````")).count();
    assert_eq!(fenced, 2, "a fence longer than the one within: {text}");
    for line in text.lines().filter(|line| line.starts_with("- ") || line.starts_with("| ")) {
        assert!(
            !line.contains("<script") && !line.contains("**x**") && !line.contains("[y](http://"),
            "{line}"
        );
        assert!(!line.contains(" @everyone"), "{line}");
    }
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| AU") || line.starts_with("| EH")).collect();
    assert!(rows.iter().all(|row| row.matches(" | ").count() == 2), "{rows:?}");
}

#[test]
fn the_schema_names_every_field_of_a_report() {
    let schema = schema();
    let json: Value = serde_json::from_str(&rendered("json", &rich())).expect("json");
    let named = &schema["properties"];
    for field in json.as_object().expect("fields").keys() {
        assert!(named[field].is_object(), "{field} is not in the schema");
    }
    assert!(schema["required"].as_array().is_some_and(|all| all.contains(&"schema_version".into())));
}

#[test]
fn a_planted_fault_is_found_by_the_reader_of_xml() {
    for broken in
        ["<a>", "<a></b>", "<a b=\"<\"/>", "<a>&x</a>", "<a>\u{0}</a>", "<a/><b/>", "<a b=c/>", "<a>]]></a>"]
    {
        assert!(well_formed(broken).is_err(), "{broken} was taken");
    }
    assert_eq!(well_formed("<?xml version=\"1.0\"?>\n<a b=\"1\"><c/>&lt;x &#39;</a>\n"), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_format_takes_any_report_and_what_a_machine_reads_can_be_read(report in any_report()) {
        for reporter in REPORTERS {
            let text = (reporter.render)(&report).expect(reporter.name);
            prop_assert!(text.ends_with('\n'));
            if reporter.name != "json" {
                let wild = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
                prop_assert_eq!(wild, None, "in {}", reporter.name);
            }
        }
        prop_assert_eq!(well_formed(&rendered("junit", &report)), Ok(()));
        let log: Value = serde_json::from_str(&rendered("sarif", &report)).expect("sarif");
        prop_assert_eq!(&log["version"], "2.1.0");
        let again: Report = serde_json::from_str(&rendered("json", &report)).expect("json");
        prop_assert_eq!(again, report.clone());
        let commands = rendered("github", &report);
        prop_assert!(commands.lines().count() <= 11 && commands.lines().all(|line| line.starts_with("::")));
        let page = rendered("html", &report);
        let body = page.split("<body>").nth(1).expect("a body").replace("<!doctype html>", "");
        prop_assert_eq!(well_formed(&format!("<body>{}", body.trim_end().trim_end_matches("</html>"))), Ok(()));
    }
}

/// Enough of an XML 1.0 reader to refuse what a real one refuses: one root, every element closed by its own name,
/// quoted attributes, known references, allowed characters.
fn well_formed(text: &str) -> Result<(), String> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("{c:?} is not allowed"));
    }
    let (mut open, mut roots): (Vec<&str>, usize) = (Vec::new(), 0);
    let mut rest =
        text.strip_prefix("<?xml").map_or(text, |t| t.split_once("?>").map_or("", |(_, after)| after));
    while let Some(start) = rest.find('<') {
        let before = &rest[..start];
        if open.is_empty() && !before.trim().is_empty() || before.contains("]]>") {
            return Err(format!("stray text: {before}"));
        }
        references(before)?;
        let tag = &rest[start + 1..];
        // The end is the first > outside quotes; no < may stand within.
        let mut quote = None;
        let end = tag
            .char_indices()
            .find(|(_, c)| match (quote, c) {
                (None, '"') => {
                    quote = Some('"');
                    false
                }
                (Some('"'), '"') => {
                    quote = None;
                    false
                }
                (None, '>') => true,
                _ => false,
            })
            .ok_or("a tag without an end")?
            .0;
        let (tag, after) = (&tag[..end], &tag[end + 1..]);
        rest = after;
        if tag.contains('<') {
            return Err(format!("< within a tag: {tag}"));
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let (inner, closed) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        attributes_of(attributes)?;
        roots += usize::from(open.is_empty());
        if !closed {
            open.push(name);
        }
    }
    match (roots, open.as_slice(), rest.trim()) {
        (1, [], "") => Ok(()),
        _ => Err(format!("{roots} roots, {open:?} open, {rest:?} after")),
    }
}

fn attributes_of(mut text: &str) -> Result<(), String> {
    while !text.trim().is_empty() {
        let (name, after) = text.trim_start().split_once("=\"").ok_or(format!("no attribute: {text}"))?;
        let (value, rest) = after.split_once('"').ok_or(format!("no end of {name}"))?;
        references(value)?;
        text = rest;
    }
    Ok(())
}

fn references(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !known.iter().any(|reference| text[at..].starts_with(reference)) {
            return Err(format!("an unknown reference in {text}"));
        }
    }
    Ok(())
}

#[test]
fn the_hostile_text_is_hostile() {
    for part in ["\x1b", "\0", "]]>", "</system-out>", "\n::error", "```", "\u{ffff}", "##[add-mask]"] {
        assert!(HOSTILE.contains(part), "{part:?}");
    }
}
