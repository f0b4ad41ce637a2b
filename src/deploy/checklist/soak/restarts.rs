//! `restarts`: no instance was restarted after a failure in the window.
use super::{
    series::{Chosen, UNRECORDED, settled, unseen},
    weigh::{Said, weigh},
};
use crate::{
    config::OptionProblem,
    deploy::checklist::kind::{Around, Look},
    domain::{Period, Stat},
    metrics::Trace,
    readiness::{Evidence, Found},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// How often instances may have been restarted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "RestartsItemOptions")]
pub struct Options {
    /// Of each instance, in the whole window.
    at_most: u32,
    /// What is left out at the beginning.
    settle: Period,
    /// Fewer looks at an instance say nothing.
    samples: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { at_most: 0, settle: Period::secs(0), samples: 3 }
    }
}

pub struct Restarts(Options);

impl Look for Restarts {
    const NAME: &'static str = "restarts";
    const ABOUT: &'static str = "looks whether an instance was restarted after a failure";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        Ok(Self(options))
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let Some(metrics) = &around.metrics else { return Found::skipped(UNRECORDED) };
        let chosen = Chosen::of("agent_restarts", Stat::Sum);
        let span = match settled(&around.window, self.0.settle) {
            Ok(span) => span,
            Err(early) => return early,
        };
        let traces = match chosen.traces(metrics, span, None).await {
            Ok((traces, _)) => traces,
            Err(fault) => return Found::error(fault.message),
        };
        let unseen = unseen(evidence, &chosen, &traces).into_iter();
        let mut said: Vec<Said> =
            unseen.map(|id| Said::Unsure(format!("restarts of {id} were not recorded"))).collect();
        said.extend(
            traces.iter().filter(|trace| !trace.points.is_empty()).map(|trace| self.judge(&chosen, trace)),
        );
        weigh(said, "instances were not restarted more often than allowed", "no instance was seen at all")
    }
}

impl Restarts {
    fn judge(&self, chosen: &Chosen, trace: &Trace) -> Said {
        let called = chosen.called(&trace.labels);
        let called = called.trim_end_matches(&chosen.name).trim_end().to_owned();
        let rose: f64 = trace.points.iter().map(|point| point.value).sum();
        let looks: u64 = trace.points.iter().map(|point| point.count).sum();
        let told = format!("{called} was restarted {rose:.0} times, of at most {}", self.0.at_most);
        if rose > f64::from(self.0.at_most) {
            let first = trace.points.iter().find(|point| point.value > 0.0).map(|point| point.at);
            let since = first.map(|at| at.strftime(", first after %m-%d %H:%M:%SZ").to_string());
            Said::Breaks(told + &since.unwrap_or_default())
        } else if looks < self.0.samples || !rose.is_finite() {
            Said::Unsure(format!("{called} was seen {looks} times, and {} are needed", self.0.samples))
        } else {
            Said::Holds(told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::checklist::soak::fixture::{instance, points, trace};

    #[test]
    fn one_restart_is_too_many_unless_it_is_allowed_and_of_what_was_hardly_seen_nothing_is_told() {
        let judged = |values: &[Option<f64>], at_most| {
            let restarts = Restarts(Options { at_most, ..Options::default() });
            let trace = trace(instance("orders/0"), points(values.iter().copied()));
            restarts.judge(&Chosen::of("agent_restarts", Stat::Sum), &trace)
        };
        let (none, one) = (Some(0.0), Some(1.0));
        assert!(matches!(judged(&[none, none, none, none], 0), Said::Holds(_)));
        let Said::Breaks(told) = judged(&[none, None, one, none], 0) else { panic!("it was restarted") };
        assert!(told.contains("orders/0 was restarted 1 times") && told.contains("22:00:20Z"), "{told}");
        assert!(matches!(judged(&[none, one, none], 1), Said::Holds(_)));
        assert!(matches!(judged(&[one, one, none], 1), Said::Breaks(_)));
        assert!(matches!(judged(&[none, None, none], 0), Said::Unsure(_)), "two looks");
        assert!(matches!(judged(&[one], 0), Said::Breaks(_)), "what broke, broke");
        assert!(matches!(judged(&[none, Some(f64::NAN), none], 0), Said::Unsure(_)));
    }
}
