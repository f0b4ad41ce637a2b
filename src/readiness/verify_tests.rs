//! Any report of ours holds; change one number, whichever, and it does not.
use super::*;
use crate::{
    domain::{Category, Demands, FailOn, Finding, Outcome, Severity, Verdict, sample},
    readiness::{Terms, score},
};
use proptest::prelude::*;

/// A report as the daemon makes one of these findings.
fn made(mut report: Report, mut findings: Vec<Finding>) -> Report {
    for (index, finding) in findings.iter_mut().enumerate() {
        finding.id = format!("XX-{index:03}");
    }
    report.findings = findings;
    let day = waiver::judged_at(&report);
    waiver::apply(&mut report.findings, &report.waivers, day);
    report.partial = true;
    let categories = Category::ALL.iter().map(|c| (*c, 12.5, *c != Category::Performance)).collect();
    let scored = score(
        &report.findings,
        &Terms { categories, bar: report.bar, partial: report.partial, checklist: false },
    );
    report.categories = scored.categories;
    report.score = scored.score;
    report.coverage = scored.coverage;
    report.verdict = scored.verdict;
    report.reasons = scored.reasons;
    report.score_without_waived = scored.without_waived;
    report.unmet = demands::unmet_by(&report);
    report
}

/// With a waiver that speaks, demands that are met and not, and an unmeasured gate.
fn sound() -> Report {
    let findings = [Outcome::Pass, Outcome::Warn, Outcome::Fail, Outcome::Error, Outcome::NotApplicable];
    let findings =
        findings.iter().map(|o| sample::finding("", Category::Database, Severity::Major, *o)).collect();
    let mut report = sample::rich();
    report.waivers[0].check = "XX-002".into();
    report.demands = Demands { fail_under: Some(90.0), fail_on: Some(FailOn::Warn) };
    made(report, findings)
}

#[test]
fn a_report_as_it_is_made_holds_and_has_something_to_hold() {
    let report = sound();
    assert_eq!(verify(&report), []);
    assert!(report.findings.iter().any(|finding| finding.waived.is_some()));
    assert!(report.score_without_waived.is_some() && !report.unmet.is_empty() && !report.reasons.is_empty());
}

/// A name, and what is made worse or better by hand.
type Change = (&'static str, fn(&mut Report));

#[test]
fn every_single_change_is_found_and_named() {
    let changes: &[Change] = &[
        ("score of database", |r| of_database(r).score = Some(Interval { low: 99.0, high: 100.0 })),
        ("score of database", |r| of_database(r).score = None),
        ("weight of database", |r| of_database(r).weight = 1e308),
        ("weight of database", |r| of_database(r).weight = -3.0),
        ("coverage of database", |r| of_database(r).coverage = 1.0),
        ("checks of database", |r| of_database(r).checks += 1),
        ("checks passed of database", |r| of_database(r).passed += 1),
        ("entries of category database", |r| r.categories.retain(|c| c.category != Category::Database)),
        ("entries of category security", |r| {
            let again = r.categories[7].clone();
            r.categories.push(again);
        }),
        ("score", |r| r.score.low += 0.000_002),
        ("score", |r| r.score.high = 1e308),
        ("coverage", |r| r.coverage = 0.99),
        ("verdict", |r| r.verdict = Verdict::Ready),
        ("reason 1", |r| r.reasons.clear()),
        ("reason 1", |r| r.reasons[0].push('!')),
        ("score without what is waived", |r| r.score_without_waived = None),
        ("unmet demand 1", |r| r.unmet.clear()),
        ("who answers for XX-003", |r| r.findings[3].waived = r.findings[2].waived.clone()),
        ("who answers for XX-002", |r| r.waivers.clear()),
        ("who answers for XX-002", |r| r.waivers[0].expires_at = r.started_at),
        ("findings of check XX-000", |r| {
            let again = r.findings[0].clone();
            r.findings.push(again);
        }),
        ("partial", |r| r.partial = false),
        ("bar", |r| r.bar = -1.0),
        // A finding made better without its score is found by the score.
        ("score", |r| r.findings[3].outcome = Outcome::Pass),
        ("score", |r| r.findings[0].weight = 1000),
    ];
    for (what, change) in changes {
        let mut report = sound();
        change(&mut report);
        let found = verify(&report);
        assert!(found.iter().any(|found| found.what == *what), "{what} is not among {found:#?}");
    }
}

#[test]
fn what_a_float_loses_on_its_way_is_no_disagreement() {
    let mut report = sound();
    report.score.low += 1e-9;
    assert_eq!(verify(&report), []);
}

fn of_database(report: &mut Report) -> &mut CategoryScore {
    report.categories.iter_mut().find(|c| c.category == Category::Database).expect("database")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_found_the_report_of_it_holds_after_json_too(report in sample::any_report()) {
        let findings = report.findings.clone();
        let report = made(report, findings);
        prop_assert_eq!(verify(&report), vec![]);
        let text = serde_json::to_string(&report).expect("json");
        let again: Report = serde_json::from_str(&text).expect("a report");
        prop_assert_eq!(verify(&again), vec![]);
    }
}
