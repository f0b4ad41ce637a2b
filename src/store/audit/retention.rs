//! Old rows go from the old end of the chain only, and an anchor says up to where before the first of them is gone, so
//! that what is left still verifies and nobody else's deletion passes for ours.
use super::{Ledger, anchoring::locked, anchors::AnchorKind};
use crate::{
    domain::Digest,
    store::{
        Store,
        columns::{from_time, integer},
        error::{Answer, Result},
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

impl Store {
    /// Rows older than that, and the oldest of more than `most`; the newest stays whatever its age, since the next rests
    /// on it. At most `at_once` a transaction.
    pub(in crate::store) async fn prune_audit(
        &self,
        before: Timestamp,
        most: u32,
        at_once: u32,
    ) -> Result<u64> {
        let before = from_time(before).unwrap_or(i64::MIN);
        let mut gone = 0;
        loop {
            let (ledger, now) = (Arc::clone(self.ledger()), self.clock().now());
            let deleted = self
                .write("delete what is past retention", move |connection| {
                    prune(connection, &ledger, now, (before, most, at_once))
                })
                .await?;
            gone += deleted;
            if deleted < u64::from(at_once) {
                break;
            }
        }
        Ok(gone)
    }
}

fn prune(
    connection: &Connection,
    ledger: &Ledger,
    now: Timestamp,
    (before, most, at_once): (i64, u32, u32),
) -> Answer<u64> {
    let ends: Option<(i64, i64)> = connection
        .prepare_cached("SELECT min(seq), max(seq) FROM audit HAVING count(*) > 0")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, newest)) = ends else { return Ok(0) };
    // The first that is young enough; a clock that was set back keeps a few more.
    let young: Option<i64> = connection
        .prepare_cached("SELECT seq FROM audit WHERE at >= ?1 ORDER BY seq LIMIT 1")?
        .query_row([before], |row| row.get(0))
        .optional()?;
    let to = young.map_or(newest, |seq| seq - 1).max(newest - i64::from(most)).min(newest - 1);
    let to = to.min(first.saturating_add(at_once.into()) - 1);
    let last: Option<[u8; 32]> = connection
        .prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?
        .query_row([to], |row| row.get(0))
        .optional()?;
    // No row of that number: rows are missing already, and deleting more would hide where.
    let Some(hash) = last.filter(|_| to >= first) else { return Ok(0) };
    let pruned = (to.unsigned_abs(), Digest(hash));
    let failed = |error: std::io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let mut anchors = locked(&ledger.anchors);
    anchors.append(AnchorKind::Pruned, pruned, now).map_err(failed)?;
    if let Err(error) = anchors.compact(pruned, now) {
        tracing::warn!(%error, "cannot shorten the anchors of the audit trail");
    }
    drop(anchors);
    let deleted =
        connection.prepare_cached("DELETE FROM audit WHERE seq <= ?1")?.execute(params![integer(to)?])?;
    Ok(deleted as u64)
}
