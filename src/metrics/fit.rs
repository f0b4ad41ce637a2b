//! Pure: how fine a stretch of time can be told, and in how many points.
use crate::{config::MetricsSettings, domain::Fault, store::MetricTier};
use jiff::Timestamp;
use std::time::Duration;

/// Of one series.
pub const MOST_POINTS: i64 = 10_000;
/// Of all series of an answer.
pub const MOST_IN_ALL: i64 = 100_000;
/// What an eye can tell apart, when nobody says how fine it is to be.
const ENOUGH: i64 = 240;
/// A century: longer than anything is kept.
const LONGEST_STEP_S: i64 = 100 * 365 * 86400;
const STEPS_S: [i64; 14] =
    [10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 6 * 3600, 12 * 3600, 86400, 7 * 86400, 28 * 86400];

/// How a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    pub tier: MetricTier,
    pub step_s: i64,
    /// The first step begins here: at or before the time asked for, on a multiple of the step.
    pub since: i64,
    pub until: i64,
}

/// The finest that is still kept for all of the time.
pub fn finest(since: Timestamp, now: Timestamp, kept: &MetricsSettings) -> MetricTier {
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    if age <= kept.keep_ten_seconds.0 {
        MetricTier::TenSeconds
    } else if age <= kept.keep_minutes.0 {
        MetricTier::Minutes
    } else {
        MetricTier::Hours
    }
}

/// The coarsest of which a step is made, so that few rows are read; not finer than is kept.
fn coarsest(step_s: i64, finest: MetricTier) -> Option<MetricTier> {
    let fits = |tier: &MetricTier| *tier >= finest && step_s % tier.step_s() == 0;
    MetricTier::ALL.into_iter().rev().find(fits)
}

/// For `series` series. What is asked for in more points than can be looked at is refused, not thinned out in silence.
pub fn fit(
    (since, until): (Timestamp, Timestamp),
    step: Option<Duration>,
    now: Timestamp,
    kept: &MetricsSettings,
    series: usize,
) -> Result<Fit, Fault> {
    let oldest = super::recorder::before(now, kept.keep_hours);
    let (since, until) = (since.max(oldest), until.min(now));
    if since >= until {
        return Err(Fault::usage("cannot show a time that is over before it begins, or is yet to come")
            .hint("--since takes how far back, such as 1h or 7d"));
    }
    let (from, to) = (since.as_second(), until.as_second().saturating_add(1));
    let series = i64::try_from(series.max(1)).unwrap_or(i64::MAX);
    let finest = finest(since, now, kept);
    let points = |step_s: i64| (to - from.div_euclid(step_s) * step_s + step_s - 1) / step_s;
    let step_s = if let Some(step) = step {
        let asked = i64::try_from(step.as_secs()).unwrap_or(LONGEST_STEP_S).min(LONGEST_STEP_S);
        if asked < MetricTier::TenSeconds.step_s() || step.subsec_nanos() > 0 {
            return Err(Fault::usage("cannot show steps of less than 10s, or of parts of a second")
                .hint("a look is made every ten seconds: --step 10s is the finest"));
        }
        // Of minutes no step of 90 s can be made: the next that can.
        let least = finest.step_s();
        (asked + least - 1) / least * least
    } else {
        let enough = (MOST_IN_ALL / 2 / series).clamp(12, ENOUGH);
        let good = |step_s: &i64| *step_s >= finest.step_s() && points(*step_s) <= enough;
        STEPS_S.into_iter().find(good).unwrap_or(STEPS_S[STEPS_S.len() - 1])
    };
    let (each, all) = (points(step_s), points(step_s).saturating_mul(series));
    if each > MOST_POINTS {
        return Err(Fault::usage(format!(
            "cannot show {each} points of a series: at most {MOST_POINTS} are shown"
        ))
        .hint("ask for longer steps (--step 10m) or less time (--since)"));
    }
    if all > MOST_IN_ALL {
        return Err(Fault::usage(format!(
            "cannot show {all} points of {series} series: at most {MOST_IN_ALL} are shown at a time"
        ))
        .hint("choose some of them (--label agent=NAME), longer steps (--step 10m) or less time (--since)"));
    }
    let tier = coarsest(step_s, finest).unwrap_or(finest);
    Ok(Fit { tier, step_s, since: from.div_euclid(step_s) * step_s, until: to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).expect("a time")
    }

    fn back(hours: i64) -> (Timestamp, Timestamp) {
        (now() - SignedDuration::from_hours(hours), now())
    }

    fn asked(hours: i64, step: Option<u64>, series: usize) -> Result<Fit, Fault> {
        fit(back(hours), step.map(Duration::from_secs), now(), &MetricsSettings::default(), series)
    }

    #[test]
    fn the_finest_that_is_kept_is_used_and_no_more_rows_than_a_step_needs() {
        use MetricTier::{Hours, Minutes, TenSeconds};
        for (hours, step, want) in [
            (1, Some(10), (TenSeconds, 10)),
            (1, Some(60), (Minutes, 60)),
            (1, Some(90), (TenSeconds, 90)),
            (1, Some(15), (TenSeconds, 20)),
            (24, Some(3600), (Hours, 3600)),
            (72, Some(60), (Minutes, 60)),
            (72, Some(90), (Minutes, 120)),
            (24 * 60, Some(86400), (Hours, 86400)),
            (1, None, (TenSeconds, 30)),
            (24, None, (Minutes, 600)),
            (24 * 399, None, (Hours, 7 * 86400)),
        ] {
            let fit = asked(hours, step, 1).expect("it fits");
            assert_eq!((fit.tier, fit.step_s), want, "{hours} h by {step:?}");
        }
    }

    #[test]
    fn what_is_absurd_is_refused_with_what_would_do() {
        for (hours, step, series) in [(1, Some(1), 1), (47, Some(10), 1), (40, Some(60), 3000)] {
            let fault = asked(hours, step, series).expect_err("taken");
            assert!(fault.hint.is_some(), "{fault}");
        }
        let all = |since| fit((since, now()), None, now(), &MetricsSettings::default(), 1);
        assert!(all(Timestamp::MIN).is_ok(), "a thousand years are as long as anything is kept");
        let until = (now(), now() - SignedDuration::from_hours(1));
        assert!(fit(until, None, now(), &MetricsSettings::default(), 1).is_err());
    }

    proptest! {
        #[test]
        fn no_question_gets_more_points_than_said(hours in 1_i64..200_000, step in proptest::option::of(prop_oneof![1_u64..10_000_000, any::<u64>()]), series in 1_u32..5000) {
            if let Ok(fit) = asked(hours, step, series as usize) {
                let points = (fit.until - fit.since + fit.step_s - 1) / fit.step_s;
                prop_assert!(points <= MOST_POINTS && points * i64::from(series) <= MOST_IN_ALL, "{fit:?}");
                prop_assert!(fit.step_s % fit.tier.step_s() == 0 && fit.since % fit.step_s == 0, "{fit:?}");
            }
        }
    }
}
