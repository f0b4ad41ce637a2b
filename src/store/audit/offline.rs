//! The trail without its daemon: files of a state directory, or an export, held against the key and the anchors. Nothing
//! is made, changed or locked.
use super::{
    anchors::Anchors,
    chain::Link,
    key,
    query::{seal, verify_connection},
    verify::{Start, verify},
};
use crate::{
    config::Paths,
    domain::{AuditBreak, AuditEvent, AuditVerdict, BreakKind, Digest},
    store::{
        StoreError, StoreErrorKind,
        error::{Result, Trouble},
        open,
    },
};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a trail consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFiles {
    pub database: PathBuf,
    pub key: PathBuf,
    pub anchors: PathBuf,
}

/// A line of an export: the first, a row, the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExportLine {
    Begin { schema_version: u32, export: String, first: u64, previous: Digest },
    End { end: u64, rows: u64, seal: Digest },
    Row(Box<ExportRow>),
}

/// What its hash is over, and that. What a list shows beside follows from other rows, and is not in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportRow {
    #[serde(flatten)]
    pub event: AuditEvent,
    pub hash: Digest,
}

impl ExportLine {
    /// As `to_string` wrote it, to the letter: what was added to a line is not overlooked.
    fn read(line: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(line).ok()?;
        (serde_json::to_string(&read).ok()? == line).then_some(read)
    }
}

impl AuditFiles {
    /// Of a state directory, or of a copy of one.
    pub fn of(state_dir: &Path) -> Self {
        let database = state_dir.join("agentd.db");
        Self {
            key: Paths::audit_key_beside(&database),
            anchors: Paths::audit_anchors_beside(&database),
            database,
        }
    }
}

/// It may be verified while a daemon writes it.
pub fn verify_audit_files(files: &AuditFiles) -> Result<AuditVerdict> {
    let key = key::look(&files.key)?;
    let what = format!("read {}", files.database.display());
    let wrap = |error: rusqlite::Error| StoreError::from_sqlite(&what, &error);
    let connection = look(&files.database).map_err(wrap)?;
    verify_connection(&connection, &key, &files.anchors).map_err(|trouble| match trouble {
        Trouble::Said(error) => error,
        Trouble::Sqlite(error) => wrap(error),
    })
}

/// `lines` of an export, held against the key, and against the anchors where they are at hand.
pub fn verify_audit_export(text: &str, files: &AuditFiles) -> Result<AuditVerdict> {
    let key = key::look(&files.key)?;
    let anchors = Anchors::read(&files.anchors, &key).ok();
    let mut lines = text.lines();
    let not_one = |why: &str| {
        StoreError::new(
            StoreErrorKind::Failed,
            format!("cannot read this as an export of an audit trail: {why}"),
        )
        .hint("`agentctl audit export` writes one")
    };
    let begin = lines.next().and_then(ExportLine::read);
    let Some(ExportLine::Begin { schema_version: 1, export, first, previous }) = begin else {
        return Err(not_one("its first line does not say so"));
    };
    if export != "audit" {
        return Err(not_one("it is of something else"));
    }
    let (mut rows, mut end, mut foreign) = (Vec::new(), None, None);
    for (number, line) in lines.enumerate() {
        match ExportLine::read(line) {
            Some(ExportLine::Row(row)) if end.is_none() => rows.push(link(&row)),
            Some(ExportLine::End { end: last, rows, seal }) if end.is_none() => {
                end = Some((last, rows, seal));
            }
            _ => {
                foreign = Some(number + 2);
                break;
            }
        }
    }
    let last = rows.last().map(|row| (row.seq, row.digest()));
    let count = rows.len() as u64;
    let links = rows.into_iter().map(Ok::<_, StoreError>);
    let mut verdict = verify(&key, links, anchors.as_ref(), Start::At(first, previous), 0)?;
    let found = match (foreign, &verdict.breaks[..], end, last) {
        (Some(line), _, _, _) => {
            Some((BreakKind::Edited, format!("line {line} is not as an export is written")))
        }
        (None, [_, ..], _, _) => None,
        (None, [], None, _) => Some((BreakKind::Truncated, "its last line is missing".into())),
        (None, [], Some((to, rows, sealed)), Some((seq, hash))) => {
            let whole = to == seq && rows == count && sealed == seal(&key, first, seq, &hash);
            (!whole).then(|| {
                (BreakKind::Truncated, format!("it was cut: its last line speaks of rows {first} to {to}"))
            })
        }
        (None, [], Some((_, rows, sealed)), None) => {
            let whole = rows == 0 && sealed == seal(&key, first, 0, &Digest::default());
            (!whole).then(|| (BreakKind::Truncated, "its rows are missing".into()))
        }
    };
    if let Some((kind, what)) = found {
        let seq = verdict.last.map_or(first, |last| last + 1);
        verdict.breaks.insert(0, AuditBreak { seq, kind, what });
        verdict.whole = false;
    }
    Ok(verdict)
}

/// As the chain saw it: what the export says in JSON is what stood in the columns.
fn link(row: &ExportRow) -> Link {
    let event = &row.event;
    let outcome = super::from_word(event.outcome).unwrap_or_default();
    let texts = [
        event.principal.clone(),
        event.from.clone(),
        event.action.clone(),
        event.object.clone(),
        outcome,
        event.reason.clone(),
        event.correlation.to_string(),
    ];
    Link {
        seq: event.seq,
        at: i64::try_from(event.at.as_nanosecond()).unwrap_or_default(),
        texts: texts.map(String::into_bytes),
        hash: row.hash.0.to_vec(),
    }
}

/// Without a WAL beside it the file is the whole state, and is read even where nothing may be written.
pub(in crate::store) fn look(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if open::beside(database, "-wal").exists() {
        return Connection::open_with_flags(database, flags);
    }
    let uri = open::uri(database);
    Connection::open_with_flags(uri + "?immutable=1", flags | OpenFlags::SQLITE_OPEN_URI)
}
