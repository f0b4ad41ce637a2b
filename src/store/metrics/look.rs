//! What is kept of series over a stretch of time, slot by slot; a slot that nothing is kept of is not there.
use super::{
    chunk,
    fold::{body, each_tick, nanoseconds, roll},
    tick,
    tier::{HOUR_S, MetricTier, hour_at},
};
use crate::{
    domain::Summary,
    store::{
        Store,
        error::{Answer, Result},
    },
};
use jiff::Timestamp;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The slots of one series: when each begins, in seconds since 1970, and what it sums up to.
type Slots = Vec<(i64, Summary)>;

impl Store {
    /// In the order in which the series are given. A slot is in it that begins in the time; whoever asks bounds that.
    pub async fn metric_summaries(
        &self,
        series: Vec<u32>,
        tier: MetricTier,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Slots>> {
        self.read("read what was measured", move |connection| {
            summaries(connection, &series, tier, since.as_second(), until.as_second())
        })
        .await
    }
}

fn summaries(
    connection: &Connection,
    series: &[u32],
    tier: MetricTier,
    since: i64,
    until: i64,
) -> Answer<Vec<Slots>> {
    let step = tier.step_s();
    let since = -(-since).div_euclid(step) * step;
    // Looks first: one that is folded meanwhile is then in its chunk.
    let known: HashSet<u32> = series.iter().copied().collect();
    let mut fresh: HashMap<u32, BTreeMap<i64, Summary>> = HashMap::with_capacity(known.len());
    let last = series.iter().copied().max().unwrap_or_default();
    let end = until.saturating_add(step - 1).div_euclid(step) * step;
    each_tick(connection, nanoseconds(since), nanoseconds(end), |second, body| {
        let take = |series, measure| {
            roll(fresh.entry(series).or_default(), second, &Summary::of(measure), tier);
        };
        tick::decode(body, last, |series| known.contains(&series), take)
    })?;
    let mut all = Vec::with_capacity(series.len());
    for series in series {
        let mut slots = fresh.remove(series).unwrap_or_default();
        let mut start = tier.start(hour_at(since));
        while start * HOUR_S < until {
            let at = (tier, start, *series);
            // What is folded was told from all of its looks; while they are still there, it is the same.
            if tier == MetricTier::TenSeconds {
                let kept = body(connection, at, chunk::decode_measures)?.into_iter().flatten();
                slots.extend(kept.map(|(slot, measure)| (tier.second(start, slot), Summary::of(measure))));
            } else {
                let kept = body(connection, at, chunk::decode_summaries)?.into_iter().flatten();
                slots.extend(kept.map(|(slot, summary)| (tier.second(start, slot), summary)));
            }
            start += tier.span();
        }
        all.push(slots.into_iter().filter(|(second, _)| (since..until).contains(second)).collect());
    }
    Ok(all)
}
