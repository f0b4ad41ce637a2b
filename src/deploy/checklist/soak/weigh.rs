//! Pure: from what is said of each of many to one answer. What is broken weighs more than what is not known, and that
//! more than all that holds.
use crate::readiness::Found;

/// How many are told one by one.
const MOST_TOLD: usize = 20;

/// What is said of one series, with its figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Breaks(String),
    /// Too little was seen to say either.
    Unsure(String),
    Holds(String),
}

/// `holds` completes "12 …"; of nothing at all `nothing` is said, and it is no pass.
pub fn weigh(said: Vec<Said>, holds: &str, nothing: &str) -> Found {
    let (mut breaks, mut unsure, mut sound) = (Vec::new(), Vec::new(), Vec::new());
    for one in said {
        match one {
            Said::Breaks(text) => breaks.push(text),
            Said::Unsure(text) => unsure.push(text),
            Said::Holds(text) => sound.push(text),
        }
    }
    let others = |all: &[String]| match all.len() {
        0 | 1 => String::new(),
        count => format!("; and {} more", count - 1),
    };
    let found = match (breaks.first(), unsure.first()) {
        (Some(first), _) => Found::fail(format!("{first}{}", others(&breaks))),
        (None, Some(first)) => Found::skipped(format!("{first}{}", others(&unsure))),
        (None, None) if sound.is_empty() => return Found::skipped(nothing),
        (None, None) => Found::pass(match &sound[..] {
            [only] => only.clone(),
            all => format!("{} {holds}", all.len()),
        }),
    };
    let all = breaks.len() + unsure.len() + sound.len();
    let lines =
        |what: &'static str, of: Vec<String>| of.into_iter().map(move |text| format!("{what}: {text}"));
    let told = lines("BROKEN", breaks).chain(lines("unknown", unsure)).chain(lines("held", sound));
    let found = found.all_seen(told.take(MOST_TOLD));
    if all > MOST_TOLD { found.seen(format!("{} more", all - MOST_TOLD)) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn one_that_breaks_is_enough_and_one_that_is_unknown_is_never_a_pass() {
        let (breaks, unsure, holds) = (
            Said::Breaks("a leaks".into()),
            Said::Unsure("b is young".into()),
            Said::Holds("c is still".into()),
        );
        for (said, outcome, told) in [
            (vec![], Outcome::Skipped, "nothing was seen"),
            (vec![holds.clone()], Outcome::Pass, "c is still"),
            (vec![holds.clone(), holds.clone()], Outcome::Pass, "2 series hold"),
            (vec![holds.clone(), unsure.clone()], Outcome::Skipped, "b is young"),
            (vec![unsure.clone(), holds, breaks.clone(), breaks], Outcome::Fail, "a leaks; and 1 more"),
        ] {
            let found = weigh(said.clone(), "series hold", "nothing was seen");
            assert_eq!((found.outcome, found.summary.as_str()), (outcome, told));
            assert_eq!(found.evidence.len(), said.len());
        }
        let many = weigh(vec![unsure; 30], "", "");
        assert_eq!((many.evidence.len(), many.evidence[20].as_str()), (21, "10 more"));
    }
}
