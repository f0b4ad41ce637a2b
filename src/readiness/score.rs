//! Pure: findings and weights → category scores → interval → verdict. Everything it needs is in a report, so
//! `recompute` can always be held against what a report says of itself.
use super::{demands, waiver};
use crate::domain::{Category, CategoryScore, Finding, Interval, Outcome, Report, Severity, Verdict};

/// Weights of document 000; they add up to 100.
pub const DEFAULT_WEIGHTS: [(Category, f64); 8] = [
    (Category::ErrorHandling, 20.0),
    (Category::Authentication, 20.0),
    (Category::Database, 15.0),
    (Category::HealthMonitoring, 15.0),
    (Category::Configuration, 10.0),
    (Category::AgentOperations, 10.0),
    (Category::Performance, 5.0),
    (Category::Security, 5.0),
];

/// What the findings are judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// One entry a category: its weight, and whether this run asked it at all. A category that is not named keeps
    /// its default weight and was asked, so that leaving one out can never raise a score.
    pub categories: Vec<(Category, f64, bool)>,
    pub bar: f64,
    pub partial: bool,
    /// What is required decides alone: no category need be covered, and its bar is 0.
    pub checklist: bool,
}

/// What follows from the findings.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    pub categories: Vec<CategoryScore>,
    pub score: Interval,
    pub coverage: f64,
    pub verdict: Verdict,
    /// Worst first, a sentence each.
    pub reasons: Vec<String>,
    /// What the score would be if what waivers speak for did not apply; none where they speak for nothing.
    pub without_waived: Option<Interval>,
}

/// Beyond this a sum of weights could pass what a float holds.
const HEAVIEST: f64 = 1e9;

const UNKNOWN: Interval = Interval { low: 0.0, high: 100.0 };

pub fn score(findings: &[Finding], terms: &Terms) -> Scored {
    let (categories, score, coverage) = sum(findings, terms);
    let (verdict, reasons) = judge(findings, &categories, score, terms);
    let waived = findings.iter().any(|finding| finding.waived.is_some());
    let without_waived = waived.then(|| sum(&without(findings), terms).1);
    Scored { categories, score, coverage, verdict, reasons, without_waived }
}

fn without(findings: &[Finding]) -> Vec<Finding> {
    let mut rest = findings.to_vec();
    for finding in rest.iter_mut().filter(|finding| finding.waived.is_some()) {
        finding.outcome = Outcome::NotApplicable;
    }
    rest
}

fn sum(findings: &[Finding], terms: &Terms) -> (Vec<CategoryScore>, Interval, f64) {
    let categories: Vec<CategoryScore> =
        Category::ALL.iter().map(|category| of_category(*category, findings, terms)).collect();
    let counted = || categories.iter().filter(|c| c.weight > 0.0).filter_map(|c| Some((c, c.score?)));
    let total: f64 = counted().map(|(c, _)| c.weight).sum();
    let mean = |part: fn(&CategoryScore, Interval) -> f64| {
        counted().map(|(c, interval)| c.weight / total * part(c, interval)).sum::<f64>()
    };
    // No weight at all means that nothing was measured, whatever the findings say.
    let (score, coverage) = if total > 0.0 {
        let (low, high) = (points(mean(|_, i| i.low)), points(mean(|_, i| i.high)));
        (Interval { low, high: high.max(low) }, share(mean(|c, _| c.coverage)))
    } else {
        (UNKNOWN, 0.0)
    };
    (categories, score, coverage)
}

/// The score that a report's own findings, weights, bar and waivers amount to. What a finding says of its waiver is
/// not believed.
pub fn recompute(report: &Report) -> Scored {
    let categories = report.categories.iter().map(|c| (c.category, c.weight, c.asked)).collect();
    let mut findings = report.findings.clone();
    waiver::apply(&mut findings, &report.waivers, waiver::judged_at(report));
    score(
        &findings,
        &Terms {
            categories,
            bar: report.bar,
            partial: report.partial,
            checklist: report.checklist.is_some(),
        },
    )
}

/// Does the report say of itself what its findings amount to?
pub fn agrees(report: &Report) -> bool {
    let again = recompute(report);
    again.categories == report.categories
        && again.score == report.score
        && again.coverage.to_bits() == report.coverage.to_bits()
        && again.verdict == report.verdict
        && again.without_waived == report.score_without_waived
        && waiver::agree(report)
        && demands::unmet_by(report) == report.unmet
}

