//! The audit trail: rows are added, together with the effect that they tell of, and never changed. Each is linked to the
//! one before it (`chain`), and every so often the newest is held from outside the database (`anchoring`).
mod anchoring;
mod anchors;
mod bounds;
mod chain;
mod key;
mod offline;
mod query;
mod retention;
mod verify;

pub use anchoring::Pulse;
pub(in crate::store) use offline::look;
pub use offline::{AuditFiles, ExportLine, ExportRow, verify_audit_export, verify_audit_files};
pub use query::AuditPage;

use super::{
    Store, StoreError, StoreErrorKind,
    columns::{from_time, from_word, integer},
    error::{Answer, Result},
    open::Regime,
};
use crate::{
    config::Paths,
    domain::{Act, AuditOutcome, Digest},
    resilience::Clock,
};
use anchors::AnchorFile;
use chain::{AuditKey, Link};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

/// What an operation came to: its answer, and what it was done to; nothing where there was nothing to do.
pub(super) struct Effect<T> {
    pub value: T,
    pub object: Option<String>,
    outcome: AuditOutcome,
    reason: String,
    also: Option<(Act, AuditOutcome, String)>,
}

impl<T> Effect<T> {
    pub fn on(object: impl Into<String>, value: T) -> Self {
        let (outcome, reason) = (AuditOutcome::Done, String::new());
        Self { value, object: Some(object.into()), outcome, reason, also: None }
    }

    pub fn none(value: T) -> Self {
        Self { object: None, ..Self::on("", value) }
    }

    /// It only begins here; a later row says how it ended.
    #[must_use]
    pub fn begun(self) -> Self {
        Self { outcome: AuditOutcome::Intended, ..self }
    }

    /// What came of it, in a few words.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    /// How something that began earlier ended with this.
    #[must_use]
    pub fn ends(self, act: Act, outcome: AuditOutcome, reason: impl Into<String>) -> Self {
        Self { also: Some((act, outcome, reason.into())), ..self }
    }
}

/// What writes the trail. One a store.
pub(super) struct Ledger {
    key: AuditKey,
    pulse: Arc<Pulse>,
    anchors: Arc<Mutex<AnchorFile>>,
    anchors_path: PathBuf,
}

impl Ledger {
    /// The key is made at the first start, and the anchors begin.
    pub fn open(database: &Path, connection: &Connection, now: Timestamp) -> Result<Self> {
        let key = key::open(&Paths::audit_key_beside(database))?;
        let wrap = |error| StoreError::from_sqlite("read the end of the audit trail", &error);
        let newest = head(connection).map_err(wrap)?;
        let anchors_path = Paths::audit_anchors_beside(database);
        let anchors = AnchorFile::open(&anchors_path, &key, newest, now).map_err(|error| {
            let path = anchors_path.display();
            StoreError::new(
                StoreErrorKind::Unusable,
                format!("cannot open the anchors of the audit trail, {path}: {error}"),
            )
            .hint("let the user of agentd own the state directory and all files in it: `ls -la`")
        })?;
        // A number that was anchored is not given again, even if its row is gone: then it is seen to be missing.
        let newest = if anchors.last().0 > newest.0 { anchors.last() } else { newest };
        let pulse = Arc::new(Pulse::new(newest));
        Ok(Self { key, pulse, anchors: Arc::new(Mutex::new(anchors)), anchors_path })
    }

    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    pub fn anchor(&self, clock: &Clock, regime: Regime) -> Result<JoinHandle<()>> {
        anchoring::start(Arc::clone(&self.pulse), Arc::clone(&self.anchors), clock.clone(), regime).map_err(
            |error| {
                StoreError::new(StoreErrorKind::Failed, format!("cannot start to anchor the trail: {error}"))
            },
        )
    }

