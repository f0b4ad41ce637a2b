//! A rehearsal: what came of starting a release beside the fleet, on a copy of the day's database; and what the last one
//! says of the way back today.
use super::{AgentName, Digest, OperationId, Period, Principal, ReleaseId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Given by the store.
    #[serde(default)]
    pub id: u64,
    pub operation: OperationId,
    pub release: ReleaseId,
    /// Of the release: another release that ships the same was rehearsed with it.
    pub content: Digest,
    pub at: Timestamp,
    pub by: Principal,
    pub took: Period,
    /// Size of the copy of the database.
    pub copy_bytes: u64,
    /// What was started.
    pub agents: Vec<RehearsedAgent>,
    /// What was not, and so was not proved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What else of the way back this does not speak for, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproved: Vec<String>,
    /// What did not hold; nothing, if it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Rehearsal {
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedAgent {
    pub name: AgentName,
    /// From the start of all of them; none if it never was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<u64>,
    /// Of one that was not ready at the end: what it said last. Untrusted text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub agent: AgentName,
    pub why: String,
}

/// How rehearsed the way back is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalStanding {
    /// What a rollback would return to now; none: nowhere.
    pub target: Option<ReleaseId>,
    /// The last rehearsal of what that release ships.
    pub last: Option<Rehearsal>,
    /// How old it may be.
    pub max_age: Period,
}

/// What a standing amounts to, with the sentence that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// There is no way back, so there is none to rehearse.
    Nowhere,
    Fresh(String),
    /// It passed, and did not speak for all of it.
    InPart(String),
    Stale(String),
    Never(String),
    Failed(String),
}

impl RehearsalStanding {
    pub fn judge(&self, now: Timestamp) -> Rehearsed {
        let Some(target) = self.target else { return Rehearsed::Nowhere };
        let Some(last) = &self.last else {
            return Rehearsed::Never(format!("a return to {target} was never rehearsed"));
        };
        let age = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
        let shown = Period::secs(age.as_secs());
        if let Some(problem) = last.problems.first() {
            return Rehearsed::Failed(format!(
                "the last rehearsal of a return to {target}, {shown} ago, failed: {problem}"
            ));
        }
        if age > self.max_age.0 {
            let most = self.max_age;
            return Rehearsed::Stale(format!(
                "the last rehearsal of a return to {target} was {shown} ago, and {most} is the most"
            ));
        }
        if !last.left_out.is_empty() {
            let names: Vec<&str> = last.left_out.iter().map(|left| left.agent.as_str()).collect();
            return Rehearsed::InPart(format!(
                "the rehearsal of a return to {target}, {shown} ago, passed without {}",
                names.join(", ")
            ));
        }
        let (took, count) = (last.took, last.agents.len());
        Rehearsed::Fresh(format!(
            "a return to {target} was rehearsed {shown} ago: {count} agents came up in {took}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn judged(change: impl FnOnce(&mut RehearsalStanding)) -> Rehearsed {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
        let last = Rehearsal {
            id: 1,
            operation: OperationId(4),
            release: ReleaseId(1),
            content: Digest::default(),
            at: now - SignedDuration::from_hours(29 * 24),
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
        standing.judge(now)
    }

    #[test]
    fn only_a_fresh_one_of_everything_that_passed_is_fresh() {
        assert!(matches!(judged(|_| {}), Rehearsed::Fresh(_)));
        assert_eq!(judged(|standing| standing.target = None), Rehearsed::Nowhere);
        assert!(matches!(judged(|standing| standing.last = None), Rehearsed::Never(_)));
        assert!(matches!(judged(|standing| standing.max_age = Period::secs(86_400)), Rehearsed::Stale(_)));
        let last = |standing: &mut RehearsalStanding, change: fn(&mut Rehearsal)| {
            change(standing.last.as_mut().expect("one"));
        };
        let failed = judged(|standing| last(standing, |last| last.problems = vec!["orders fell".into()]));
        assert!(matches!(&failed, Rehearsed::Failed(why) if why.contains("orders fell")), "{failed:?}");
        let agent = || LeftOut { agent: "sms".parse().expect("a name"), why: "it sends".into() };
        let part = judged(|standing| standing.last.as_mut().expect("one").left_out = vec![agent()]);
        assert!(matches!(&part, Rehearsed::InPart(why) if why.contains("without sms")), "{part:?}");
        // One that failed long ago failed.
        let old = judged(|standing| {
            standing.max_age = Period::secs(1);
            last(standing, |last| last.problems = vec!["x".into()]);
        });
        assert!(matches!(old, Rehearsed::Failed(_)), "{old:?}");
    }
}
