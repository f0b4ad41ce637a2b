//! Sessions: opened, ended, never changed otherwise. Of what proves them, only the hash is here.
use super::{
    Store,
    audit::Effect,
    columns::{from_time, from_word, number, optional_word, time, word},
    error::Result,
    keys::{Hash, optional_time},
};
use crate::domain::{Act, Principal, Session};
use jiff::Timestamp;
use rusqlite::{Row, params};

const COLUMNS: &str =
    "id, hash, principal, role, key, uid, gid, opened_at, expires_at, last_used_at, ended_at";

/// A session with what it is known by.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedSession {
    pub session: Session,
    pub hash: Hash,
}

impl Store {
    /// At most `most` of a principal are open: the oldest end to make room.
    pub async fn open_session(&self, opened: HashedSession, most: u32, act: Act) -> Result<Session> {
        self.act("open a session", act, move |connection| {
            let HashedSession { session, hash } = opened;
            let (principal, now) = (session.principal.to_string(), from_time(session.opened_at)?);
            connection
                .prepare_cached(
                    "UPDATE sessions SET ended_at = ?2 WHERE id IN
                     (SELECT id FROM sessions WHERE principal = ?1 AND ended_at IS NULL AND expires_at > ?2
                      ORDER BY opened_at DESC, id LIMIT -1 OFFSET ?3)",
                )?
                .execute(params![principal, now, most.saturating_sub(1)])?;
            connection
                .prepare_cached(&format!(
                    "INSERT INTO sessions ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
                ))?
                .execute(params![
                    session.id,
                    hash,
                    principal,
                    from_word(session.role)?,
                    session.key,
                    session.uid,
                    session.gid,
                    now,
                    from_time(session.expires_at)?,
                    from_time(session.last_used_at)?,
                    session.ended_at.map(from_time).transpose()?,
                ])?;
            Ok(Effect::on(format!("session/{}", session.id), session))
        })
        .await
    }

    /// False if it is unknown or was ended before.
    pub async fn end_session(&self, id: String, at: Timestamp, act: Act) -> Result<bool> {
        self.act("end a session", act, move |connection| {
            let ended = connection
                .prepare_cached("UPDATE sessions SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL")?
                .execute(params![id, from_time(at)?])?;
            Ok(if ended == 0 { Effect::none(false) } else { Effect::on(format!("session/{id}"), true) })
        })
        .await
    }

    /// All that are open of one principal; how many that were.
    pub async fn end_sessions_of(&self, principal: Principal, at: Timestamp, act: Act) -> Result<u64> {
        self.act("end sessions", act, move |connection| {
            let ended = connection
                .prepare_cached(
                    "UPDATE sessions SET ended_at = ?2
                     WHERE principal = ?1 AND ended_at IS NULL AND expires_at > ?2",
                )?
                .execute(params![principal.to_string(), from_time(at)?])?;
            let ended = u64::try_from(ended).unwrap_or(u64::MAX);
            Ok(if ended == 0 { Effect::none(0) } else { Effect::on(format!("sessions/{principal}"), ended) })
        })
        .await
    }

    /// Those that did not expire and were not ended before `since`, oldest first.
    pub async fn sessions(&self, since: Timestamp) -> Result<Vec<HashedSession>> {
        self.read("read the sessions", move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM sessions WHERE min(expires_at, ifnull(ended_at, expires_at)) > ?1
                 ORDER BY opened_at, id"
            ))?;
            let rows = query.query_map([from_time(since).unwrap_or(i64::MIN)], session)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// That it was used; nobody asked for this, so it has no row in the trail.
    pub async fn touch_session(&self, id: String, at: Timestamp) -> Result<()> {
        self.write("record the use of a session", move |connection| {
            connection
                .prepare_cached("UPDATE sessions SET last_used_at = ?2 WHERE id = ?1 AND last_used_at < ?2")?
                .execute(params![id, from_time(at)?])?;
            Ok(())
        })
        .await
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<HashedSession> {
    Ok(HashedSession {
        hash: row.get(1)?,
        session: Session {
            id: row.get(0)?,
            principal: word(row, 2)?,
            role: word(row, 3)?,
            key: optional_word(row, 4)?,
            uid: number(row, 5)?,
            gid: number(row, 6)?,
            opened_at: time(row, 7)?,
            expires_at: time(row, 8)?,
            last_used_at: time(row, 9)?,
            ended_at: optional_time(row, 10)?,
        },
    })
}
