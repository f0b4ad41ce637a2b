//! Pure: one report held against an earlier one, check by check. Losing sight of a failure is no improvement, and
//! finding one where nothing could be measured is a regression.
use crate::domain::{Category, Comparison, Finding, Outcome, Report};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How a check fares beside what it did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Worse than it was.
    Regressed,
    /// Fails or warns now, and was not asked or had nothing to judge then.
    New,
    /// Better than it was.
    Improved,
    /// Asked then and not now.
    Gone,
    /// Neither better nor worse: another word, or a waiver that came or went.
    Changed,
}

/// One check that is not as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub id: String,
    pub title: String,
    pub category: Category,
    #[serde(rename = "move")]
    pub moved: Move,
    pub before: Option<State>,
    pub after: Option<State>,
}

/// A check's end in one of the two reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub outcome: Outcome,
    pub summary: String,
    pub waived: bool,
}

/// `after` held against `before`, which is named by its run; whoever read it from a file says so in `against`.
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let mut comparison = Comparison {
        against: format!("run {}", before.run),
        change: ((after.score.low - before.score.low) * 1e6).round() / 1e6,
        ..Comparison::default()
    };
    for change in changes(before, after) {
        match change.moved {
            Move::New => comparison.new.push(change.id),
            Move::Regressed => comparison.regressed.push(change.id),
            Move::Improved => comparison.improved.push(change.id),
            Move::Gone => comparison.gone.push(change.id),
            Move::Changed => {}
        }
    }
    comparison
}

/// Every check that is not as it was: in the order of `after`, then what is gone in the order of `before`. A summary
/// that reads otherwise while the outcome is the same is no change: it may hold a time.
pub fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let then: HashMap<&str, &Finding> = before.findings.iter().map(|f| (f.id.as_str(), f)).collect();
    let now: HashMap<&str, &Finding> = after.findings.iter().map(|f| (f.id.as_str(), f)).collect();
    let moved = after.findings.iter().filter_map(|finding| {
        let earlier = then.get(finding.id.as_str()).copied();
        Some(change(finding, step(earlier, finding)?, earlier, Some(finding)))
    });
    let gone = before.findings.iter().filter(|finding| !now.contains_key(finding.id.as_str()));
    moved.chain(gone.map(|finding| change(finding, Move::Gone, Some(finding), None))).collect()
}

fn change(named: &Finding, moved: Move, before: Option<&Finding>, after: Option<&Finding>) -> Change {
    Change {
        id: named.id.clone(),
        title: named.title.clone(),
        category: named.category,
        moved,
        before: before.map(state),
        after: after.map(state),
    }
}

fn state(finding: &Finding) -> State {
    State { outcome: finding.outcome, summary: finding.summary.clone(), waived: finding.waived.is_some() }
}

fn step(before: Option<&Finding>, after: &Finding) -> Option<Move> {
    let earlier = before.filter(|finding| finding.outcome != Outcome::NotApplicable);
    let Some(earlier) = earlier else {
        return match (before.is_some(), after.outcome) {
            (_, Outcome::Fail | Outcome::Warn) => Some(Move::New),
            (true, Outcome::NotApplicable) => None,
            _ => Some(Move::Changed),
        };
    };
    match (worth(earlier.outcome), worth(after.outcome)) {
        // What does not apply any more is neither.
        (_, None) | (None, _) => Some(Move::Changed),
        (Some(then), Some(now)) if now.0 < then.0 => Some(Move::Regressed),
        (Some(then), Some(now)) if now.0 > then.0 => Some(Move::Improved),
        (Some(then), Some(now)) if now.1 < then.1 => Some(Move::Regressed),
        _ => {
            let same = earlier.outcome == after.outcome && earlier.waived.is_some() == after.waived.is_some();
            (!same).then_some(Move::Changed)
        }
    }
}

