//! `backup`: there is a fresh one, it was verified, and one was restored in a drill not long ago.
use super::kind::{Around, Look, problem};
use crate::{
    config::OptionProblem,
    domain::{Fault, Period, moment, one_line},
    readiness::{Evidence, Found, Proof},
};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

/// Whoever makes backups here; `boot` supplies it.
pub trait Backups: Send + Sync {
    /// The newest that is complete; none if there is none.
    fn last(&self) -> BoxFuture<'_, Result<Option<LastBackup>, Fault>>;
}

/// What is known of the newest backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastBackup {
    pub id: String,
    pub made_at: Timestamp,
    /// When it was last opened and found whole.
    pub verified_at: Option<Timestamp>,
    /// When a backup, this or an earlier one, was last restored in a drill that passed.
    pub drilled_at: Option<Timestamp>,
}

/// Asks whether there is a fresh backup that was seen to be restorable.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "BackupItemOptions")]
pub struct Options {
    /// How old the newest may be.
    max_age: Period,
    /// How long ago the last drill may be.
    drilled_within: Period,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_age: Period::secs(26 * 3600), drilled_within: Period::secs(30 * 86_400) }
    }
}

pub struct Backup(Options);

impl Look for Backup {
    const NAME: &'static str = "backup";
    const ABOUT: &'static str =
        "looks whether there is a fresh backup, verified, and a drill that restored one";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let periods = [("/max_age", options.max_age), ("/drilled_within", options.drilled_within)];
        let problems: Vec<_> = periods
            .into_iter()
            .filter(|(_, period)| period.0.is_zero())
            .map(|(at, _)| problem(at, "is no time at all", Some("write it like 26h")))
            .collect();
        if problems.is_empty() { Ok(Self(options)) } else { Err(problems) }
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let Some(backups) = &around.backups else {
            return Found::skipped("no backup is known here, so none was seen to be fresh");
        };
        match backups.last().await {
            Ok(Some(last)) => self.judge(&last, evidence.judged_at),
            Ok(None) => Found::fail("there is no backup"),
            Err(fault) => fault.into(),
        }
    }
}

impl Backup {
    fn judge(&self, last: &LastBackup, at: Timestamp) -> Found {
        let within = |when: Timestamp, period: Period| {
            let span = SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
            at.checked_sub(span).map_or(true, |oldest| when >= oldest)
        };
        let Options { max_age, drilled_within } = self.0;
        let (id, made) = (one_line(&last.id), moment(last.made_at));
        let mut proof = Proof::default();
        proof.holds(
            within(last.made_at, max_age),
            format!("backup {id} is of {made}; {max_age} may it be old"),
        );
        match last.verified_at {
            Some(when) => proof.holds(when >= last.made_at, format!("it was verified {}", moment(when))),
            None => proof.holds(false, format!("backup {id} was never verified")),
        };
        match last.drilled_at {
            Some(when) => proof.holds(
                within(when, drilled_within),
                format!("a drill restored one {}; {drilled_within} may that be ago", moment(when)),
            ),
            None => proof.holds(false, "no drill ever restored a backup"),
        };
        proof.judge(format!("backup {id} of {made} is fresh, verified and drilled"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn one_that_is_old_unverified_or_never_drilled_fails() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
        let ago = |hours| now - SignedDuration::from_hours(hours);
        let sound = LastBackup {
            id: "b7".into(),
            made_at: ago(25),
            verified_at: Some(ago(24)),
            drilled_at: Some(ago(29 * 24)),
        };
        let judged = |last: &LastBackup| Backup(Options::default()).judge(last, now);
        assert_eq!(judged(&sound).outcome, Outcome::Pass);
        for (last, told) in [
            (LastBackup { made_at: ago(27), ..sound.clone() }, "may it be old"),
            (LastBackup { verified_at: None, ..sound.clone() }, "never verified"),
            (LastBackup { verified_at: Some(ago(26)), ..sound.clone() }, "it was verified"),
            (LastBackup { drilled_at: None, ..sound.clone() }, "no drill"),
            (LastBackup { drilled_at: Some(ago(31 * 24)), ..sound.clone() }, "a drill restored one"),
        ] {
            let found = judged(&last);
            assert!(found.outcome == Outcome::Fail && found.summary.contains(told), "{told}: {found:?}");
        }
    }
}
