//! Looks of an hour that is over, into chunks by series, and those into minutes and hours.
//! Each step may be done twice or be the last one of a daemon: what is folded is added to what is there, slot by slot,
//! and a look goes only when all its series are in their chunks.
use super::{
    chunk, tick,
    tier::{HOUR_S, MetricTier, hour_at},
};
use crate::{
    domain::{Measure, Summary},
    store::{
        Store,
        columns::from_time,
        error::{Answer, Result},
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Series that are folded in one go: some 3 MiB at a time, and a write of a few milliseconds.
const AT_ONCE: usize = 200;
const SECOND_NS: i64 = 1_000_000_000;

/// What a folding came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedMetrics {
    pub hours: u64,
    pub ticks: u64,
    pub chunks: u64,
}

/// A chunk and its number.
type Row = (i64, Vec<u8>);

impl Store {
    /// Every hour but the one that it is now: what a clock put into the future, too. One folds at a time.
    pub async fn fold_metrics(&self, now: Timestamp) -> Result<FoldedMetrics> {
        let current = hour_at(now.as_second());
        let mut due: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for at in self.read("read what is to fold", instants).await? {
            due.entry(hour_at(at.div_euclid(SECOND_NS))).or_default().push(at);
        }
        due.remove(&current);
        let mut folded = FoldedMetrics::default();
        for (hour, instants) in due {
            folded.chunks += self.fold_hour(hour, Arc::new(instants.clone())).await?;
            folded.ticks += instants.len() as u64;
            folded.hours += 1;
            self.write("let go of what is folded", move |connection| {
                let mut delete = connection.prepare_cached("DELETE FROM metric_ticks WHERE at = ?1")?;
                for at in &instants {
                    delete.execute([at])?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(folded)
    }

    async fn fold_hour(&self, hour: i64, instants: Arc<Vec<i64>>) -> Result<u64> {
        let looks = Arc::clone(&instants);
        let series: BTreeSet<u32> =
            self.read("read what is to fold", move |connection| series_in(connection, &looks)).await?;
        let series: Vec<u32> = series.into_iter().collect();
        let mut chunks = 0;
        for some in series.chunks(AT_ONCE) {
            let (looks, some) = (Arc::clone(&instants), some.to_vec());
            let last = looks.last().copied().unwrap_or_default();
            let (rows, some) = self
                .read("fold what was measured", move |connection| {
                    Ok((prepare(connection, hour, &looks, &some)?, some))
                })
                .await?;
            chunks += rows.len() as u64;
            self.write("keep what is folded", move |connection| {
                let mut keep = connection.prepare_cached(
                    "INSERT INTO metric_chunks (id, body) VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET body = excluded.body",
                )?;
                for (id, body) in &rows {
                    keep.execute(params![id, body])?;
                }
                let mut seen = connection
                    .prepare_cached("UPDATE metric_series SET last_at = max(last_at, ?2) WHERE id = ?1")?;
                for series in &some {
                    seen.execute(params![series, last])?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(chunks)
    }
}

/// The body of one chunk, if there is one that makes sense. A damaged one is a gap, and is said to be.
pub(super) fn body<T>(
    connection: &Connection,
    (tier, start, series): (MetricTier, i64, u32),
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    let mut query = connection.prepare_cached("SELECT body FROM metric_chunks WHERE id = ?1")?;
    let found = query
        .query_row([tier.key(start, series)], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(decode)))
        .optional()?;
    if let Some(None) = found {
        tracing::warn!(series, start, ?tier, "a damaged chunk of a metric is not read");
    }
    Ok(found.flatten())
}

/// Each look between these instants with its time in seconds.
pub(super) fn each_tick(
    connection: &Connection,
    since_ns: i64,
    until_ns: i64,
    mut take: impl FnMut(i64, &[u8]) -> Option<()>,
) -> rusqlite::Result<()> {
    let mut query = connection
        .prepare_cached("SELECT at, body FROM metric_ticks WHERE at >= ?1 AND at < ?2 ORDER BY at")?;
    let mut rows = query.query([since_ns, until_ns])?;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        let body = row.get_ref(1)?.as_blob().unwrap_or_default();
        if take(at.div_euclid(SECOND_NS), body).is_none() {
            tracing::warn!(at, "a damaged look at the metrics is not read to its end");
        }
    }
    Ok(())
}

/// Minutes or hours of what is finer, in its order.
fn rolled(finer: impl IntoIterator<Item = (i64, Summary)>, tier: MetricTier) -> BTreeMap<i64, Summary> {
    let mut slots = BTreeMap::new();
    for (second, summary) in finer {
        roll(&mut slots, second, &summary, tier);
    }
    slots
}

/// The next, added to its slot.
pub(super) fn roll(slots: &mut BTreeMap<i64, Summary>, second: i64, summary: &Summary, tier: MetricTier) {
    let slot = second.div_euclid(tier.step_s()) * tier.step_s();
    match slots.get_mut(&slot) {
        Some(sum) => sum.add(summary),
        None => drop(slots.insert(slot, summary.clone())),
    }
}

fn instants(connection: &Connection) -> Answer<Vec<i64>> {
    let mut query = connection.prepare_cached("SELECT at FROM metric_ticks ORDER BY at")?;
    let rows = query.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn series_in(connection: &Connection, instants: &[i64]) -> Answer<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    each_of(connection, instants, |_, body| {
        tick::decode(body, u32::MAX, |_| true, |series, _| found.extend([series]))
    })?;
    Ok(found)
}

/// The instants are in order, and few others are between them.
fn each_of(
    connection: &Connection,
    instants: &[i64],
    mut take: impl FnMut(i64, &[u8]) -> Option<()>,
) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (instants.first(), instants.last()) else { return Ok(()) };
    each_tick(connection, *first, last.saturating_add(1), |second, body| {
        let known = instants.binary_search(&(second * SECOND_NS)).is_ok();
        if known { take(second, body) } else { Some(()) }
    })
}

/// The chunks of these series as they are to be after the hour is in them.
fn prepare(connection: &Connection, hour: i64, instants: &[i64], series: &[u32]) -> Answer<Vec<Row>> {
    let mut measures: BTreeMap<u32, Vec<(u16, Measure)>> = BTreeMap::new();
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return Ok(Vec::new()) };
    let ours = *first..=*last;
    each_of(connection, instants, |second, body| {
        let slot = MetricTier::TenSeconds.slot(second);
        let take = |series, measure| measures.entry(series).or_default().push((slot, measure));
        tick::decode(body, *last, |series| ours.contains(&series), take)
    })?;
    let mut rows = Vec::with_capacity(measures.len() * 3);
    for (series, fresh) in measures {
        rows.extend(folded(connection, hour, series, fresh)?);
    }
    Ok(rows)
}

fn folded(
    connection: &Connection,
    hour: i64,
    series: u32,
    fresh: Vec<(u16, Measure)>,
) -> rusqlite::Result<[Row; 3]> {
    use MetricTier::{Hours, Minutes, TenSeconds};
    // What is there already was there first: a slot is looked at once.
    let kept = body(connection, (TenSeconds, hour, series), chunk::decode_measures)?;
    let mut finest: BTreeMap<u16, Measure> = fresh.into_iter().collect();
    finest.extend(kept.into_iter().flatten());
    let finest: Vec<(u16, Measure)> = finest.into_iter().collect();

    let of_finest =
        finest.iter().map(|(slot, measure)| (TenSeconds.second(hour, *slot), Summary::of(measure.clone())));
    let kept = body(connection, (Minutes, hour, series), chunk::decode_summaries)?;
    let minutes = over(kept, rolled(of_finest, Minutes), Minutes);

    let of_minutes = minutes.iter().map(|(slot, sum)| (Minutes.second(hour, *slot), sum.clone()));
    let day = Hours.start(hour);
    let kept = body(connection, (Hours, day, series), chunk::decode_summaries)?;
    let hours = over(kept, rolled(of_minutes, Hours), Hours);
    Ok([
        (TenSeconds.key(hour, series), chunk::encode_measures(&finest)),
        (Minutes.key(hour, series), chunk::encode_summaries(&minutes)),
        (Hours.key(day, series), chunk::encode_summaries(&hours)),
    ])
}

/// Told anew where there is anew something to tell it from; elsewhere as it was.
fn over(
    kept: Option<Vec<(u16, Summary)>>,
    anew: BTreeMap<i64, Summary>,
    tier: MetricTier,
) -> Vec<(u16, Summary)> {
    let mut slots: BTreeMap<u16, Summary> = kept.into_iter().flatten().collect();
    slots.extend(anew.into_iter().map(|(second, summary)| (tier.slot(second), summary)));
    slots.into_iter().collect()
}

/// In nanoseconds, as rows have it.
pub(super) fn nanoseconds(second: i64) -> i64 {
    Timestamp::from_second(second).ok().and_then(|at| from_time(at).ok()).unwrap_or(if second < HOUR_S {
        i64::MIN
    } else {
        i64::MAX
    })
}
