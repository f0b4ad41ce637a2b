//! What the caller asked for beyond the verdict, held against what came of it. It can only make a run stricter: a
//! finding for which a waiver speaks is answered for here too.
use crate::domain::{Comparison, Demands, FailOn, Fault, Finding, Interval, Outcome, Report};

/// More ids than this say nothing more.
const MOST_NAMED: usize = 10;

/// Is this something that can be asked?
pub fn verify(demands: &Demands) -> Result<(), Fault> {
    match demands.fail_under {
        Some(under) if !(0.0..=100.0).contains(&under) => {
            Err(Fault::usage(format!("cannot ask for a score of {under}: it lies between 0 and 100")))
        }
        _ => Ok(()),
    }
}

/// Does it take an earlier report to answer?
pub fn needs_baseline(demands: &Demands) -> bool {
    matches!(demands.fail_on, Some(FailOn::New | FailOn::Regressed))
}

/// What a report does not meet of what was asked of it, a sentence each.
pub fn unmet_by(report: &Report) -> Vec<String> {
    unmet(&report.demands, report.score, &report.findings, report.baseline.as_ref())
}

pub fn unmet(
    demands: &Demands,
    score: Interval,
    findings: &[Finding],
    baseline: Option<&Comparison>,
) -> Vec<String> {
    let mut unmet = Vec::new();
    // A demand that is no number is not met by anything.
    if let Some(under) = demands.fail_under.filter(|under| under.is_nan() || score.low < *under) {
        unmet.push(format!("the score is {:.2} at least, and --fail-under asks for {under}", score.low));
    }
    let Some(fail_on) = demands.fail_on else { return unmet };
    if baseline.is_none() && needs_baseline(demands) {
        unmet.push(format!("--fail-on {} was asked, and there is no baseline", word(fail_on)));
        return unmet;
    }
    let listed =
        |list: fn(&Comparison) -> &[String], id: &String| baseline.is_some_and(|b| list(b).contains(id));
    let new = |id: &String| listed(|b| &b.new, id);
    let regressed = |id: &String| listed(|b| &b.regressed, id);
    let fails = |finding: &Finding| finding.outcome == Outcome::Fail;
    let troubles = |finding: &Finding| fails(finding) || finding.outcome == Outcome::Warn;
    let counts = |finding: &&Finding| match fail_on {
        FailOn::Fail => fails(finding),
        FailOn::Warn => troubles(finding),
        // What passed or was not known then is new trouble just as what was not asked.
        FailOn::New => troubles(finding) && (new(&finding.id) || regressed(&finding.id)),
        FailOn::Regressed => regressed(&finding.id),
    };
    let open = findings.iter().filter(|finding| finding.waived.is_none());
    let ids: Vec<&str> = open.filter(counts).map(|finding| finding.id.as_str()).collect();
    if !ids.is_empty() {
        unmet.push(format!("--fail-on {}: {}", word(fail_on), names(&ids)));
    }
    unmet
}

fn names(ids: &[&str]) -> String {
    let shown = ids.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(MOST_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn word(fail_on: FailOn) -> &'static str {
    match fail_on {
        FailOn::Fail => "fail",
        FailOn::Warn => "warn",
        FailOn::New => "new",
        FailOn::Regressed => "regressed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Category, Severity, Waived};

    fn finding(id: &str, outcome: Outcome) -> Finding {
        Finding {
            id: id.into(),
            title: "a check".into(),
            category: Category::Database,
            severity: Severity::Minor,
            weight: 1,
            outcome,
            summary: "because".into(),
            evidence: Vec::new(),
            hint: None,
            exercised: false,
            declared: false,
            affected: Vec::new(),
            waived: None,
            took_ms: 1.0,
        }
    }

    fn on(fail_on: FailOn) -> Demands {
        Demands { fail_under: None, fail_on: Some(fail_on) }
    }

    const SCORE: Interval = Interval { low: 80.0, high: 100.0 };

    #[test]
    fn a_score_is_held_against_its_low_end() {
        let under = |under: f64| {
            let demands = Demands { fail_under: Some(under), fail_on: None };
            (unmet(&demands, SCORE, &[], None).len(), verify(&demands).is_ok())
        };
        assert_eq!((under(0.0), under(80.0)), ((0, true), (0, true)));
        assert_eq!((under(80.01), under(100.0)), ((1, true), (1, true)));
        assert_eq!((under(f64::NAN), under(f64::INFINITY)), ((1, false), (1, false)));
        assert_eq!(under(-1.0), (0, false));
        assert!(unmet(&Demands::default(), SCORE, &[finding("A", Outcome::Fail)], None).is_empty());
    }

    #[test]
    fn what_counts_is_what_was_asked_and_a_waiver_answers_for_it() {
        let mut waived = finding("WAIVED", Outcome::Fail);
        waived.waived = Some(Waived {
            waiver: 1,
            owner: "ana".into(),
            reason: "known".into(),
            expires_at: jiff::Timestamp::MAX,
        });
        let findings = [
            finding("FAILS", Outcome::Fail),
            finding("WARNS", Outcome::Warn),
            finding("LOST", Outcome::Error),
            finding("PASSES", Outcome::Pass),
            finding("ADDED", Outcome::Warn),
            waived,
        ];
        let baseline = Comparison {
            new: vec!["ADDED".into()],
            regressed: vec!["FAILS".into(), "LOST".into(), "WAIVED".into()],
            gone: vec!["GONE".into()],
            ..Comparison::default()
        };
        let said = |fail_on| unmet(&on(fail_on), SCORE, &findings, Some(&baseline)).join("; ");
        assert_eq!(said(FailOn::Fail), "--fail-on fail: FAILS");
        assert_eq!(said(FailOn::Warn), "--fail-on warn: FAILS, WARNS, ADDED");
        assert_eq!(said(FailOn::New), "--fail-on new: FAILS, ADDED");
        assert_eq!(said(FailOn::Regressed), "--fail-on regressed: FAILS, LOST");
        let same = Comparison::default();
        assert!(unmet(&on(FailOn::New), SCORE, &findings, Some(&same)).is_empty());
    }

    #[test]
    fn without_a_baseline_nothing_is_known_to_be_old() {
        for fail_on in [FailOn::New, FailOn::Regressed] {
            assert_eq!(unmet(&on(fail_on), SCORE, &[], None).len(), 1);
        }
        assert!(unmet(&on(FailOn::Fail), SCORE, &[], None).is_empty());
    }

    #[test]
    fn many_are_counted_and_not_all_named() {
        let findings: Vec<Finding> = (0..14).map(|n| finding(&format!("X-{n:02}"), Outcome::Fail)).collect();
        let said = unmet(&on(FailOn::Fail), SCORE, &findings, None);
        assert!(said[0].ends_with("X-09 and 4 more"), "{said:?}");
    }
}
