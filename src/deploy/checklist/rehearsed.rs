//! `rehearsal`: a return was rehearsed not long ago, all of it, and went well.
use super::kind::{Around, Look, problem};
use crate::{
    config::OptionProblem,
    domain::{Period, RehearsalStanding, Rehearsed},
    readiness::{Evidence, Found},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

/// Asks whether the way back was tried out.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "RehearsalItemOptions")]
pub struct Options {
    /// How old the last rehearsal may be. Default: `max_age` under [rehearsal].
    max_age: Option<Period>,
    /// One that left agents out will do.
    in_part: bool,
}

pub struct OfReturn(Options);

impl Look for OfReturn {
    const NAME: &'static str = "rehearsal";
    const ABOUT: &'static str = "looks whether a return was rehearsed, lately and with success";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if options.max_age.is_some_and(|age| age.0.is_zero()) {
            return Err(vec![problem("/max_age", "is no time at all", Some("write it like 30d"))]);
        }
        Ok(Self(options))
    }

    async fn look(&self, evidence: &Evidence, _around: &Around) -> Found {
        let Some(rehearsing) = &evidence.rehearsing else {
            return Found::skipped("nothing of rehearsals is known here, so none was seen to be fresh");
        };
        match rehearsing.standing().await {
            Ok(standing) => self.judge(standing, evidence.judged_at),
            Err(fault) => fault.into(),
        }
    }
}

impl OfReturn {
    fn judge(&self, standing: RehearsalStanding, at: Timestamp) -> Found {
        let max_age = self.0.max_age.unwrap_or(standing.max_age);
        match (RehearsalStanding { max_age, ..standing }.judge(at), self.0.in_part) {
            (Rehearsed::Nowhere, _) => {
                Found::not_applicable("no release but what runs was ever stable: there is no way back yet")
            }
            (Rehearsed::Fresh(why), _) | (Rehearsed::InPart(why), true) => Found::pass(why),
            (
                Rehearsed::InPart(why)
                | Rehearsed::Stale(why)
                | Rehearsed::Never(why)
                | Rehearsed::Failed(why),
                _,
            ) => Found::fail(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, LeftOut, OperationId, Outcome, Principal, Rehearsal, ReleaseId};
    use jiff::SignedDuration;

    #[test]
    fn none_an_old_one_a_part_and_one_that_failed_do_not_hold() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
        let judged = |options: Options, change: &dyn Fn(&mut RehearsalStanding)| {
            let last = Rehearsal {
                id: 1,
                operation: OperationId(4),
                release: ReleaseId(1),
                content: Digest::default(),
                at: now - SignedDuration::from_hours(48),
                by: Principal::user(0),
                took: Period::secs(9),
                copy_bytes: 1,
                agents: Vec::new(),
                left_out: Vec::new(),
                unproved: Vec::new(),
                problems: Vec::new(),
            };
            let mut standing = RehearsalStanding {
                target: Some(ReleaseId(1)),
                last: Some(last),
                max_age: Period::secs(30 * 86_400),
            };
            change(&mut standing);
            OfReturn(options).judge(standing, now).outcome
        };
        let leave = |standing: &mut RehearsalStanding| {
            let left = LeftOut { agent: "sms".parse().expect("a name"), why: "it sends".into() };
            standing.last.as_mut().expect("one").left_out = vec![left];
        };
        let fail = |standing: &mut RehearsalStanding| {
            standing.last.as_mut().expect("one").problems = vec!["orders fell".into()];
        };
        let strict = || Options { max_age: Some(Period::secs(86_400)), in_part: false };
        assert_eq!(judged(Options::default(), &|_| {}), Outcome::Pass);
        assert_eq!(judged(strict(), &|_| {}), Outcome::Fail);
        assert_eq!(judged(Options::default(), &|standing| standing.last = None), Outcome::Fail);
        assert_eq!(judged(Options::default(), &fail), Outcome::Fail);
        assert_eq!(judged(Options::default(), &leave), Outcome::Fail);
        assert_eq!(judged(Options { in_part: true, ..Options::default() }, &leave), Outcome::Pass);
        assert_eq!(judged(Options::default(), &|standing| standing.target = None), Outcome::NotApplicable);
        assert!(OfReturn::compile(Options { max_age: Some(Period::secs(0)), in_part: false }).is_err());
    }
}