/// The low and the high end of what an outcome may be worth.
fn worth(outcome: Outcome) -> Option<(u8, u8)> {
    match outcome {
        Outcome::Pass => Some((2, 2)),
        Outcome::Warn => Some((1, 1)),
        Outcome::Fail => Some((0, 0)),
        Outcome::Error | Outcome::Timeout | Outcome::Skipped => Some((0, 2)),
        Outcome::NotApplicable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Demands, Interval, RunId, Severity, Verdict};

    fn finding(id: &str, outcome: Outcome) -> Finding {
        Finding {
            id: id.into(),
            title: format!("what {id} is about"),
            category: Category::Database,
            severity: Severity::Blocker,
            weight: 1,
            outcome,
            summary: outcome.as_str().into(),
            evidence: Vec::new(),
            hint: None,
            exercised: true,
            declared: false,
            affected: Vec::new(),
            waived: None,
            took_ms: 1.0,
        }
    }

    fn report(run: u64, low: f64, findings: Vec<Finding>) -> Report {
        Report {
            schema_version: 1,
            run: RunId(run),
            environment: "staging".into(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            took_ms: 1.0,
            version: "0.1.0".into(),
            config_digest: String::new(),
            bar: 85.0,
            partial: false,
            verdict: Verdict::NotReady,
            reasons: Vec::new(),
            score: Interval { low, high: 100.0 },
            coverage: 1.0,
            categories: Vec::new(),
            findings,
            not_run: Vec::new(),
            as_of: None,
            waivers: Vec::new(),
            score_without_waived: None,
            demands: Demands::default(),
            unmet: Vec::new(),
            baseline: None,
            checklist: None,
        }
    }

    fn moved(before: Option<Outcome>, after: Option<Outcome>) -> Option<Move> {
        let of = |outcome: Option<Outcome>| outcome.map(|o| finding("DB-001", o)).into_iter().collect();
        changes(&report(1, 0.0, of(before)), &report(2, 0.0, of(after))).first().map(|change| change.moved)
    }

    #[test]
    fn every_pair_of_outcomes_moves_as_the_table_says() {
        use Outcome::{Error, Fail, NotApplicable, Pass, Skipped, Timeout, Warn};
        for (before, after, expected) in [
            (Pass, Fail, Some(Move::Regressed)),
            (Pass, Warn, Some(Move::Regressed)),
            (Pass, Error, Some(Move::Regressed)),
            (Warn, Timeout, Some(Move::Regressed)),
            (Skipped, Fail, Some(Move::Regressed)),
            (Fail, Warn, Some(Move::Improved)),
            (Fail, Pass, Some(Move::Improved)),
            (Error, Pass, Some(Move::Improved)),
            (Timeout, Warn, Some(Move::Improved)),
            (Fail, Error, Some(Move::Changed)),
            (Fail, Skipped, Some(Move::Changed)),
            (Error, Timeout, Some(Move::Changed)),
            (Fail, NotApplicable, Some(Move::Changed)),
            (Pass, NotApplicable, Some(Move::Changed)),
            (NotApplicable, Fail, Some(Move::New)),
            (NotApplicable, Warn, Some(Move::New)),
            (NotApplicable, Pass, Some(Move::Changed)),
            (NotApplicable, NotApplicable, None),
            (Fail, Fail, None),
            (Pass, Pass, None),
        ] {
            assert_eq!(moved(Some(before), Some(after)), expected, "{before:?} → {after:?}");
        }
        assert_eq!(moved(None, Some(Fail)), Some(Move::New));
        assert_eq!(moved(None, Some(Pass)), Some(Move::Changed));
        assert_eq!(moved(Some(Pass), None), Some(Move::Gone));
        assert_eq!(moved(Some(Fail), None), Some(Move::Gone), "a failure that is not asked is not mended");
    }

    #[test]
    fn the_lists_are_in_print_order_and_the_change_is_of_the_low_end() {
        let before = report(
            4,
            70.0,
            vec![finding("A", Outcome::Pass), finding("B", Outcome::Fail), finding("OLD", Outcome::Fail)],
        );
        let after = report(
            5,
            60.5,
            vec![finding("NEW", Outcome::Warn), finding("B", Outcome::Pass), finding("A", Outcome::Fail)],
        );
        let comparison = compare(&before, &after);
        assert_eq!(comparison.against, "run 4");
        assert!((comparison.change + 9.5).abs() < 1e-9);
        assert_eq!(
            (&comparison.new, &comparison.regressed, &comparison.improved, &comparison.gone),
            (&vec!["NEW".into()], &vec!["A".into()], &vec!["B".into()], &vec!["OLD".into()])
        );
        let order: Vec<String> = changes(&before, &after).into_iter().map(|change| change.id).collect();
        assert_eq!(order, ["NEW", "B", "A", "OLD"]);
    }

    #[test]
    fn a_report_is_as_it_was_beside_itself_and_a_new_waiver_is_no_improvement() {
        let before = report(1, 50.0, vec![finding("A", Outcome::Fail), finding("B", Outcome::Pass)]);
        assert_eq!(changes(&before, &before), []);
        let mut after = before.clone();
        after.findings[0].waived = Some(crate::domain::Waived {
            waiver: 1,
            owner: "ops".into(),
            reason: "known".into(),
            expires_at: jiff::Timestamp::UNIX_EPOCH,
        });
        let moves: Vec<Move> = changes(&before, &after).into_iter().map(|change| change.moved).collect();
        assert_eq!(moves, [Move::Changed]);
        assert_eq!(compare(&before, &after).improved, Vec::<String>::new());
    }
}