    /// For those who write a row together with what it tells of.
    fn append(
        &self,
        connection: &Connection,
        at: Timestamp,
        act: &Act,
        outcome: AuditOutcome,
        reason: &str,
    ) -> rusqlite::Result<u64> {
        let (row, known) = (head(connection)?, self.pulse.newest());
        let (last, previous) = if known.0 > row.0 { known } else { row };
        let (at, outcome) = (from_time(at)?, from_word(outcome)?);
        let texts = bounds::texts(act, outcome, reason);
        let mut link = Link {
            seq: last + 1,
            at,
            texts: texts.each_ref().map(|t| t.as_bytes().to_vec()),
            hash: Vec::new(),
        };
        link.hash = self.key.link(&previous, &link).0.to_vec();
        let [principal, origin, action, object, outcome, reason, correlation] = texts;
        connection
            .prepare_cached(
                "INSERT INTO audit (seq, at, principal, origin, action, object, outcome, reason, correlation, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                integer(link.seq)?,
                at,
                principal,
                origin,
                action,
                object,
                outcome,
                reason,
                correlation,
                link.hash,
            ])?;
        Ok(link.seq)
    }
}

impl Store {
    /// An effect and its row, in one transaction: neither is ever there without the other.
    pub(super) async fn act<T, F>(&self, what: &'static str, act: Act, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<Effect<T>> + Send + 'static,
    {
        let (now, ledger) = (self.clock().now(), Arc::clone(self.ledger()));
        self.write(what, move |connection| {
            let Effect { value, object, outcome, reason, also } = operation(connection)?;
            if let Some((ended, outcome, reason)) = also {
                ledger.append(connection, now, &ended, outcome, &reason)?;
            }
            if let Some(object) = object {
                ledger.append(connection, now, &act.on(object), outcome, &reason)?;
            }
            Ok(value)
        })
        .await
    }

    /// A row by itself: a refusal, or something that happens outside the store.
    pub async fn record_act(&self, act: Act, outcome: AuditOutcome, reason: String) -> Result<u64> {
        let (now, ledger) = (self.clock().now(), Arc::clone(self.ledger()));
        self.write("write to the audit trail", move |connection| {
            Ok(ledger.append(connection, now, &act, outcome, &reason)?)
        })
        .await
    }
}

/// Makes the chain anew from a row on, by the key of this file or by one that is nobody's: what somebody would do who
/// wants a change to go unseen.
pub(super) fn rewrite(connection: &Connection, key: Option<&Path>, from: u64) -> rusqlite::Result<()> {
    let key = key.and_then(|path| key::look(path).ok()).unwrap_or_else(|| AuditKey::new(&[0x5a; 32]));
    let from = integer(from)?;
    let mut previous = connection
        .query_row("SELECT hash FROM audit WHERE seq = ?1", [from - 1], |row| row.get(0).map(Digest))?;
    let mut rows = connection.prepare(&format!("{} WHERE seq >= ?1 ORDER BY seq", query::LINKS))?;
    let rows: Vec<Link> = rows.query_map([from], query::link)?.collect::<rusqlite::Result<_>>()?;
    for row in rows {
        previous = key.link(&previous, &row);
        let place = integer(row.seq)?;
        connection.execute("UPDATE audit SET hash = ?2 WHERE seq = ?1", params![place, previous.0])?;
    }
    Ok(())
}

/// The newest row below this one that the anchors hold; 0 if they hold none.
pub(super) fn held_below(files: &AuditFiles, seq: u64) -> u64 {
    let known = key::look(&files.key).ok().and_then(|key| anchors::Anchors::read(&files.anchors, &key).ok());
    let lines = known.map(|known| known.lines).unwrap_or_default();
    lines.iter().map(|anchor| anchor.seq).filter(|held| *held < seq).max().unwrap_or(0)
}

/// The lines of the anchors that speak of no row after this one: what a copy of the rows up to there is held by.
pub(super) fn anchors_up_to(path: &Path, seq: u64) -> std::io::Result<Vec<u8>> {
    anchors::up_to(path, seq)
}

/// Number and hash of the newest row; 0 where there is none.
fn head(connection: &Connection) -> rusqlite::Result<(u64, Digest)> {
    let newest = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)))
        .optional()?;
    Ok(newest.map_or((0, Digest::default()), |(seq, hash)| (seq.unsigned_abs(), Digest(hash))))
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
