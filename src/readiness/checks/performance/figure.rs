//! Pure: samples of a figure against its limit. What straddles the limit is unmeasured, not a coin toss.
use crate::{domain::Outcome, readiness::Found};

/// Of 100 such intervals 95 hold the true figure.
const DOUBT: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Median,
    P95,
}

/// What is measured and what it must stay under.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    pub what: &'a str,
    pub unit: &'a str,
    pub below: f64,
    pub figure: Figure,
}

/// The figure, and between which samples it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Figure {
    fn quantile(self) -> f64 {
        match self {
            Self::Median => 0.5,
            Self::P95 => 0.95,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::P95 => "95th percentile",
        }
    }

    /// None without samples, or with one that is no number.
    pub fn read(self, samples: &[f64]) -> Option<Reading> {
        if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = ranks(sorted.len(), self.quantile());
        let at = |rank: usize| sorted.get(rank.saturating_sub(1)).copied();
        // The least rank with so large a share of the samples at or below it.
        let share = sorted.len() as f64 * self.quantile();
        let rank = (1..=sorted.len()).find(|rank| *rank as f64 >= share)?;
        Some(Reading { value: at(rank)?, low: at(low)?, high: at(high)? })
    }
}

impl Limit<'_> {
    /// Pass if the figure is below the limit, fail if it is not, error if these samples cannot tell.
    pub fn judge(&self, samples: &[f64]) -> Found {
        let Self { what, unit, below, figure } = self;
        let Some(Reading { value, low, high }) = figure.read(samples) else {
            return Found::error(format!("nothing was measured: no sample of {what}"));
        };
        let said = format!("{what}: {} {value:.3} {unit}, limit {below} {unit}", figure.name());
        let found = if high < *below {
            Found::pass(said)
        } else if low >= *below {
            Found::fail(said)
        } else {
            Found::error(format!("{said}: these samples cannot tell on which side it lies"))
        };
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        found.seen(format!(
            "{} samples from {least:.3} to {most:.3} {unit}; the {} lies between {low:.3} and {high:.3} {unit}",
            samples.len(),
            figure.name()
        ))
    }

    /// The judgement, and beside it the same samples against a limit that they cannot meet: it must refuse them.
    pub fn judge_and_doubt(&self, samples: &[f64]) -> Found {
        let found = self.judge(samples);
        let Some(reading) = self.figure.read(samples) else { return found };
        let below = reading.low / 2.0;
        if (Self { below, ..*self }).judge(samples).outcome != Outcome::Fail {
            return Found::fail(format!("the same samples passed a limit of {below:.3} {}", self.unit));
        }
        found.seen(format!("counter-proof: a limit of {below:.3} {} refuses the same samples", self.unit))
    }
}

/// Of so many sorted samples those (from 1) between which the quantile lies, whatever its distribution: how many lie
/// below it is a matter of coin tosses. With few samples it is the first and the last.
fn ranks(count: usize, quantile: f64) -> (usize, usize) {
    let n = count as f64;
    let (mut below, mut low, mut high) = (0.0, 1, count);
    let mut chance = (1.0 - quantile).powf(n);
    for rank in 0..count {
        below += chance;
        if below <= DOUBT / 2.0 {
            low = rank + 1;
        }
        if below >= 1.0 - DOUBT / 2.0 {
            high = rank + 1;
            break;
        }
        chance *= (n - rank as f64) / (rank as f64 + 1.0) * quantile / (1.0 - quantile);
    }
    (low.min(high), high)
}

