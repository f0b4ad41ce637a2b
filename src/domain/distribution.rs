//! How often a quantity came to how much: what percentiles are told from. Added together, never averaged.
//! Values are classes of a histogram with two significant figures, so that few of them say it all.
use serde::{Deserialize, Serialize};

/// Microseconds and how often, in rising order; each value once, no count of 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution(Vec<(u64, u64)>);

impl Distribution {
    /// Sorted, added up and without what never came.
    pub fn new(counts: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut sorted: Vec<(u64, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        sorted.sort_unstable_by_key(|(value, _)| *value);
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        Self(sorted)
    }

    pub fn counts(&self) -> &[(u64, u64)] {
        &self.0
    }

    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same as of everything that either was made of.
    pub fn add(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
        } else if !other.0.is_empty() {
            *self = Self::new(self.0.iter().chain(&other.0).copied());
        }
    }

    /// The least value that a share `quantile` of all are not above; none of nothing.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let rank = ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0_u64;
        self.0.iter().find_map(|(value, count)| {
            seen = seen.saturating_add(*count);
            (seen >= rank).then_some(*value)
        })
    }

    pub fn least(&self) -> Option<u64> {
        self.0.first().map(|(value, _)| *value)
    }

    pub fn most(&self) -> Option<u64> {
        self.0.last().map(|(value, _)| *value)
    }

    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        let sum: f64 = self.0.iter().map(|(value, count)| *value as f64 * *count as f64).sum();
        (count > 0).then(|| sum / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_nothing_nothing_is_told() {
        let none = Distribution::default();
        assert_eq!((none.quantile(0.5), none.mean(), none.count()), (None, None, 0));
        assert!(Distribution::new([(5, 0)]).is_empty());
    }

    #[test]
    fn one_slow_one_in_a_hundred_is_seen_by_the_99th_and_not_by_the_95th() {
        let all = Distribution::new([(1000, 98), (500_000, 2)]);
        assert_eq!(
            (all.quantile(0.5), all.quantile(0.95), all.quantile(0.99)),
            (Some(1000), Some(1000), Some(500_000))
        );
        assert_eq!((all.quantile(0.0), all.quantile(1.0)), (Some(1000), Some(500_000)));
    }

    /// Why percentiles are not averaged: the mean of the parts' is off by far.
    #[test]
    fn the_percentile_of_all_is_not_the_mean_of_the_parts() {
        let busy = Distribution::new([(1000, 990)]);
        let idle = Distribution::new([(900_000, 10)]);
        let mean = f64::midpoint(1000.0, 900_000.0);
        let mut all = busy.clone();
        all.add(&idle);
        assert_eq!(all.quantile(0.95), Some(1000));
        assert!(mean > 400_000.0);
    }

    proptest! {
        #[test]
        fn parts_added_are_the_same_as_the_whole(values in proptest::collection::vec((0_u64..5000, 1_u64..9), 0..60), cut in 0_usize..60) {
            let cut = cut.min(values.len());
            let whole = Distribution::new(values.clone());
            let (mut front, back) =
                (Distribution::new(values[..cut].to_vec()), Distribution::new(values[cut..].to_vec()));
            front.add(&back);
            prop_assert_eq!(&front, &whole);
            prop_assert_eq!(front.count(), values.iter().map(|(_, count)| count).sum::<u64>());
            let mut each: Vec<u64> = values.iter().flat_map(|(v, n)| std::iter::repeat_n(*v, usize::try_from(*n).unwrap_or(0))).collect();
            each.sort_unstable();
            if !each.is_empty() {
                let rank = (95 * each.len()).div_ceil(100);
                prop_assert_eq!(whole.quantile(0.95), Some(each[rank.max(1) - 1]));
            }
        }
    }
}
