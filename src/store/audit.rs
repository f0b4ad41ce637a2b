//! The audit trail: rows are added, together with the effect that they tell of, and never changed.
use super::{
    Store,
    columns::{from_time, from_word, number, time, word},
    error::{Answer, Result},
};
use crate::domain::{Act, AuditEvent, AuditOutcome};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

/// No answer is longer, whatever is asked for.
const LONGEST_PAGE: u32 = 10_000;

/// What an operation came to: its answer, and what it was done to; nothing where there was nothing to do.
pub(super) struct Effect<T> {
    pub value: T,
    pub object: Option<String>,
}

impl<T> Effect<T> {
    pub fn on(object: impl Into<String>, value: T) -> Self {
        Self { value, object: Some(object.into()) }
    }

    pub fn none(value: T) -> Self {
        Self { value, object: None }
    }
}

impl Store {
    /// An effect and its row, in one transaction: neither is ever there without the other.
    pub(super) async fn act<T, F>(&self, what: &'static str, act: Act, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<Effect<T>> + Send + 'static,
    {
        let now = self.clock().now();
        self.write(what, move |connection| {
            let effect = operation(connection)?;
            if let Some(object) = effect.object {
                append(connection, now, &act.on(object), AuditOutcome::Done, "")?;
            }
            Ok(effect.value)
        })
        .await
    }

    /// A row by itself: a refusal, or something that happens outside the store.
    pub async fn record_act(&self, act: Act, outcome: AuditOutcome, reason: String) -> Result<u64> {
        let now = self.clock().now();
        self.write("write to the audit trail", move |connection| {
            Ok(append(connection, now, &act, outcome, &reason)?)
        })
        .await
    }

    /// Rows after `cursor`, oldest first; with cursor 0, the newest `limit`. At most 10,000.
    pub async fn audit_events(&self, cursor: u64, limit: u32) -> Result<Vec<AuditEvent>> {
        self.read("read the audit trail", move |connection| {
            let after = i64::try_from(cursor).unwrap_or(i64::MAX);
            let mut query = connection.prepare_cached(if cursor == 0 {
                "SELECT * FROM (SELECT seq, at, principal, origin, action, object, outcome, reason, correlation
                 FROM audit WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2) ORDER BY seq"
            } else {
                "SELECT seq, at, principal, origin, action, object, outcome, reason, correlation
                 FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2"
            })?;
            let rows = query.query_map(params![after, limit.min(LONGEST_PAGE)], event)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// For those who write a row together with what it tells of.
fn append(
    connection: &Connection,
    at: Timestamp,
    act: &Act,
    outcome: AuditOutcome,
    reason: &str,
) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "INSERT INTO audit (seq, at, principal, origin, action, object, outcome, reason, correlation)
             SELECT 1 + ifnull(max(seq), 0), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM audit",
        )?
        .execute(params![
            from_time(at)?,
            act.principal.to_string(),
            act.from,
            act.action,
            act.object,
            from_word(outcome)?,
            reason,
            act.correlation.to_string(),
        ])?;
    Ok(u64::try_from(connection.last_insert_rowid()).unwrap_or_default())
}

fn event(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    Ok(AuditEvent {
        seq: number(row, 0)?,
        at: time(row, 1)?,
        principal: row.get(2)?,
        from: row.get(3)?,
        action: row.get(4)?,
        object: row.get(5)?,
        outcome: word(row, 6)?,
        reason: row.get(7)?,
        correlation: word(row, 8)?,
    })
}
