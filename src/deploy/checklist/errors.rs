//! `errors`: what failed lately that had not failed before, or came back after it was mended.
use super::kind::{Around, Look, problem};
use crate::{
    config::OptionProblem,
    domain::{ErrorFilter, ErrorGroup, ErrorState, FaultSeverity, Period, SpikeRule, moment, one_line},
    readiness::{Evidence, Found},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

/// How many groups are looked at, newest first.
const MOST: u32 = 1_000;
/// How many are told one by one.
const MOST_TOLD: usize = 10;

/// Looks for new and returned errors.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ErrorsItemOptions")]
pub struct Options {
    /// How far back; in a soak, as far as its window goes.
    within: Period,
    /// How many of them may be.
    at_most: u32,
    /// Those of less weight are not counted: low, medium, high or critical.
    #[schemars(with = "Weight")]
    severity: FaultSeverity,
}

/// As `FaultSeverity`, for the schema.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Weight {
    Low,
    Medium,
    High,
    Critical,
}

impl Default for Options {
    fn default() -> Self {
        Self { within: Period::secs(1800), at_most: 0, severity: FaultSeverity::Medium }
    }
}

pub struct Errors(Options);

impl Look for Errors {
    const NAME: &'static str = "errors";
    const ABOUT: &'static str = "looks for errors that are new or came back";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if options.within.0.is_zero() {
            return Err(vec![problem("/within", "is no time at all", Some("write it like 30m"))]);
        }
        Ok(Self(options))
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let settings = &evidence.settings.errors;
        let rule = SpikeRule { minimum: settings.spike_minimum.into(), factor: settings.spike_factor };
        let now = evidence.clock.now();
        let span = SignedDuration::try_from(self.0.within.0).unwrap_or(SignedDuration::MAX);
        let since = now.checked_sub(span).unwrap_or(Timestamp::MIN);
        let since = around.window.soak.as_ref().map_or(since, |soak| soak.since);
        let filter =
            ErrorFilter { since: Some(since), severity: Some(self.0.severity), ..ErrorFilter::default() };
        match evidence.store.error_groups(filter, now, rule, MOST).await {
            Ok(groups) => self.judge(&groups, since),
            Err(error) => Found::error(error.to_string()),
        }
    }
}

impl Errors {
    /// An old one that goes on is no news of this deployment: it is told, and not counted.
    fn judge(&self, groups: &[ErrorGroup], since: Timestamp) -> Found {
        let (fresh, old): (Vec<_>, Vec<_>) =
            groups.iter().filter(|group| group.state.is_open()).partition(|group| group.opened_at >= since);
        let summary = format!("{} errors are new or came back since {}", fresh.len(), moment(since));
        let found = if fresh.len() as u64 > u64::from(self.0.at_most) {
            let first = fresh.first().map(|group| one_line(&group.message)).unwrap_or_default();
            Found::fail(format!("{summary}: {first}"))
        } else {
            Found::pass(summary)
        };
        let line = |group: &&ErrorGroup| {
            let how = if group.state == ErrorState::Regressed { "came back" } else { "is new" };
            let (operation, message) = (one_line(&group.alike.operation), one_line(&group.message));
            format!(
                "error {} {how} since {}, {} times: {operation}: {message}",
                group.id,
                moment(group.opened_at),
                group.count
            )
        };
        found
            .all_seen(fresh.iter().take(MOST_TOLD).map(line))
            .seen(format!("{} older ones go on and are not counted", old.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deploy::checklist::fixture::error, domain::Outcome};

    #[test]
    fn new_and_returned_errors_are_told_from_old_ones() {
        let since = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(5);
        let minutes = |minutes| since + SignedDuration::from_mins(minutes);
        let old = || error(1, ErrorState::Open, minutes(-60));
        let new = || error(2, ErrorState::Open, minutes(5));
        let back = || error(3, ErrorState::Regressed, minutes(9));
        let mended = || error(4, ErrorState::Resolved, minutes(5));
        let judged = |groups: &[ErrorGroup], at_most| {
            Errors(Options { at_most, ..Options::default() }).judge(groups, since)
        };
        let sound = judged(&[old(), mended()], 0);
        assert!(sound.outcome == Outcome::Pass && sound.evidence[0].starts_with("1 older"), "{sound:?}");
        for groups in [vec![new()], vec![old(), back()]] {
            let found = judged(&groups, 0);
            assert_eq!(found.outcome, Outcome::Fail, "{found:?}");
            assert!(!format!("{}{:?}", found.summary, found.evidence).contains('\x1b'), "{found:?}");
            assert_eq!(judged(&groups, 1).outcome, Outcome::Pass);
        }
        assert_eq!(judged(&[new(), back()], 1).outcome, Outcome::Fail);
    }
}
