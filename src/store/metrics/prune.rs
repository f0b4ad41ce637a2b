//! Retention: chunks by how fine they are, looks that could not be folded, and series that nothing is left of.
use super::{
    fold::nanoseconds,
    tier::{MetricTier, hour_at},
};
use crate::store::{Store, error::Result};
use jiff::Timestamp;
use rusqlite::params;

/// Rows that one transaction deletes.
const AT_ONCE: u32 = 5_000;

const CHUNKS: &str = "DELETE FROM metric_chunks WHERE id IN
    (SELECT id FROM metric_chunks WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)";
const TICKS: &str =
    "DELETE FROM metric_ticks WHERE at IN (SELECT at FROM metric_ticks WHERE at >= ?1 AND at < ?2 LIMIT ?3)";
const SERIES: &str = "DELETE FROM metric_series WHERE id IN
    (SELECT id FROM metric_series WHERE last_at >= ?1 AND last_at < ?2 LIMIT ?3)";

impl Store {
    /// Deletes what is wholly older than is said for its fineness; returns rows deleted.
    pub async fn prune_metrics(&self, oldest: [(MetricTier, Timestamp); 3]) -> Result<u64> {
        let mut gone = 0;
        for (tier, oldest) in oldest {
            let end = hour_at(oldest.as_second()) - tier.span() + 1;
            gone += self.delete_metrics(CHUNKS, tier.key(0, 0), tier.key(end, 0)).await?;
        }
        let of = |wanted: MetricTier| {
            oldest
                .iter()
                .find(|(tier, _)| *tier == wanted)
                .map_or(i64::MIN, |(_, at)| nanoseconds(at.as_second()))
        };
        gone += self.delete_metrics(TICKS, i64::MIN, of(MetricTier::TenSeconds)).await?;
        gone += self.delete_metrics(SERIES, i64::MIN, of(MetricTier::Hours)).await?;
        Ok(gone)
    }

    async fn delete_metrics(&self, sql: &'static str, from: i64, to: i64) -> Result<u64> {
        let mut gone = 0;
        loop {
            let deleted = self
                .write("delete metrics that are past retention", move |connection| {
                    Ok(connection.prepare_cached(sql)?.execute(params![from, to, AT_ONCE])?)
                })
                .await?;
            gone += deleted as u64;
            if deleted < AT_ONCE as usize {
                return Ok(gone);
            }
        }
    }
}
