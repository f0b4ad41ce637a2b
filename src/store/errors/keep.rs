//! Occurrences into their groups: counts exact, samples bounded, and what came back after it was resolved is said so.
use crate::{
    domain::{Alike, ErrorState, FaultCategory, FaultKind, FaultSeverity, Fingerprint, Occurrence, Tally},
    store::{
        Store,
        columns::{from_time, from_word, integer, number, optional_time, word},
        error::Result,
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// What is kept at most.
#[derive(Clone, Copy, Debug)]
pub struct ErrorBounds {
    /// Newest occurrences of each group.
    pub samples: u32,
    /// Different groups.
    pub groups: u32,
}

impl Store {
    /// All of them or, if this fails, none: the caller still has them and may try again.
    pub async fn keep_failures(&self, tallies: Arc<Vec<Tally>>, bounds: ErrorBounds) -> Result<()> {
        self.write("record failures", move |connection| {
            for tally in tallies.iter() {
                keep(connection, tally, bounds)?;
            }
            Ok(())
        })
        .await
    }
}

fn keep(connection: &Connection, tally: &Tally, bounds: ErrorBounds) -> rusqlite::Result<()> {
    let id = match known(connection, &tally.alike.fingerprint)? {
        Some(known) => add(connection, &known, tally)?,
        None if is_full(connection, bounds.groups)? => {
            let other = Tally { alike: other(), hint: Some(OTHER_HINT.into()), ..tally.clone() };
            match known(connection, &other.alike.fingerprint)? {
                Some(known) => add(connection, &known, &other)?,
                None => found(connection, &other)?,
            }
        }
        None => found(connection, tally)?,
    };
    for (hour, count) in &tally.hours {
        connection
            .prepare_cached(
                "INSERT INTO error_hours (group_id, hour, count) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET count = count + excluded.count",
            )?
            .execute(params![id, hour, integer(*count)?])?;
    }
    for sample in &tally.samples {
        keep_sample(connection, id, sample)?;
    }
    connection
        .prepare_cached(
            "DELETE FROM error_occurrences WHERE group_id = ?1 AND seq <= (SELECT seq FROM error_occurrences
             WHERE group_id = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![id, bounds.samples])?;
    Ok(())
}

/// As much of a group as decides what an occurrence makes of it.
struct Known {
    id: i64,
    state: ErrorState,
    count: u64,
    resolved_at: Option<Timestamp>,
    ignored_until: Option<Timestamp>,
    ignored_until_count: Option<i64>,
}

fn known(connection: &Connection, fingerprint: &Fingerprint) -> rusqlite::Result<Option<Known>> {
    connection
        .prepare_cached(
            "SELECT id, state, count, resolved_at, ignored_until, ignored_until_count FROM error_groups
             WHERE fingerprint = ?1",
        )?
        .query_row([fingerprint.as_str()], |row| {
            Ok(Known {
                id: row.get(0)?,
                state: word(row, 1)?,
                count: number(row, 2)?,
                resolved_at: optional_time(row, 3)?,
                ignored_until: optional_time(row, 4)?,
                ignored_until_count: row.get(5)?,
            })
        })
        .optional()
}

fn is_full(connection: &Connection, groups: u32) -> rusqlite::Result<bool> {
    let kept: u64 = connection
        .prepare_cached("SELECT count(*) FROM error_groups")?
        .query_row([], |row| number(row, 0))?;
    Ok(kept >= u64::from(groups))
}

/// What new occurrences make of a group.
fn state_after(known: &Known, tally: &Tally) -> ErrorState {
    let count = i64::try_from(known.count + tally.count).unwrap_or(i64::MAX);
    match known.state {
        // One that happened before it was resolved and is only written now is no regression.
        ErrorState::Resolved if known.resolved_at.is_none_or(|at| tally.last_at > at) => {
            ErrorState::Regressed
        }
        ErrorState::Ignored
            if known.ignored_until.is_some_and(|until| tally.last_at >= until)
                || known.ignored_until_count.is_some_and(|limit| count >= limit) =>
        {
            ErrorState::Open
        }
        same => same,
    }
}

fn add(connection: &Connection, known: &Known, tally: &Tally) -> rusqlite::Result<i64> {
    let state = state_after(known, tally);
    let turned = state != known.state;
    let opened = known.resolved_at.map_or(tally.last_at, |at| tally.first_at.max(at));
    connection
        .prepare_cached(
            "UPDATE error_groups SET count = count + ?2, first_at = min(first_at, ?3), last_at = max(last_at, ?4),
             message = ifnull(?5, message), hint = ?6, state = ?7, opened_at = ifnull(?8, opened_at),
             regressions = regressions + ?9, ignored_until = iif(?7 = 'ignored', ignored_until, NULL),
             ignored_until_count = iif(?7 = 'ignored', ignored_until_count, NULL),
             ignored_note = iif(?7 = 'ignored', ignored_note, NULL)
             WHERE id = ?1",
        )?
        .execute(params![
            known.id,
            integer(tally.count)?,
            from_time(tally.first_at)?,
            from_time(tally.last_at)?,
            said(tally),
            tally.hint,
            from_word(state)?,
            if turned { Some(from_time(opened)?) } else { None },
            i64::from(turned && state == ErrorState::Regressed),
        ])?;
    Ok(known.id)
}

fn found(connection: &Connection, tally: &Tally) -> rusqlite::Result<i64> {
    let alike = &tally.alike;
    connection
        .prepare_cached(
            "INSERT INTO error_groups (fingerprint, category, severity, rank, kind, operation, agent, retryable,
             message, hint, state, first_at, last_at, count, opened_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open', ?11, ?12, ?13, ?11) RETURNING id",
        )?
        .query_row(
            params![
                alike.fingerprint.as_str(),
                from_word(alike.category)?,
                from_word(alike.severity)?,
                alike.severity as u8,
                from_word(alike.kind)?,
                alike.operation,
                alike.agent.as_ref().map(|agent| agent.as_str().to_owned()),
                alike.retryable,
                said(tally).unwrap_or_default(),
                tally.hint,
                from_time(tally.first_at)?,
                from_time(tally.last_at)?,
                integer(tally.count)?,
            ],
            |row| row.get(0),
        )
}

/// What the newest occurrence said. The group of all others says what it is.
fn said(tally: &Tally) -> Option<&str> {
    if tally.alike.fingerprint == Fingerprint::other() {
        return Some(OTHER);
    }
    tally.samples.back().map(|sample| sample.message.as_str())
}

const OTHER: &str = "cannot keep these failures apart: too many are different, so they are counted together";
const OTHER_HINT: &str =
    "resolve what is mended, or raise `groups` under [errors]; the occurrences show what they are";

/// The group that takes what no longer fits.
fn other() -> Alike {
    Alike {
        fingerprint: Fingerprint::other(),
        category: FaultCategory::Resource,
        severity: FaultSeverity::Medium,
        kind: FaultKind::Busy,
        operation: "errors".into(),
        agent: None,
        retryable: false,
    }
}

fn keep_sample(connection: &Connection, group: i64, sample: &Occurrence) -> rusqlite::Result<()> {
    let causes = serde_json::to_string(&sample.causes)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached(
            "INSERT INTO error_occurrences (group_id, at, instance, client, correlation, message, causes, context)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            group,
            from_time(sample.at)?,
            sample.instance.clone().map(String::from),
            sample.client,
            sample.correlation.map(|id| id.to_string()),
            sample.message,
            causes,
            sample.context,
        ])?;
    Ok(())
}
