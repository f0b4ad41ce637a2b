//! Releases: added once, moved by the table of `domain::release`, deleted when nobody needs them. What happens to one is
//! recorded together with it.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, from_word, integer, number, optional_word, time, word},
    error::{Answer, Result, Trouble},
};
use crate::domain::{
    Act, Digest, Principal, Release, ReleaseId, ReleaseMove, ReleaseRank, ReleaseStanding, ReleaseState,
    plan_move,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use std::collections::BTreeMap;

impl Store {
    /// As a candidate. `record` is the digest of the file that holds it; `why` says how it came here. Refuses a number
    /// that is taken (Conflict).
    pub async fn add_release(&self, act: Act, release: Release, record: Digest, why: String) -> Result<()> {
        let now = self.clock().now();
        self.act("record a release", act, move |connection| {
            let id = release.id;
            let body = serde_json::to_string(&release)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            connection
                .prepare_cached(
                    "INSERT INTO releases (number, state, content, record, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    id.0,
                    from_word(ReleaseState::Candidate)?,
                    release.content.0,
                    record.0,
                    body
                ])?;
            let first = ReleaseMove {
                from: None,
                to: ReleaseState::Candidate,
                at: now,
                by: release.by.clone(),
                why: why.clone(),
            };
            insert_move(connection, id, &first)?;
            let said = format!("record {record}, content {}", release.content);
            let said = if why.is_empty() { said } else { format!("{said}; {why}") };
            Ok(Effect::on(object(id), ()).because(said))
        })
        .await
    }

    /// The first number that no release has or had, as far as this database knows.
    pub async fn next_release(&self) -> Result<ReleaseId> {
        self.read("number a release", |connection| {
            let last: Option<u32> = connection
                .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'releases'")?
                .query_row([], |row| number(row, 0))
                .optional()?;
            Ok(ReleaseId(last.unwrap_or(0).saturating_add(1)))
        })
        .await
    }

    /// Newest first.
    pub async fn releases(&self) -> Result<Vec<ReleaseStanding>> {
        self.read("list releases", |connection| Ok(standings(connection)?)).await
    }

    pub async fn release(&self, id: ReleaseId) -> Result<Option<ReleaseStanding>> {
        self.read("read a release", move |connection| {
            let found = connection
                .prepare_cached("SELECT state, record, body FROM releases WHERE number = ?1")?
                .query_row([id.0], standing)
                .optional()?;
            let Some(mut found) = found else { return Ok(None) };
            found.moves = moves(connection)?.remove(&id).unwrap_or_default();
            Ok(Some(found))
        })
        .await
    }

    /// By the one table of moves, with whoever has to make room; a move that is not in it is refused (Conflict).
    /// Where it stands there already, nothing happens: it may be asked for again after a crash.
    pub async fn move_release(
        &self,
        act: Act,
        id: ReleaseId,
        to: ReleaseState,
        by: Principal,
        why: String,
    ) -> Result<()> {
        let now = self.clock().now();
        self.act("move a release", act, move |connection| {
            let ranks = ranks(connection)?;
            if ranks.iter().any(|rank| rank.id == id && rank.state == to) {
                return Ok(Effect::none(()));
            }
            let planned = plan_move(&ranks, id, to)
                .map_err(|why| said(format!("cannot make release {id} {to}: {why}")))?;
            for step in &planned {
                connection
                    .prepare_cached("UPDATE releases SET state = ?2 WHERE number = ?1")?
                    .execute(params![step.id.0, from_word(step.to)?])?;
                let why = if step.id == id { why.clone() } else { format!("{id} became {to}") };
                let (from, by) = (Some(step.from), by.clone());
                insert_move(connection, step.id, &ReleaseMove { from, to: step.to, at: now, by, why })?;
            }
            let told: Vec<String> =
                planned.iter().map(|step| format!("{} {} -> {}", step.id, step.from, step.to)).collect();
            let told = told.join(", ");
            let told = if why.is_empty() { told } else { format!("{told}: {why}") };
            Ok(Effect::on(object(id), ()).because(told))
        })
        .await
    }

    /// Its history goes with it. False if there is none; one that is stable or on trial is refused (Conflict).
    pub async fn delete_release(&self, act: Act, id: ReleaseId, why: String) -> Result<bool> {
        self.act("delete a release", act, move |connection| {
            let state: Option<ReleaseState> = connection
                .prepare_cached("SELECT state FROM releases WHERE number = ?1")?
                .query_row([id.0], |row| word(row, 0))
                .optional()?;
            let Some(state) = state else { return Ok(Effect::none(false)) };
            if state.is_held_by_one() {
                return Err(said(format!("cannot delete release {id}: it is {state}")));
            }
            connection.prepare_cached("DELETE FROM releases WHERE number = ?1")?.execute([id.0])?;
            let told = format!("it was {state}");
            let told = if why.is_empty() { told } else { format!("{told}; {why}") };
            Ok(Effect::on(object(id), true).because(told))
        })
        .await
    }

    /// The version of this database's schema.
    pub fn schema_version() -> u32 {
        u32::try_from(super::migrate::MIGRATIONS.len()).unwrap_or(u32::MAX)
    }
}

