//! API keys: made, replaced, revoked, never changed otherwise. Of what proves them, only the hash is here.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, from_word, number, optional_word, time, word},
    error::{Answer, Result, Trouble},
};
use crate::domain::{Act, ApiKey};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// In force at once: they are all held in memory.
const MOST: u32 = 1_000;
pub(super) const COLUMNS: &str = "id, hash, principal, role, application_role, clients, networks, created_at, created_by, \
     expires_at, last_used_at, revoked_at, replaced_by";

/// SHA-256 of what is shown.
pub type Hash = [u8; 32];

/// A key with what it is known by.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedKey {
    pub key: ApiKey,
    pub hash: Hash,
}

impl Store {
    pub async fn add_key(&self, added: HashedKey, act: Act) -> Result<ApiKey> {
        self.act("add a key", act, move |connection| {
            insert(connection, &added)?;
            Ok(Effect::on(object(&added.key.id), added.key))
        })
        .await
    }

    /// Puts another in its place; the old one ends at `until`, or earlier if it would anyway. None if there is no such
    /// key; refuses (Conflict) one that is over or has been replaced.
    pub async fn replace_key(
        &self,
        id: String,
        successor: HashedKey,
        until: Timestamp,
        act: Act,
    ) -> Result<Option<ApiKey>> {
        self.act("replace a key", act, move |connection| {
            let now = successor.key.created_at;
            let Some(old) = in_force(connection, &id, "rotate", now)? else { return Ok(Effect::none(None)) };
            if let Some(other) = &old.replaced_by {
                return Err(said(format!("cannot rotate key {id}: {other} has taken its place already")));
            }
            let ends = old.expires_at.map_or(until, |end| end.min(until));
            insert(connection, &successor)?;
            connection
                .prepare_cached("UPDATE keys SET replaced_by = ?2, expires_at = ?3 WHERE id = ?1")?
                .execute(params![id, successor.key.id, from_time(ends)?])?;
            let old = ApiKey { replaced_by: Some(successor.key.id), expires_at: Some(ends), ..old };
            Ok(Effect::on(object(&id), Some(old)))
        })
        .await
    }

    /// Ends it, and the sessions opened with it. None if there is no such key; refuses (Conflict) one that is over.
    pub async fn revoke_key(&self, id: String, at: Timestamp, act: Act) -> Result<Option<ApiKey>> {
        self.act("revoke a key", act, move |connection| {
            let Some(old) = in_force(connection, &id, "revoke", at)? else { return Ok(Effect::none(None)) };
            connection
                .prepare_cached("UPDATE keys SET revoked_at = ?2 WHERE id = ?1")?
                .execute(params![id, from_time(at)?])?;
            connection
                .prepare_cached("UPDATE sessions SET ended_at = ?2 WHERE key = ?1 AND ended_at IS NULL")?
                .execute(params![id, from_time(at)?])?;
            Ok(Effect::on(object(&id), Some(ApiKey { revoked_at: Some(at), ..old })))
        })
        .await
    }

    /// All that retention left, oldest first.
    pub async fn keys(&self) -> Result<Vec<HashedKey>> {
        self.read("read the keys", |connection| {
            let mut query =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY created_at, id"))?;
            let rows = query.query_map([], key)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// That it was used; nobody asked for this, so it has no row in the trail.
    pub async fn touch_key(&self, id: String, at: Timestamp) -> Result<()> {
        self.write("record the use of a key", move |connection| {
            connection
                .prepare_cached(
                    "UPDATE keys SET last_used_at = ?2 WHERE id = ?1 AND ifnull(last_used_at, ?2 - 1) < ?2",
                )?
                .execute(params![id, from_time(at)?])?;
            Ok(())
        })
        .await
    }
}

/// As the audit trail calls it.
fn object(id: &str) -> String {
    format!("key/{id}")
}

fn insert(connection: &Connection, HashedKey { key, hash }: &HashedKey) -> Answer<()> {
    let count: u32 = connection
        .prepare_cached(
            "SELECT count(*) FROM keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?1)",
        )?
        .query_row([from_time(key.created_at)?], |row| number(row, 0))?;
    if count >= MOST {
        return Err(said(format!("cannot add a key: {count} are in force already")));
    }
    connection
        .prepare_cached(&format!(
            "INSERT INTO keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
        ))?
        .execute(params![
            key.id,
            hash,
            key.principal.to_string(),
            from_word(key.role)?,
            key.application_role,
            json(&key.clients)?,
            json(&key.networks)?,
            from_time(key.created_at)?,
            key.created_by.to_string(),
            key.expires_at.map(from_time).transpose()?,
            key.last_used_at.map(from_time).transpose()?,
            key.revoked_at.map(from_time).transpose()?,
            key.replaced_by,
        ])?;
    Ok(())
}

/// The key if it is in force; refuses one that is over, none if it is unknown.
fn in_force(connection: &Connection, id: &str, what: &str, now: Timestamp) -> Answer<Option<ApiKey>> {
    let known = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE id = ?1"))?
        .query_row([id], key)
        .optional()?;
    let Some(HashedKey { key, .. }) = known else { return Ok(None) };
    match key.holds(now) {
        crate::domain::Holds::InForce => Ok(Some(key)),
        over => Err(said(format!("cannot {what} key {id}: it is {} already", over.as_str()))),
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<HashedKey> {
    Ok(HashedKey {
        hash: row.get(1)?,
        key: ApiKey {
            id: row.get(0)?,
            principal: word(row, 2)?,
            role: word(row, 3)?,
            application_role: row.get(4)?,
            clients: from_json(row, 5)?,
            networks: from_json(row, 6)?,
            created_at: time(row, 7)?,
            created_by: word(row, 8)?,
            expires_at: optional_time(row, 9)?,
            last_used_at: optional_time(row, 10)?,
            revoked_at: optional_time(row, 11)?,
            replaced_by: optional_word(row, 12)?,
        },
    })
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => time(row, column).map(Some),
    }
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

fn said(message: String) -> Trouble {
    StoreError::new(StoreErrorKind::Conflict, message)
        .hint("`agentctl auth key list --all` shows them")
        .into()
}