/// The worst of many judgements with a summary of its own, and what each has seen, the worst first.
pub fn worst(all: Vec<(String, Found)>, fine: impl Into<String>) -> Found {
    let rank = |found: &Found| match found.outcome {
        Outcome::Pass | Outcome::NotApplicable => 0,
        Outcome::Warn => 1,
        Outcome::Error | Outcome::Timeout | Outcome::Skipped => 2,
        Outcome::Fail => 3,
    };
    let Some((_, first)) = all.iter().max_by_key(|(_, found)| rank(found)) else {
        return Found::error("nothing was measured");
    };
    if rank(first) == 0 {
        return Found::pass(fine);
    }
    let mut found = Found { evidence: Vec::new(), affected: Vec::new(), ..first.clone() };
    let mut wrong: Vec<_> = all.into_iter().filter(|(_, one)| rank(one) > 0).collect();
    wrong.sort_by_key(|(_, one)| std::cmp::Reverse(rank(one)));
    for (resource, one) in wrong.into_iter().take(30) {
        if one.outcome == Outcome::Fail {
            found = found.about(resource, "over its limit");
        }
        found = found.seen(one.summary).all_seen(one.evidence);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Error, Fail, Pass};
    use proptest::prelude::*;

    fn limit(below: f64, figure: Figure) -> Limit<'static> {
        Limit { what: "it", unit: "ms", below, figure }
    }

    #[test]
    fn no_sample_is_no_pass_and_what_straddles_is_unmeasured() {
        let flat = |value: f64| vec![value; 15];
        let with = |mut samples: Vec<f64>, outliers: &[f64]| {
            samples.truncate(15 - outliers.len());
            samples.extend(outliers);
            samples
        };
        let table = [
            (vec![], 100.0, Figure::Median, Error),
            (vec![1.0, f64::NAN], 100.0, Figure::Median, Error),
            (vec![1.0, f64::INFINITY], 100.0, Figure::Median, Error),
            (vec![1.0], 100.0, Figure::Median, Pass),
            (vec![100.0], 100.0, Figure::Median, Fail),
            (vec![1.0, 2.0, 3.0, 4.0, 5.0], 100.0, Figure::Median, Pass),
            // Of five samples any one may be on the wrong side.
            (vec![1.0, 2.0, 3.0, 4.0, 900.0], 100.0, Figure::Median, Error),
            (vec![1.0, 2.0, 300.0, 400.0, 900.0], 100.0, Figure::Median, Error),
            (vec![100.0, 200.0, 300.0, 400.0, 900.0], 100.0, Figure::Median, Fail),
            // Of fifteen a neighbour's burst may take three.
            (with(flat(50.0), &[900.0; 3]), 100.0, Figure::Median, Pass),
            (with(flat(50.0), &[900.0; 4]), 100.0, Figure::Median, Error),
            (with(flat(500.0), &[1.0; 3]), 100.0, Figure::Median, Fail),
            (with(flat(500.0), &[1.0; 4]), 100.0, Figure::Median, Error),
            (vec![1.0; 5], 2000.0, Figure::P95, Pass),
            (vec![1.0, 1.0, 1.0, 1.0, 2500.0], 2000.0, Figure::P95, Error),
            (vec![1.0, 1.0, 1.0, 2500.0, 2500.0], 2000.0, Figure::P95, Fail),
            (vec![2500.0, 2500.0], 2000.0, Figure::P95, Fail),
        ];
        for (samples, below, figure, outcome) in table {
            let found = limit(below, figure).judge(&samples);
            assert_eq!(found.outcome, outcome, "{samples:?} {figure:?}: {found:?}");
        }
        assert_eq!(limit(1.0, Figure::Median).judge_and_doubt(&[0.0]).outcome, Pass);
    }

    #[test]
    fn the_ranks_are_those_of_the_textbook() {
        let table = [
            (1, 0.5, (1, 1)),
            (5, 0.5, (1, 5)),
            (6, 0.5, (1, 6)),
            (15, 0.5, (4, 12)),
            (25, 0.5, (8, 18)),
            (100, 0.5, (40, 61)),
            (20, 0.95, (17, 20)),
            (100, 0.95, (90, 100)),
        ];
        for (count, quantile, want) in table {
            assert_eq!(ranks(count, quantile), want, "{count} samples, {quantile}");
        }
    }

    #[test]
    fn one_that_fails_decides_over_many_that_pass_and_some_that_cannot_tell() {
        let one = |found: Found| ("agent/a".to_owned(), found);
        let all = |outcomes: Vec<Found>| worst(outcomes.into_iter().map(one).collect(), "fine").outcome;
        assert_eq!(all(vec![]), Outcome::Error);
        assert_eq!(all(vec![Found::pass("a"), Found::pass("b")]), Outcome::Pass);
        assert_eq!(all(vec![Found::pass("a"), Found::error("b")]), Outcome::Error);
        assert_eq!(all(vec![Found::error("a"), Found::fail("b"), Found::pass("c")]), Outcome::Fail);
    }

    proptest! {
        /// Whatever is measured: pass and fail are never said of the same samples without error between, the order of
        /// samples does not matter, and a figure on the wrong side never passes.
        #[test]
        fn a_judgement_is_never_a_toss(
            mut samples in prop::collection::vec(0.0f64..1000.0, 1..60),
            below in 1.0f64..1000.0,
            more in 0.0f64..500.0,
            median in any::<bool>(),
        ) {
            let figure = if median { Figure::Median } else { Figure::P95 };
            let reading = figure.read(&samples).expect("samples");
            prop_assert!(reading.low <= reading.value && reading.value <= reading.high);
            let outcome = limit(below, figure).judge(&samples).outcome;
            match outcome {
                Outcome::Pass => prop_assert!(reading.high < below),
                Outcome::Fail => prop_assert!(reading.low >= below),
                _ => prop_assert!(reading.low < below && below <= reading.high),
            }
            // A wider limit never makes it worse.
            let wider = limit(below + more, figure).judge(&samples).outcome;
            prop_assert!(outcome != Outcome::Pass || wider == Outcome::Pass);
            prop_assert!(wider != Outcome::Fail || outcome == Outcome::Fail);
            samples.reverse();
            prop_assert_eq!(limit(below, figure).judge(&samples).outcome, outcome);
        }
    }
}
