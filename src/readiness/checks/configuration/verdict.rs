//! The verdict itself: what it amounts to where the findings are known. What is expected stands here as it would in a
//! specification, and is not asked of the scorer.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{Category, Finding, Outcome, Severity, Verdict, Waived},
    readiness::{Found, Proof, Scored, Terms, score},
};
#[cfg(test)]
use futures_util::FutureExt;

/// Findings → score and verdict.
pub type Judging = fn(&[Finding], &Terms) -> Scored;

pub const AS_SERVED: Judging = score;

const BAR: f64 = 85.0;

/// What was found, and what it must come to.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    /// Of the first check of the first category; every other one passes.
    first: (Outcome, Severity),
    waived: bool,
    partial: bool,
    verdict: Verdict,
    /// To two decimals.
    score: (f64, f64),
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("all pass", Outcome::Pass, Severity::Blocker, Verdict::Ready, (100.0, 100.0)),
    case("a gate fails", Outcome::Fail, Severity::Blocker, Verdict::NotReady, (90.0, 90.0)),
    case("what fails is no gate", Outcome::Fail, Severity::Major, Verdict::Ready, (90.0, 90.0)),
    case("what warns is a gate", Outcome::Warn, Severity::Blocker, Verdict::Ready, (95.0, 95.0)),
    case("a gate could not be measured", Outcome::Error, Severity::Blocker, Verdict::Inconclusive, (90.0, 100.0)),
    case("a gate was cut off", Outcome::Timeout, Severity::Blocker, Verdict::Inconclusive, (90.0, 100.0)),
    case("a gate was skipped", Outcome::Skipped, Severity::Blocker, Verdict::Inconclusive, (90.0, 100.0)),
    case("a gate does not apply", Outcome::NotApplicable, Severity::Blocker, Verdict::Ready, (100.0, 100.0)),
    Case { waived: true, ..case("a failing gate is waived", Outcome::Fail, Severity::Blocker, Verdict::Ready, (90.0, 90.0)) },
    Case { waived: true, ..case("an unmeasured gate is waived", Outcome::Error, Severity::Blocker, Verdict::Inconclusive, (90.0, 100.0)) },
    Case { partial: true, ..case("a part passes", Outcome::Pass, Severity::Major, Verdict::Partial, (100.0, 100.0)) },
    Case { partial: true, ..case("a part fails", Outcome::Fail, Severity::Major, Verdict::NotReady, (90.0, 90.0)) },
];

const fn case(
    what: &'static str,
    outcome: Outcome,
    severity: Severity,
    verdict: Verdict,
    score: (f64, f64),
) -> Case {
    Case { what, first: (outcome, severity), waived: false, partial: false, verdict, score }
}

pub fn refuses(judging: Judging) -> Found {
    let mut proof = Proof::default();
    for case in CASES {
        let judged = judging(&findings(case), &terms(BAR, case.partial));
        told(&mut proof, case.what, &judged, case.verdict, case.score);
    }
    let gateless =
        case("the bar is above the score", Outcome::Fail, Severity::Major, Verdict::NotReady, (90.0, 90.0));
    let judged = judging(&findings(&gateless), &terms(90.01, false));
    told(&mut proof, gateless.what, &judged, gateless.verdict, gateless.score);
    let level = Case { what: "the score is the bar", ..gateless };
    let judged = judging(&findings(&level), &terms(90.0, false));
    told(&mut proof, level.what, &judged, Verdict::Ready, level.score);
    let unsure = case(
        "the bar lies within the interval",
        Outcome::Error,
        Severity::Major,
        Verdict::Inconclusive,
        (90.0, 100.0),
    );
    let judged = judging(&findings(&unsure), &terms(95.0, false));
    told(&mut proof, unsure.what, &judged, unsure.verdict, unsure.score);
    let mut without = findings(&CASES[0]);
    without.retain(|finding| finding.category != Category::Database);
    let judged = judging(&without, &terms(BAR, false));
    told(&mut proof, "a category has no check", &judged, Verdict::Inconclusive, (85.0, 100.0));
    let judged = judging(&[], &terms(BAR, false));
    told(&mut proof, "nothing was found", &judged, Verdict::Inconclusive, (0.0, 100.0));
    proof.judge("known findings came to the score and the verdict that they must")
}

fn told(proof: &mut Proof, what: &str, judged: &Scored, verdict: Verdict, (low, high): (f64, f64)) {
    let same = |a: f64, b: f64| (a - b).abs() < 0.005;
    let right = judged.verdict == verdict && same(judged.score.low, low) && same(judged.score.high, high);
    let said = format!("{:?} {:.2}–{:.2}", judged.verdict, judged.score.low, judged.score.high);
    let want = if right { String::new() } else { format!(", must be {verdict:?} {low:.2}–{high:.2}") };
    proof.holds(right, format!("{what}: {said}{want}"));
}

/// Two checks a category, alike but for the first.
fn findings(case: &Case) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        Category::ALL.iter().flat_map(|category| [finding(*category), finding(*category)]).collect();
    let (outcome, severity) = case.first;
    if let Some(first) = findings.first_mut() {
        (first.outcome, first.severity) = (outcome, severity);
        first.waived = case.waived.then(waived);
    }
    findings
}

fn finding(category: Category) -> Finding {
    Finding {
        id: "scratch".into(),
        title: "scratch".into(),
        category,
        severity: Severity::Minor,
        weight: 1,
        outcome: Outcome::Pass,
        summary: String::new(),
        evidence: Vec::new(),
        hint: None,
        exercised: true,
        declared: false,
        affected: Vec::new(),
        waived: None,
        took_ms: 0.0,
    }
}

fn waived() -> Waived {
    Waived { waiver: 1, owner: "scratch".into(), reason: "scratch".into(), expires_at: jiff::Timestamp::MAX }
}

/// Document 000's weights: the first category weighs 20 of 100, and its first check half of that.
fn terms(bar: f64, partial: bool) -> Terms {
    Terms { categories: Vec::new(), bar, partial, checklist: false }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-017",
    at_work: || {
        async fn known(_: &crate::readiness::Ground, judging: Judging) -> Found {
            refuses(judging)
        }
        let mild: Judging = |findings, terms| {
            let mild: Vec<Finding> =
                findings.iter().cloned().map(|f| Finding { severity: Severity::Minor, ..f }).collect();
            score(&mild, terms)
        };
        let trusting: Judging = |findings, terms| {
            let mut trusted = findings.to_vec();
            for finding in trusted.iter_mut().filter(|finding| !finding.outcome.is_measured()) {
                finding.outcome = Outcome::Pass;
            }
            score(&trusted, terms)
        };
        let barless: Judging = |findings, terms| score(findings, &Terms { bar: 0.0, ..terms.clone() });
        let generous: Judging = |findings, terms| {
            let mut scored = score(findings, terms);
            scored.score.high = 101.5;
            scored
        };
        let broken = [
            ("gates that are none", mild),
            ("what was not measured counts as passed", trusting),
            ("no bar", barless),
            ("a score of 101.5", generous),
        ];
        tried(known, AS_SERVED, broken).boxed()
    },
};
