//! Was the way back tried out? How the last rehearsal of a return stands, of what a rollback would return to now.
use crate::{
    domain::{Fault, RehearsalStanding, Rehearsed},
    readiness::{Evidence, Found, check::settle},
};
use jiff::Timestamp;

pub async fn fresh(evidence: &Evidence) -> Found {
    let Some(rehearsing) = &evidence.rehearsing else {
        return Found::error("nobody here knows of rehearsals");
    };
    let look = async {
        let standing = rehearsing.standing().await?;
        Ok::<_, Fault>(judge(&standing, evidence.judged_at))
    };
    settle(look.await)
}

fn judge(standing: &RehearsalStanding, now: Timestamp) -> Found {
    let found = match standing.judge(now) {
        Rehearsed::Nowhere => {
            return Found::not_applicable(
                "no release but what runs was ever stable: there is no way back yet",
            );
        }
        Rehearsed::Fresh(why) => Found::pass(why),
        Rehearsed::InPart(why) | Rehearsed::Stale(why) | Rehearsed::Never(why) => Found::warn(why),
        Rehearsed::Failed(why) => Found::fail(why),
    };
    let Some(last) = &standing.last else { return found };
    let agents = last.agents.iter().map(|agent| match agent.ready_ms {
        Some(ms) => format!("{} was ready after {ms} ms", agent.name),
        None => format!("{} was not ready at the end", agent.name),
    });
    let left_out = last.left_out.iter().map(|left| format!("{} was not started: {}", left.agent, left.why));
    let found = found.seen(format!("{} of {}, by {}", last.operation, last.release, last.by));
    found.all_seen(last.problems.iter().skip(1)).all_seen(agents).all_seen(left_out).all_seen(&last.unproved)
}

#[cfg(test)]
pub use sabotage::SABOTEUR;

#[cfg(test)]
mod sabotage {
    use super::*;
    use crate::{
        domain::{Digest, LeftOut, OperationId, Outcome, Period, Principal, Rehearsal, ReleaseId},
        readiness::checks::{Saboteur, Tried},
    };
    use futures_util::FutureExt;
    use jiff::SignedDuration;

    fn standing(days: i64, problems: &[&str], left_out: &[&str]) -> RehearsalStanding {
        let last = Rehearsal {
            id: 1,
            operation: OperationId(4),
            release: ReleaseId(1),
            content: Digest::default(),
            at: now() - SignedDuration::from_hours(days * 24),
            by: Principal::user(0),
            took: Period::secs(9),
            copy_bytes: 1,
            agents: Vec::new(),
            left_out: left_out
                .iter()
                .map(|name| LeftOut { agent: name.parse().expect("a name"), why: "it sends".into() })
                .collect(),
            unproved: Vec::new(),
            problems: problems.iter().map(|text| (*text).to_owned()).collect(),
        };
        RehearsalStanding { target: Some(ReleaseId(1)), last: Some(last), max_age: Period::secs(30 * 86_400) }
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000)
    }

    pub const SABOTEUR: Saboteur = Saboteur {
        of: "AO-014",
        at_work: || {
            async {
                let judged = |standing: &RehearsalStanding| judge(standing, now());
                let never = RehearsalStanding { last: None, ..standing(1, &[], &[]) };
                Tried {
                    sound: vec![judged(&standing(29, &[], &[]))],
                    broken: vec![
                        ("a return that was never rehearsed", judged(&never)),
                        ("an old rehearsal", judged(&standing(31, &[], &[]))),
                        ("a rehearsal that failed", judged(&standing(1, &["orders fell"], &[]))),
                        ("one that failed long ago", judged(&standing(99, &["orders fell"], &[]))),
                        ("a rehearsal of a part", judged(&standing(1, &[], &["sms"]))),
                    ],
                }
            }
            .boxed()
        },
    };

    #[test]
    fn what_failed_fails_what_is_missing_warns_and_nowhere_is_no_matter() {
        let of = |standing: &RehearsalStanding| judge(standing, now()).outcome;
        assert_eq!(of(&standing(1, &["fell"], &[])), Outcome::Fail);
        assert_eq!(of(&standing(31, &[], &[])), Outcome::Warn);
        assert_eq!(of(&RehearsalStanding { last: None, ..standing(1, &[], &[]) }), Outcome::Warn);
        assert_eq!(of(&RehearsalStanding { target: None, ..standing(1, &[], &[]) }), Outcome::NotApplicable);
        let found = judge(&standing(1, &["fell", "and broke"], &["sms"]), now());
        assert!(found.evidence.iter().any(|line| line.contains("and broke")), "{found:?}");
        assert!(
            found.evidence.iter().any(|line| line.contains("sms was not started: it sends")),
            "{found:?}"
        );
    }
}
