//! The scorer against tables of traps that others fell into, and against its laws.
use super::*;
use crate::domain::Demands;
use proptest::prelude::*;

const ALL: [Outcome; 7] = [
    Outcome::Pass,
    Outcome::Warn,
    Outcome::Fail,
    Outcome::Error,
    Outcome::Timeout,
    Outcome::Skipped,
    Outcome::NotApplicable,
];

fn finding(category: Category, severity: Severity, weight: u32, outcome: Outcome) -> Finding {
    Finding {
        id: "XX-001".into(),
        title: "a check".into(),
        category,
        severity,
        weight,
        outcome,
        summary: "because".into(),
        evidence: vec![],
        hint: None,
        exercised: severity == Severity::Blocker,
        declared: false,
        affected: Vec::new(),
        waived: None,
        took_ms: 1.0,
    }
}

fn terms(bar: f64) -> Terms {
    Terms { categories: vec![], bar, partial: false, checklist: false }
}

/// One finding in every category, all with the same outcome.
fn everywhere(severity: Severity, outcome: Outcome) -> Vec<Finding> {
    Category::ALL.iter().map(|c| finding(*c, severity, 1, outcome)).collect()
}

fn only(category: Category) -> Terms {
    let categories = Category::ALL.iter().map(|c| (*c, 10.0, *c == category)).collect();
    Terms { categories, bar: 85.0, partial: true, checklist: false }
}

#[test]
fn the_default_weights_add_up_to_a_hundred() {
    let total: f64 = DEFAULT_WEIGHTS.iter().map(|(_, weight)| weight).sum();
    assert!((total - 100.0).abs() < f64::EPSILON);
    assert!(DEFAULT_WEIGHTS.iter().map(|(c, _)| *c).eq(Category::ALL));
}

#[test]
fn the_eight_figures_of_document_000_give_their_true_mean_and_not_its_printed_one() {
    // It printed 89.8 and READY; its own weights over its own figures are under its own bar. Each figure becomes so
    // many passes and fails of a hundred.
    let figures = [95_u32, 90, 95, 85, 50, 70, 85, 56];
    let mut findings = vec![];
    for (category, figure) in Category::ALL.into_iter().zip(figures) {
        findings.push(finding(category, Severity::Minor, figure, Outcome::Pass));
        findings.push(finding(category, Severity::Minor, 100 - figure, Outcome::Fail));
    }
    let scored = score(&findings, &terms(85.0));
    assert_eq!(scored.score, Interval { low: 83.05, high: 83.05 });
    assert_eq!(scored.verdict, Verdict::NotReady);
}

#[test]
fn verdicts() {
    use Category::{Database, Security};
    use Outcome::{Error, Fail, NotApplicable, Pass, Skipped, Timeout, Warn};
    use Severity::{Blocker, Minor};
    let with = |severity, outcome, more: Vec<Finding>| {
        let mut findings = everywhere(severity, outcome);
        findings.extend(more);
        findings
    };
    let extra = |severity, outcome| vec![finding(Security, severity, 1, outcome)];
    let without = |category: Category| -> Vec<Finding> {
        everywhere(Blocker, Pass).into_iter().filter(|f| f.category != category).collect()
    };
    let table: Vec<(&str, Vec<Finding>, f64, Verdict)> = vec![
        ("all pass", everywhere(Blocker, Pass), 85.0, Verdict::Ready),
        ("all pass at a bar of 100", everywhere(Blocker, Pass), 100.0, Verdict::Ready),
        ("all warn", everywhere(Blocker, Warn), 85.0, Verdict::NotReady),
        ("all warn, bar 50", everywhere(Blocker, Warn), 50.0, Verdict::Ready),
        (
            "one gate fails in a sea of passes",
            with(Minor, Pass, extra(Blocker, Fail)),
            1.0,
            Verdict::NotReady,
        ),
        ("the same, but no gate", with(Minor, Pass, extra(Minor, Fail)), 85.0, Verdict::Ready),
        (
            "a gate that errs is not a pass",
            with(Minor, Pass, extra(Blocker, Error)),
            1.0,
            Verdict::Inconclusive,
        ),
        ("nor one cut off", with(Minor, Pass, extra(Blocker, Timeout)), 1.0, Verdict::Inconclusive),
        ("nor one skipped", with(Minor, Pass, extra(Blocker, Skipped)), 1.0, Verdict::Inconclusive),
        (
            "a gate that does not apply holds nothing up",
            with(Minor, Pass, extra(Blocker, NotApplicable)),
            85.0,
            Verdict::Ready,
        ),
        (
            "a failed gate beats an unmeasured one",
            with(Minor, Pass, [extra(Blocker, Error), extra(Blocker, Fail)].concat()),
            1.0,
            Verdict::NotReady,
        ),
        ("nothing at all", vec![], 85.0, Verdict::Inconclusive),
        ("nothing at all, bar 0", vec![], 0.0, Verdict::Inconclusive),
        ("nothing applies, bar 0", everywhere(Blocker, NotApplicable), 0.0, Verdict::Inconclusive),
        ("everything skipped, bar 0", everywhere(Minor, Skipped), 0.0, Verdict::Inconclusive),
        ("a category without a check", without(Database), 0.0, Verdict::Inconclusive),
        ("a bar that is no number", everywhere(Minor, Warn), f64::NAN, Verdict::NotReady),
        ("a bar below the world", everywhere(Minor, Pass), -5.0, Verdict::Ready),
        ("a bar of infinity", everywhere(Minor, Pass), f64::INFINITY, Verdict::Ready),
    ];
    for (name, findings, bar, verdict) in table {
        let scored = score(&findings, &terms(bar));
        assert_eq!(scored.verdict, verdict, "{name}: {scored:?}");
        assert_eq!(scored.reasons.is_empty(), verdict == Verdict::Ready, "{name}: a verdict says why");
    }
}

