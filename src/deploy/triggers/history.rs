//! What the store holds of a metric over a time, and when there were looks at all.
use super::judge::Terms;
use crate::{
    domain::{Fault, Labels, Summary},
    store::{MetricTier, Store},
};
use jiff::Timestamp;

/// Each look sees the daemon itself: where this has a value, somebody looked.
const LOOKS: &str = "daemon_memory_bytes";

/// Of one metric: series with their slots, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub step_s: i64,
    pub series: Vec<(Labels, Vec<(i64, Summary)>)>,
    /// Looks in each slot.
    pub looks: Vec<(i64, u64)>,
}

impl History {
    pub async fn read(
        store: &Store,
        terms: &Terms,
        since: i64,
        until: i64,
        tier: MetricTier,
    ) -> Result<Self, Fault> {
        let (since, until) = (time(since), time(until));
        let known = store.metric_series(Some(terms.metric.to_owned())).await?;
        let chosen: Vec<_> = known.into_iter().filter(|kept| kept.series.labels.has(&terms.labels)).collect();
        let numbers = chosen.iter().map(|kept| kept.id).collect();
        let slots = store.metric_summaries(numbers, tier, since, until).await?;
        let own = store.metric_series(Some(LOOKS.to_owned())).await?;
        let own = own.into_iter().map(|kept| kept.id).collect();
        let looks = store.metric_summaries(own, tier, since, until).await?.into_iter().flatten();
        let mut looks: Vec<(i64, u64)> = looks.map(|(second, summary)| (second, summary.count())).collect();
        looks.sort_unstable();
        let series = chosen.into_iter().map(|kept| kept.series.labels).zip(slots);
        // In the order of time, as the binary search in it wants.
        let series = series.map(|(labels, mut slots)| {
            slots.sort_by_key(|(second, _)| *second);
            (labels, slots)
        });
        Ok(Self { step_s: tier.step_s(), series: series.collect(), looks })
    }
}

/// Slots that begin in this time.
pub fn within<T>(slots: &[(i64, T)], since: i64, until: i64) -> &[(i64, T)] {
    let from = slots.partition_point(|(second, _)| *second < since);
    let to = slots.partition_point(|(second, _)| *second < until);
    &slots[from..to.max(from)]
}

pub fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second.max(0)).unwrap_or(Timestamp::MAX)
}
