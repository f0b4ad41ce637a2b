//! `validated`: everything was validated lately, in this environment and as it is configured now, and was ready.
use super::kind::{Around, Look};
use crate::{
    config::OptionProblem,
    domain::{Period, Report, Verdict, moment},
    readiness::{Evidence, Found, agrees},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

/// Looks up the last validation of everything.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ValidatedItemOptions")]
pub struct Options {
    /// How old it may be.
    max_age: Period,
    /// It may be of another configuration than the one in force.
    other_configuration: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_age: Period::secs(86_400), other_configuration: false }
    }
}

pub struct Validated(Options);

impl Look for Validated {
    const NAME: &'static str = "validated";
    const ABOUT: &'static str =
        "looks up the last validation of everything: it must be recent, of what runs, and READY";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        Ok(Self(options))
    }

    async fn look(&self, evidence: &Evidence, _: &Around) -> Found {
        match evidence.store.last_full_report(evidence.settings.environment.clone()).await {
            Ok(Some(report)) => self.judge(&report, &evidence.config_digest, evidence.judged_at),
            // Missing evidence is no failure, and never a pass.
            Ok(None) => Found::skipped(format!(
                "{} was never validated whole here: `agentctl validate`",
                evidence.settings.environment
            )),
            Err(error) => Found::error(error.to_string()),
        }
    }
}

impl Validated {
    fn judge(&self, report: &Report, digest: &str, at: Timestamp) -> Found {
        let Report { run, started_at, verdict, .. } = report;
        let (max, day) = (self.0.max_age, moment(*started_at));
        let oldest = at.checked_sub(SignedDuration::try_from(max.0).unwrap_or(SignedDuration::MAX));
        let found = if !agrees(report) {
            Found::fail(format!("the report of run {run} does not hold: its figures are not its findings'"))
        } else if *verdict != Verdict::Ready {
            Found::fail(format!("the last validation, run {run} of {day}, says {}", verdict.as_str()))
        } else if oldest.is_ok_and(|oldest| *started_at < oldest) {
            Found::fail(format!("the last validation, run {run} of {day}, is older than {max}"))
        } else if report.config_digest != digest && !self.0.other_configuration {
            Found::fail(format!("run {run} of {day} validated another configuration than the one in force"))
        } else {
            Found::pass(format!("run {run} of {day} says {}", verdict.as_str()))
        };
        found.seen(format!("score {} of 100, bar {}", report.score, report.bar))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deploy::checklist::fixture::report, domain::Outcome};

    #[test]
    fn only_a_recent_ready_report_of_what_runs_passes() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1000);
        let ready =
            |hours: i64| Report { started_at: now - SignedDuration::from_hours(hours), ..report(true) };
        let judged = |report: &Report, options: Options| Validated(options).judge(report, "abc", now);
        let sound = judged(&ready(23), Options::default());
        assert!(sound.outcome == Outcome::Pass && sound.summary.contains("READY"), "{sound:?}");
        let other = Report { config_digest: "def".into(), ..ready(1) };
        let lax = || Options { other_configuration: true, ..Options::default() };
        assert_eq!(judged(&other, lax()).outcome, Outcome::Pass);
        let forged = Report { verdict: Verdict::Ready, ..report(false) };
        for (report, told) in [
            (ready(25), "older than"),
            (other, "another configuration"),
            (Report { started_at: now, ..report(false) }, "says NOT READY"),
            (forged, "does not hold"),
        ] {
            let found = judged(&report, Options::default());
            assert!(found.outcome == Outcome::Fail && found.summary.contains(told), "{told}: {found:?}");
        }
    }
}
