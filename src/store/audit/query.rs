//! The trail as it is asked for: by filter, one row with its pair, by page for an export, and verified as a whole.
use super::{
    anchors::{Anchors, newest_in},
    chain::{AuditKey, Link},
    verify::{Start, verify},
};
use crate::{
    domain::{AuditEntry, AuditEvent, AuditFilter, AuditOutcome, AuditStanding, AuditVerdict, Digest},
    store::{
        Store, StoreError, StoreErrorKind,
        columns::{from_time, number, time, word},
        error::{Answer, Result, Trouble},
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::ValueRef};
use std::{path::Path, sync::Arc};

/// No answer is longer, whatever is asked for.
const LONGEST_PAGE: u32 = 10_000;
/// What an export's seal is for.
const SEAL: &[u8] = b"agentd audit export 1";

/// As the list shows it; 10: has its intent an outcome?
const COLUMNS: &str = "seq, at, principal, origin, action, object, outcome, reason, correlation, hash,
    outcome = 'intended' AND NOT EXISTS (SELECT 1 FROM audit AS later WHERE later.correlation = audit.correlation
        AND later.action = audit.action AND later.seq > audit.seq AND later.outcome <> 'intended')";

/// As the chain sees them.
pub(super) const LINKS: &str =
    "SELECT seq, at, principal, origin, action, object, outcome, reason, correlation, hash FROM audit";

/// Rows of an export.
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// The hash that the first of them rests on; none where it is not known, since the row before it is gone.
    pub previous: Option<Digest>,
}

impl Store {
    /// Rows after `cursor`, oldest first; with cursor 0, the newest `limit`. At most 10,000.
    pub async fn audit_events(&self, cursor: u64, limit: u32) -> Result<Vec<AuditEvent>> {
        let entries = if cursor == 0 {
            self.audit_entries(AuditFilter { limit, ..AuditFilter::default() }).await?
        } else {
            self.audit_page(cursor, limit).await?.entries
        };
        Ok(entries.into_iter().map(|entry| entry.event).collect())
    }

    /// The newest that pass, oldest first. At most 10,000.
    pub async fn audit_entries(&self, filter: AuditFilter) -> Result<Vec<AuditEntry>> {
        self.read("read the audit trail", move |connection| {
            let (standing, unknown) = match filter.outcome {
                None => (None, None),
                Some(AuditStanding::Unknown) => (Some("intended"), Some(true)),
                Some(AuditStanding::Intended) => (Some("intended"), Some(false)),
                Some(other) => (Some(other.as_str()), None),
            };
            let mut query = connection.prepare_cached(&format!(
                "SELECT * FROM (SELECT {COLUMNS} AS unknown FROM audit
                 WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR principal = ?2)
                 AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '/')
                 AND (?4 IS NULL OR outcome = ?4) AND (?5 IS NULL OR unknown = ?5)
                 AND (?6 IS NULL OR correlation = ?6)
                 ORDER BY seq DESC LIMIT ?7) ORDER BY seq"
            ))?;
            let since = filter.since.map(from_time).transpose()?;
            let correlation = filter.correlation.map(|id| id.to_string());
            let limit = filter.limit.min(LONGEST_PAGE);
            let rows = query.query_map(
                params![since, filter.principal, filter.action, standing, unknown, correlation, limit],
                entry,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// A row, and every other of the same request. Empty where there is none.
    pub async fn audit_act(&self, seq: u64) -> Result<Vec<AuditEntry>> {
        self.read("read a row of the audit trail", move |connection| {
            let Ok(seq) = i64::try_from(seq) else { return Ok(Vec::new()) };
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} AS unknown FROM audit
                 WHERE correlation = (SELECT correlation FROM audit WHERE seq = ?1) ORDER BY seq LIMIT 100"
            ))?;
            let rows = query.query_map([seq], entry)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Rows after `cursor`, oldest first, with what the first rests on.
    pub async fn audit_page(&self, cursor: u64, limit: u32) -> Result<AuditPage> {
        self.read("read the audit trail", move |connection| {
            let after = i64::try_from(cursor).unwrap_or(i64::MAX);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} AS unknown FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2"
            ))?;
            let rows = query.query_map(params![after, limit.min(LONGEST_PAGE)], entry)?;
            let entries: Vec<AuditEntry> = rows.collect::<rusqlite::Result<_>>()?;
            let first = entries.first().map_or(0, |entry| entry.event.seq);
            let before: Option<[u8; 32]> = connection
                .prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?
                .query_row([i64::try_from(first).unwrap_or(0) - 1], |row| row.get(0))
                .optional()?;
            let previous = if first == 1 { Some(Digest::default()) } else { before.map(Digest) };
            Ok(AuditPage { entries, previous })
        })
        .await
        .map(|page| AuditPage { previous: page.previous.or_else(|| self.pruned_before(&page)), ..page })
    }

    /// The number before that of the first row since then; 0 where all are, None where none is.
    pub async fn audit_before(&self, since: Timestamp) -> Result<Option<u64>> {
        self.read("read the audit trail", move |connection| {
            let first: Option<i64> = connection
                .prepare_cached("SELECT seq FROM audit WHERE at >= ?1 ORDER BY seq LIMIT 1")?
                .query_row([from_time(since)?], |row| row.get(0))
                .optional()?;
            Ok(first.map(|seq| seq.unsigned_abs().saturating_sub(1)))
        })
        .await
    }

    /// What an export of the rows from `first` to `last` ends with, so that it cannot be cut at either end.
    pub fn seal_audit(&self, first: u64, last: u64, hash: &Digest) -> Digest {
        seal(&self.ledger().key, first, last, hash)
    }

    /// Every row against the key and the anchors. The anchors are read before the rows, which must reach them, and again
    /// after, since retention may have gone on meanwhile.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        let ledger = Arc::clone(self.ledger());
        self.read("verify the audit trail", move |connection| {
            verify_connection(connection, &ledger.key, &ledger.anchors_path)
        })
        .await
    }

    /// The newest row, and the newest that the file of anchors holds; 0 where there is none.
    pub async fn audit_heads(&self) -> Result<(u64, u64)> {
        let anchored = newest_in(&self.ledger().anchors_path).map_or(0, |anchor| anchor.seq);
        let newest = self.read("read the audit trail", |connection| Ok(super::head(connection)?)).await?;
        Ok((newest.0, anchored))
    }

    fn pruned_before(&self, page: &AuditPage) -> Option<Digest> {
        let first = page.entries.first()?.event.seq;
        let anchors = Anchors::read(&self.ledger().anchors_path, &self.ledger().key).ok()?;
        anchors.pruned(first.checked_sub(1)?)
    }
}

