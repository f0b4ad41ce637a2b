//! Pure: every number that a report says of itself, computed again from its findings, weights and waivers.
use super::{demands, recompute, waiver};
use crate::domain::{CategoryScore, Interval, Report, Waived};
use serde::Serialize;
use std::collections::BTreeMap;

/// Half of the last digit that a score is kept with.
const NEAR: f64 = 5e-7;

/// Where a report says one thing and its findings another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    pub what: String,
    pub given: String,
    pub recomputed: String,
}

/// Nothing if the report holds. What a baseline was is not in the report: its comparison is taken as it is told.
pub fn verify(report: &Report) -> Vec<Disagreement> {
    let mut held = Held::default();
    whole(report, &mut held);
    let again = recompute(report);
    for fresh in &again.categories {
        let given: Vec<&CategoryScore> =
            report.categories.iter().filter(|given| given.category == fresh.category).collect();
        held.same(&format!("entries of category {}", fresh.category), given.len(), 1);
        if let [given] = given[..] {
            category(given, fresh, &mut held);
        }
    }
    held.interval("score", Some(report.score), Some(again.score));
    held.interval("score without what is waived", report.score_without_waived, again.without_waived);
    held.number("coverage", report.coverage, again.coverage);
    held.same("verdict", report.verdict.as_str(), again.verdict.as_str());
    held.lines("reason", &report.reasons, &again.reasons);
    held.lines("unmet demand", &report.unmet, &demands::unmet_by(report));
    held.0
}

/// What must hold before any sum is made: no check twice, none waived by nobody, nothing left out unsaid.
fn whole(report: &Report, held: &mut Held) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &report.findings {
        *times.entry(&finding.id).or_default() += 1;
    }
    for (id, times) in times.into_iter().filter(|(_, times)| *times > 1) {
        held.same(&format!("findings of check {id}"), times, 1);
    }
    let mut again = report.findings.clone();
    waiver::apply(&mut again, &report.waivers, waiver::judged_at(report));
    let by = |waived: &Option<Waived>| {
        waived.as_ref().map_or_else(
            || "nobody".into(),
            |waived| format!("waiver {}: {}", waived.waiver, waived.sentence()),
        )
    };
    for (given, fresh) in
        report.findings.iter().zip(&again).filter(|(given, fresh)| given.waived != fresh.waived)
    {
        held.same(&format!("who answers for {}", given.id), by(&given.waived), by(&fresh.waived));
    }
    // A checklist has items in the groups that it needs.
    let whole_groups = report.checklist.is_some() || report.categories.iter().all(|category| category.asked);
    let left_out = !report.not_run.is_empty() || !whole_groups;
    if left_out && !report.partial {
        held.same("partial", "false", "true");
    }
    held.number("bar", report.bar, report.bar.clamp(0.0, 100.0));
}

fn category(given: &CategoryScore, fresh: &CategoryScore, held: &mut Held) {
    let of = |what: &str| format!("{what} of {}", given.category);
    held.number(&of("weight"), given.weight, fresh.weight);
    held.interval(&of("score"), given.score, fresh.score);
    held.number(&of("coverage"), given.coverage, fresh.coverage);
    held.same(&of("checks"), given.checks, fresh.checks);
    held.same(&of("checks passed"), given.passed, fresh.passed);
}

#[derive(Default)]
struct Held(Vec<Disagreement>);

impl Held {
    fn same<T: PartialEq + ToString>(&mut self, what: &str, given: T, recomputed: T) {
        if given != recomputed {
            let (given, recomputed) = (given.to_string(), recomputed.to_string());
            self.0.push(Disagreement { what: what.into(), given, recomputed });
        }
    }

    fn number(&mut self, what: &str, given: f64, recomputed: f64) {
        if !near(given, recomputed) {
            self.0.push(Disagreement {
                what: what.into(),
                given: given.to_string(),
                recomputed: recomputed.to_string(),
            });
        }
    }

    fn interval(&mut self, what: &str, given: Option<Interval>, recomputed: Option<Interval>) {
        let holds = match (given, recomputed) {
            (None, None) => true,
            (Some(given), Some(fresh)) => near(given.low, fresh.low) && near(given.high, fresh.high),
            _ => false,
        };
        if !holds {
            // In full: two that differ in the fifth decimal must not read alike.
            let text = |interval: Option<Interval>| match interval {
                None => "none".to_owned(),
                Some(Interval { low, high }) => format!("{low} to {high}"),
            };
            let (given, recomputed) = (text(given), text(recomputed));
            self.0.push(Disagreement { what: what.into(), given, recomputed });
        }
    }

    fn lines(&mut self, what: &str, given: &[String], recomputed: &[String]) {
        for index in 0..given.len().max(recomputed.len()) {
            let text = |lines: &[String]| lines.get(index).map_or_else(|| "none".to_owned(), Clone::clone);
            self.same(&format!("{what} {}", index + 1), text(given), text(recomputed));
        }
    }
}

/// False for what is no number.
fn near(given: f64, recomputed: f64) -> bool {
    (given - recomputed).abs() <= NEAR
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