fn standings(connection: &Connection) -> rusqlite::Result<Vec<ReleaseStanding>> {
    let mut moves = moves(connection)?;
    let mut query =
        connection.prepare_cached("SELECT state, record, body FROM releases ORDER BY number DESC")?;
    let rows = query.query_map([], standing)?;
    rows.map(|row| {
        row.map(|found| {
            let moves = moves.remove(&found.release.id).unwrap_or_default();
            ReleaseStanding { moves, ..found }
        })
    })
    .collect()
}

fn standing(row: &Row<'_>) -> rusqlite::Result<ReleaseStanding> {
    let body = row.get_ref(2)?.as_str()?;
    let release = serde_json::from_str(body)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))?;
    Ok(ReleaseStanding { release, state: word(row, 0)?, record: Digest(row.get(1)?), moves: Vec::new() })
}

fn ranks(connection: &Connection) -> Answer<Vec<ReleaseRank>> {
    let mut query = connection.prepare_cached(
        "SELECT number, state, EXISTS (SELECT 1 FROM release_moves WHERE release = number AND now = 'stable')
         FROM releases ORDER BY number",
    )?;
    let rows = query.query_map([], |row| {
        Ok(ReleaseRank { id: ReleaseId(number(row, 0)?), state: word(row, 1)?, was_stable: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn moves(connection: &Connection) -> rusqlite::Result<BTreeMap<ReleaseId, Vec<ReleaseMove>>> {
    let mut query =
        connection.prepare_cached("SELECT release, was, now, at, by, why FROM release_moves ORDER BY seq")?;
    let rows = query.query_map([], |row| {
        let step = ReleaseMove {
            from: optional_word(row, 1)?,
            to: word(row, 2)?,
            at: time(row, 3)?,
            by: word(row, 4)?,
            why: row.get(5)?,
        };
        Ok((ReleaseId(number(row, 0)?), step))
    })?;
    let mut all: BTreeMap<ReleaseId, Vec<ReleaseMove>> = BTreeMap::new();
    for row in rows {
        let (id, step) = row?;
        all.entry(id).or_default().push(step);
    }
    Ok(all)
}

fn insert_move(connection: &Connection, id: ReleaseId, step: &ReleaseMove) -> rusqlite::Result<()> {
    let was = step.from.map(from_word).transpose()?;
    let at: Timestamp = step.at;
    connection
        .prepare_cached(
            "INSERT INTO release_moves (release, was, now, at, by, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            integer(id.0)?,
            was,
            from_word(step.to)?,
            from_time(at)?,
            step.by.to_string(),
            step.why
        ])?;
    Ok(())
}

fn object(id: ReleaseId) -> String {
    format!("release/{id}")
}

fn said(message: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Conflict, message).hint("`agentctl release list` shows them"),
    )
}

#[cfg(test)]
#[path = "releases_tests.rs"]
mod tests;