#[test]
fn a_category_without_checks_is_unmeasured_and_keeps_its_weight() {
    let findings: Vec<Finding> =
        everywhere(Severity::Blocker, Outcome::Pass).into_iter().filter(|f| f.category as u8 > 1).collect();
    let scored = score(&findings, &terms(85.0));
    assert_eq!(scored.score, Interval { low: 60.0, high: 100.0 }, "40 of 100 points are not known");
    assert!((scored.coverage - 0.6).abs() < 1e-9);
    assert_eq!(scored.categories[0].score, Some(UNKNOWN));
    assert!(scored.reasons.iter().any(|r| r.contains("error-handling") && r.contains("no check exists")));
}

#[test]
fn weights_that_are_no_weights_never_help() {
    for weight in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0] {
        let categories = Category::ALL.iter().map(|c| (*c, weight, true)).collect();
        let scored = score(
            &everywhere(Severity::Blocker, Outcome::Pass),
            &Terms { categories, bar: 85.0, partial: false, checklist: false },
        );
        assert_eq!((scored.score, scored.verdict), (UNKNOWN, Verdict::Inconclusive), "weight {weight}");
    }
    let weightless: Vec<Finding> =
        Category::ALL.iter().map(|c| finding(*c, Severity::Blocker, 0, Outcome::Pass)).collect();
    assert_eq!(score(&weightless, &terms(85.0)).verdict, Verdict::Inconclusive);
}

#[test]
fn a_partial_run_answers_for_what_it_ran_and_is_never_ready() {
    let one = |outcome| vec![finding(Category::Database, Severity::Minor, 1, outcome)];
    let table = [
        (Outcome::Pass, Verdict::Partial),
        (Outcome::Fail, Verdict::NotReady),
        (Outcome::Error, Verdict::Inconclusive),
        (Outcome::Skipped, Verdict::Inconclusive),
        (Outcome::NotApplicable, Verdict::Inconclusive),
    ];
    for (outcome, verdict) in table {
        let scored = score(&one(outcome), &only(Category::Database));
        assert_eq!(scored.verdict, verdict, "{outcome:?}: {scored:?}");
        assert_eq!(scored.categories[0].score, None, "a category that was not asked leaves the denominator");
    }
    let empty = score(&[], &only(Category::ErrorHandling));
    assert_eq!(empty.verdict, Verdict::Inconclusive, "asking a category without checks proves nothing");
}

#[test]
fn a_report_that_was_touched_no_longer_agrees_with_itself() {
    let scored = score(&everywhere(Severity::Blocker, Outcome::Pass), &terms(85.0));
    let honest = report(everywhere(Severity::Blocker, Outcome::Pass), scored, 85.0);
    assert!(agrees(&honest));
    let mut raised = honest.clone();
    raised.score.low = 101.5;
    let mut hidden = honest.clone();
    hidden.categories.remove(0);
    let mut failed = honest.clone();
    failed.findings[3].outcome = Outcome::Fail;
    for (name, touched) in [("raised", raised), ("hidden", hidden), ("failed", failed)] {
        assert!(!agrees(&touched), "{name}");
    }
}