fn of_category(category: Category, findings: &[Finding], terms: &Terms) -> CategoryScore {
    let default = DEFAULT_WEIGHTS.iter().find(|(c, _)| *c == category).map_or(0.0, |(_, weight)| *weight);
    let given = terms.categories.iter().find(|(c, ..)| *c == category);
    let weight = given
        .map_or(default, |(_, weight, _)| if weight.is_finite() { weight.clamp(0.0, HEAVIEST) } else { 0.0 });
    let asked = given.is_none_or(|(.., asked)| *asked);

    let mine = || findings.iter().filter(|f| f.category == category);
    let mut checks = 0;
    let mut passed = 0;
    // Whole numbers: the order of the findings cannot matter.
    let (mut applicable, mut measured, mut earned) = (0_u64, 0_u64, 0_u64);
    for finding in mine() {
        checks += 1;
        passed += u32::from(finding.outcome == Outcome::Pass);
        if finding.outcome == Outcome::NotApplicable {
            continue;
        }
        let weight = u64::from(finding.weight);
        applicable += weight;
        if finding.outcome.is_measured() {
            measured += weight;
        }
        earned += weight * worth(finding.outcome);
    }
    let nothing_applies = checks > 0 && mine().all(|f| f.outcome == Outcome::NotApplicable);
    let (interval, coverage) = if !asked || nothing_applies {
        (None, 0.0)
    } else if applicable == 0 {
        (Some(UNKNOWN), 0.0)
    } else {
        let whole = applicable as f64;
        let low = points(earned as f64 / whole);
        let high = points((earned + 100 * (applicable - measured)) as f64 / whole);
        (Some(Interval { low, high }), share(measured as f64 / whole))
    };
    CategoryScore { category, weight, score: interval, coverage, checks, passed, asked }
}

fn worth(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Pass => 100,
        Outcome::Warn => 50,
        Outcome::Fail | Outcome::Error | Outcome::Timeout | Outcome::Skipped | Outcome::NotApplicable => 0,
    }
}

/// NOT READY if a gate fails or the high end is under the bar; else INCONCLUSIVE if a gate or a whole category is
/// unmeasured or the low end is under the bar; else READY. A partial run is held to every check it ran, and where
/// it holds it says so of those alone. A waiver lifts what failed, never what is unmeasured.
fn judge(
    findings: &[Finding],
    categories: &[CategoryScore],
    score: Interval,
    terms: &Terms,
) -> (Verdict, Vec<String>) {
    // A bar that is no number would let everything pass.
    let bar = if terms.bar.is_finite() { terms.bar.clamp(0.0, 100.0) } else { 100.0 };
    let binding = |f: &&Finding| f.severity == Severity::Blocker || terms.partial;
    let mut against = Vec::new();
    let mut unsure = Vec::new();
    for finding in findings.iter().filter(binding) {
        let what = match finding.severity {
            _ if terms.checklist => "item",
            Severity::Blocker => "gate",
            Severity::Major | Severity::Minor => "check",
        };
        let Finding { id, title, outcome, summary, .. } = finding;
        match outcome {
            // Somebody answers for it. It lifts no more than this: the points are not earned.
            Outcome::Fail if finding.waived.is_some() => {}
            Outcome::Fail => against.push(format!("{what} {id} failed: {title}: {summary}")),
            Outcome::Error | Outcome::Timeout | Outcome::Skipped => {
                unsure.push(format!("{what} {id} is unmeasured ({}): {title}: {summary}", outcome.as_str()));
            }
            Outcome::Pass | Outcome::Warn | Outcome::NotApplicable => {}
        }
    }
    if score.high < bar {
        against.push(format!("the score is at most {:.2}, under the bar of {bar}", score.high));
    }
    for category in categories.iter().filter(|c| c.asked && !terms.checklist) {
        let name = category.category;
        if category.checks == 0 {
            unsure.push(format!("category {name} is unmeasured: no check exists for this category yet"));
        } else if category.score.is_some() && category.coverage <= 0.0 {
            unsure.push(format!(
                "category {name} is unmeasured: none of its {} checks could measure",
                category.checks
            ));
        }
    }
    if score.low < bar && score.high >= bar {
        unsure.push(format!(
            "the score lies between {:.2} and {:.2}: its low end is under the bar of {bar}",
            score.low, score.high
        ));
    }
    if !findings.iter().any(|f| f.outcome.is_measured()) {
        unsure.push("nothing was measured".into());
    }
    let verdict = match (against.is_empty(), unsure.is_empty()) {
        (false, _) => Verdict::NotReady,
        (true, false) => Verdict::Inconclusive,
        (true, true) if terms.partial => Verdict::Partial,
        (true, true) => Verdict::Ready,
    };
    against.append(&mut unsure);
    (verdict, against)
}

/// Six decimals: what is printed and parsed again is the same number.
fn points(value: f64) -> f64 {
    if value.is_finite() { ((value * 1e6).round() / 1e6).clamp(0.0, 100.0) } else { 0.0 }
}

fn share(value: f64) -> f64 {
    points(value).min(1.0)
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
