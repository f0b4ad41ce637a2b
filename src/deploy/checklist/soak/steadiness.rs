//! `steadiness`: instances were ready, and probes passed, nearly all of the time that they were looked at.
use super::{
    series::{Chosen, UNRECORDED, settled, unseen},
    weigh::{Said, weigh},
};
use crate::{
    config::OptionProblem,
    deploy::checklist::kind::{Around, Look, problem},
    domain::{Fault, Period, Stat},
    metrics::{Metrics, Trace},
    readiness::{Evidence, Found},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;

/// How steadily they must be ready.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SteadinessItemOptions")]
pub struct Options {
    /// The share of the time, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    at_least: f64,
    /// What is left out at the beginning.
    settle: Period,
    /// Fewer looks say nothing.
    samples: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { at_least: 0.999, settle: Period::secs(0), samples: 30 }
    }
}

pub struct Steadiness(Options);

impl Look for Steadiness {
    const NAME: &'static str = "steadiness";
    const ABOUT: &'static str = "looks for which share of the time instances were ready and probes passed";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if !(0.0..=1.0).contains(&options.at_least) {
            return Err(vec![problem("/at_least", "is no share from 0 to 1", Some("at_least = 0.999"))]);
        }
        Ok(Self(options))
    }

    async fn look(&self, evidence: &Evidence, around: &Around) -> Found {
        let Some(metrics) = &around.metrics else { return Found::skipped(UNRECORDED) };
        let span = match settled(&around.window, self.0.settle) {
            Ok(span) => span,
            Err(early) => return early,
        };
        match self.ask(evidence, metrics, span).await {
            Ok(said) => {
                weigh(said, "instances and probes were steady", "no instance and no probe was seen at all")
            }
            Err(fault) => Found::error(fault.message),
        }
    }
}

impl Steadiness {
    async fn ask(
        &self,
        evidence: &Evidence,
        metrics: &Metrics,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<Said>, Fault> {
        let mut said = Vec::new();
        let probes: BTreeSet<(&str, &str)> =
            evidence.probes().iter().map(|probe| (probe.target.as_str(), probe.name.as_str())).collect();
        let fleet = evidence.fleet();
        let instances: BTreeSet<String> = fleet.instances().map(|(_, one)| one.id.to_string()).collect();
        for name in ["agent_ready", "probe_passing"] {
            let chosen = Chosen::of(name, Stat::Avg);
            let (traces, _) = chosen.traces(metrics, span, None).await?;
            let missing = unseen(evidence, &chosen, &traces).into_iter();
            said.extend(missing.map(|id| Said::Unsure(format!("{id} {name} was not recorded"))));
            // What was taken away meanwhile is not unsteady.
            let still = |trace: &&Trace| {
                let label = |key: &str| trace.labels.0.get(key).map_or("", String::as_str);
                instances.contains(label("instance")) || probes.contains(&(label("target"), label("probe")))
            };
            said.extend(
                traces.iter().filter(still).map(|trace| self.judge(&chosen.called(&trace.labels), trace)),
            );
        }
        Ok(said)
    }

    fn judge(&self, called: &str, trace: &Trace) -> Said {
        let Options { at_least, samples, .. } = self.0;
        let Some(whole) = trace.whole.filter(|whole| whole.value.is_finite()) else {
            return Said::Unsure(format!("{called} was not recorded"));
        };
        let told = format!(
            "{called}: {:.2}% of {} looks, of at least {:.2}%",
            (whole.value * 1e4).floor() / 100.0,
            whole.count,
            at_least * 100.0
        );
        if whole.value < at_least {
            let first = trace.points.iter().find(|point| point.min < 1.0).map(|point| point.at);
            let when = first.map(|at| at.strftime(", first not after %m-%d %H:%M:%SZ").to_string());
            Said::Breaks(told + &when.unwrap_or_default())
        } else if whole.count < samples {
            Said::Unsure(format!("{called} was seen {} times, and {samples} are needed", whole.count))
        } else {
            Said::Holds(told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::checklist::soak::fixture::{instance, points, trace};

    fn judged(values: impl IntoIterator<Item = Option<f64>>) -> Said {
        let trace = trace(instance("orders/0"), points(values));
        Steadiness(Options::default()).judge("orders/0 agent_ready", &trace)
    }

    #[test]
    fn one_look_in_a_thousand_may_find_it_not_ready_and_two_may_not() {
        let down = |times: usize| (0..1000).map(move |n| Some(if n < times { 0.0 } else { 1.0 }));
        assert!(matches!(judged(down(0)), Said::Holds(_)));
        assert!(matches!(judged(down(1)), Said::Holds(_)));
        let Said::Breaks(told) = judged(down(2)) else { panic!("it was down twice") };
        assert!(told.contains("99.80% of 1000 looks") && told.contains("22:00:00Z"), "{told}");
    }

    #[test]
    fn what_was_hardly_or_never_seen_is_not_steady() {
        assert!(matches!(judged((0..30).map(|_| Some(1.0))), Said::Holds(_)));
        assert!(matches!(judged((0..29).map(|_| Some(1.0))), Said::Unsure(_)));
        assert!(matches!(judged((0..60).map(|n| (n % 3 == 0).then_some(1.0))), Said::Unsure(_)), "gaps");
        assert!(matches!(judged([None, None]), Said::Unsure(_)));
        assert!(matches!(judged((0..40).map(|_| Some(f64::NAN))), Said::Unsure(_)));
        assert!(Steadiness::compile(Options { at_least: 1.1, ..Options::default() }).is_err());
        assert!(Steadiness::compile(Options { at_least: f64::NAN, ..Options::default() }).is_err());
    }
}