pub(super) fn seal(key: &AuditKey, first: u64, last: u64, hash: &Digest) -> Digest {
    key.mac(SEAL, &[&first.to_be_bytes(), &last.to_be_bytes(), &hash.0])
}

pub(super) fn verify_connection(
    connection: &Connection,
    key: &AuditKey,
    anchors: &Path,
) -> Answer<AuditVerdict> {
    let read = || match Anchors::read(anchors, key) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Anchors::default()),
        read => read.map_err(|error| {
            Trouble::Said(StoreError::new(
                StoreErrorKind::Failed,
                format!("cannot read the anchors of the audit trail, {}: {error}", anchors.display()),
            ))
        }),
    };
    let reach = read()?.newest().map_or(0, |anchor| anchor.seq);
    let mut query = connection.prepare(&format!("{LINKS} ORDER BY seq"))?;
    // The first step opens the snapshot; what is anchored or pruned up to then is in the file when it is read again.
    let mut rows = query.query_map([], link)?.peekable();
    rows.peek();
    let now = read()?;
    Ok(verify(key, rows, Some(&now), Start::Beginning, reach)?)
}

/// As it stands: what is of another type or length than it should be is a row that does not verify, not an error.
pub(super) fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let bytes = |column: usize| -> rusqlite::Result<Vec<u8>> {
        Ok(match row.get_ref(column)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Vec::new(),
        })
    };
    let whole = |column: usize| row.get_ref(column).map(|value| value.as_i64().unwrap_or_default());
    let texts = [bytes(2)?, bytes(3)?, bytes(4)?, bytes(5)?, bytes(6)?, bytes(7)?, bytes(8)?];
    Ok(Link { seq: whole(0)?.unsigned_abs(), at: whole(1)?, texts, hash: bytes(9)? })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let outcome = word(row, 6)?;
    let unknown: bool = row.get(10)?;
    let standing = match outcome {
        AuditOutcome::Done => AuditStanding::Done,
        AuditOutcome::Refused => AuditStanding::Refused,
        AuditOutcome::Failed => AuditStanding::Failed,
        AuditOutcome::Intended if unknown => AuditStanding::Unknown,
        AuditOutcome::Intended => AuditStanding::Intended,
    };
    let event = AuditEvent {
        seq: number(row, 0)?,
        at: time(row, 1)?,
        principal: row.get(2)?,
        from: row.get(3)?,
        action: row.get(4)?,
        object: row.get(5)?,
        outcome,
        reason: row.get(7)?,
        correlation: word(row, 8)?,
    };
    Ok(AuditEntry { event, standing, hash: Digest(row.get(9)?) })
}