fn report(findings: Vec<Finding>, scored: Scored, bar: f64) -> Report {
    Report {
        schema_version: 1,
        run: crate::domain::RunId(1),
        environment: "dev".into(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        took_ms: 0.0,
        version: "0".into(),
        config_digest: String::new(),
        bar,
        partial: false,
        verdict: scored.verdict,
        reasons: scored.reasons,
        score: scored.score,
        coverage: scored.coverage,
        categories: scored.categories,
        findings,
        not_run: vec![],
        as_of: None,
        waivers: Vec::new(),
        score_without_waived: None,
        demands: Demands::default(),
        unmet: Vec::new(),
        baseline: None,
        checklist: None,
    }
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let severity = prop_oneof![Just(Severity::Blocker), Just(Severity::Major), Just(Severity::Minor)];
    (0..8_usize, severity, prop_oneof![Just(0_u32), 1..100_u32, Just(u32::MAX)], 0..7_usize)
        .prop_map(|(c, severity, weight, o)| finding(Category::ALL[c], severity, weight, ALL[o]))
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let weight = prop_oneof![0.0..100.0_f64, Just(0.0), Just(f64::NAN), Just(f64::MAX), Just(-3.0)];
    (prop::collection::vec((weight, any::<bool>()), 8), any::<f64>(), any::<bool>()).prop_map(
        |(weights, bar, partial)| Terms {
            categories: Category::ALL
                .into_iter()
                .zip(weights)
                .map(|(c, (w, asked))| (c, w, asked || !partial))
                .collect(),
            bar,
            partial,
            checklist: false,
        },
    )
}

proptest! {
    #[test]
    fn low_never_passes_high_and_both_stay_within_0_and_100(
        findings in prop::collection::vec(any_finding(), 0..30), terms in any_terms(),
    ) {
        let scored = score(&findings, &terms);
        let mut all: Vec<Interval> = scored.categories.iter().filter_map(|c| c.score).collect();
        all.push(scored.score);
        for Interval { low, high } in all {
            prop_assert!((0.0..=100.0).contains(&low) && (0.0..=100.0).contains(&high) && low <= high, "{low} {high}");
        }
        prop_assert!((0.0..=1.0).contains(&scored.coverage));
        prop_assert!(!(terms.partial && scored.verdict == Verdict::Ready));
        prop_assert!(terms.partial || scored.verdict != Verdict::Partial);
    }

    #[test]
    fn improving_one_outcome_never_lowers_anything(
        findings in prop::collection::vec(any_finding(), 1..30), terms in any_terms(), which: prop::sample::Index,
    ) {
        let ladder = [Outcome::Fail, Outcome::Warn, Outcome::Pass];
        let mut before = None;
        for outcome in ladder {
            let mut changed = findings.clone();
            which.get_mut(&mut changed).outcome = outcome;
            let now = score(&changed, &terms);
            if let Some(Scored { score: Interval { low, high }, verdict, .. }) = before {
                prop_assert!(now.score.low >= low && now.score.high >= high);
                prop_assert!(rank(now.verdict) >= rank(verdict));
            }
            before = Some(now);
        }
    }

    #[test]
    fn measuring_what_was_unmeasured_only_narrows(
        findings in prop::collection::vec(any_finding(), 1..30), terms in any_terms(), which: prop::sample::Index,
    ) {
        let mut unmeasured = findings.clone();
        which.get_mut(&mut unmeasured).outcome = Outcome::Error;
        let wide = score(&unmeasured, &terms).score;
        for outcome in [Outcome::Fail, Outcome::Warn, Outcome::Pass] {
            let mut measured = findings.clone();
            which.get_mut(&mut measured).outcome = outcome;
            let narrow = score(&measured, &terms).score;
            prop_assert!(narrow.low >= wide.low && narrow.high <= wide.high);
        }
    }

    #[test]
    fn order_does_not_matter(mut findings in prop::collection::vec(any_finding(), 0..30), terms in any_terms(), seed: u64) {
        let before = score(&findings, &terms);
        let mut dice = fastrand::Rng::with_seed(seed);
        dice.shuffle(&mut findings);
        let after = score(&findings, &terms);
        prop_assert_eq!(before.categories, after.categories);
        prop_assert_eq!((before.score, before.verdict), (after.score, after.verdict));
    }

    #[test]
    fn what_is_stored_recomputes_to_itself(findings in prop::collection::vec(any_finding(), 0..30), terms in any_terms()) {
        let bar = if terms.bar.is_finite() { terms.bar } else { 85.0 };
        let scored = score(&findings, &Terms { bar, ..terms.clone() });
        let mut stored = report(findings, scored, bar);
        stored.partial = terms.partial;
        let text = serde_json::to_string(&stored).expect("json");
        let back: Report = serde_json::from_str(&text).expect("the report back");
        prop_assert!(agrees(&back), "{text}");
    }
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NotReady => 0,
        Verdict::Inconclusive => 1,
        Verdict::Partial | Verdict::Ready => 2,
    }
}
