//! Approvals: asked for, decided, used once. Each move is checked and made in the transaction of its row in the trail.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, from_word, number, time, word},
    error::{Answer, Result, Trouble},
};
use crate::domain::{Act, Action, Approval, ApprovalStep, Decided, Principal};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

/// Open at once, of everybody: somebody must be able to read them all.
const MOST_OPEN: u32 = 1_000;
/// Open at once, of one asker.
const MOST_OPEN_EACH: u32 = 100;
/// No list is longer.
const LONGEST_LIST: u32 = 1_000;
const COLUMNS: &str = "id, action, object, request, digest, state, asked_by, asked_uid, asked_at, expires_at, \
                       decided_by, decided_uid, decided_at, reason, used_at";

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Asking {
    pub action: Action,
    pub digest: String,
    pub by: Principal,
    pub uid: u32,
    pub expires_at: Timestamp,
}

/// A word on an approval.
#[derive(Clone, Debug)]
pub struct Decision {
    pub step: ApprovalStep,
    pub by: Principal,
    pub uid: u32,
    pub reason: String,
    /// Where the word moves it: how long what was given can be used.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// The approval that this asker has for this action, open or denied and not yet lapsed; a new one where there is none.
    pub async fn ask_approval(&self, act: Act, asking: Asking) -> Result<Approval> {
        let now = self.clock().now();
        self.act("ask for an approval", act, move |connection| {
            lapse(connection, now)?;
            let known = connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM approvals WHERE digest = ?1 AND asked_by = ?2 AND asked_uid = ?3
                     AND (state IN ('pending', 'given') OR (state = 'denied' AND expires_at > ?4))
                     ORDER BY id DESC LIMIT 1"
                ))?
                .query_row(
                    params![asking.digest, asking.by.to_string(), asking.uid, from_time(now)?],
                    approval,
                )
                .optional()?;
            if let Some(known) = known {
                return Ok(Effect::none(known));
            }
            room(connection, &asking)?;
            let id: u64 = connection
                .prepare_cached(
                    "INSERT INTO approvals (action, object, request, digest, state, asked_by, asked_uid, asked_at,
                     expires_at) VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8) RETURNING id",
                )?
                .query_row(
                    params![
                        asking.action.action,
                        asking.action.object,
                        asking.action.request.to_string(),
                        asking.digest,
                        asking.by.to_string(),
                        asking.uid,
                        from_time(now)?,
                        from_time(asking.expires_at)?,
                    ],
                    |row| number(row, 0),
                )?;
            Ok(Effect::on(object(id), find(connection, id)?.ok_or_else(|| gone(id))?))
        })
        .await
    }

    /// Takes the one approval that was given to this asker for this action, so that nobody takes it again.
    pub async fn use_approval(
        &self,
        act: Act,
        digest: String,
        by: Principal,
        uid: u32,
    ) -> Result<Option<Approval>> {
        let now = self.clock().now();
        self.act("use an approval", act, move |connection| {
            let used = connection
                .prepare_cached(&format!(
                    "UPDATE approvals SET state = 'used', used_at = ?4
                     WHERE digest = ?1 AND asked_by = ?2 AND asked_uid = ?3 AND state = 'given' AND expires_at > ?4
                     RETURNING {COLUMNS}"
                ))?
                .query_row(params![digest, by.to_string(), uid, from_time(now)?], approval)
                .optional()?;
            Ok(match used {
                Some(used) => Effect::on(object(used.id), Some(used)),
                None => Effect::none(None),
            })
        })
        .await
    }

    /// Gives, denies or withdraws it. None if there is no such approval; refuses what cannot be any more (Conflict).
    pub async fn decide_approval(&self, act: Act, id: u64, decision: Decision) -> Result<Option<Approval>> {
        let now = self.clock().now();
        self.act("decide on an approval", act, move |connection| {
            let Some(known) = find(connection, id)? else { return Ok(Effect::none(None)) };
            let state = known.state_at(now);
            let Some(next) = state.after(decision.step) else {
                return Err(said(format!("cannot change approval {id}: it is {} already", state.as_str())));
            };
            connection
                .prepare_cached(
                    "UPDATE approvals SET state = ?2, decided_by = ?3, decided_uid = ?4, decided_at = ?5,
                     reason = ?6, expires_at = ?7 WHERE id = ?1",
                )?
                .execute(params![
                    super::columns::integer(id)?,
                    from_word(next)?,
                    decision.by.to_string(),
                    decision.uid,
                    from_time(now)?,
                    decision.reason,
                    from_time(decision.expires_at.unwrap_or(known.expires_at))?,
                ])?;
            Ok(Effect::on(object(id), find(connection, id)?))
        })
        .await
    }

    pub async fn approval(&self, id: u64) -> Result<Option<Approval>> {
        self.read("read an approval", move |connection| Ok(find(connection, id)?)).await
    }

    /// Newest first: those that are open, or all that retention left; 1,000 at most.
    pub async fn approvals(&self, all: bool) -> Result<Vec<Approval>> {
        let now = self.clock().now();
        self.read("list approvals", move |connection| {
            let open = "WHERE state IN ('pending', 'given') AND expires_at > ?1";
            let filter = if all { "WHERE ?1 = ?1" } else { open };
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM approvals {filter} ORDER BY id DESC LIMIT {LONGEST_LIST}"
            ))?;
            let rows = query.query_map([from_time(now)?], approval)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// What ran out of time is closed before somebody asks anew, so that it is in nobody's way.
fn lapse(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE approvals SET state = 'expired' WHERE state IN ('pending', 'given') AND expires_at <= ?1",
        )?
        .execute([from_time(now)?])
}

fn room(connection: &Connection, asking: &Asking) -> Answer<()> {
    let (all, own): (u32, u32) = connection
        .prepare_cached(
            "SELECT count(*), count(*) FILTER (WHERE asked_by = ?1 AND asked_uid = ?2) FROM approvals
             WHERE state IN ('pending', 'given')",
        )?
        .query_row(params![asking.by.to_string(), asking.uid], |row| {
            Ok((number(row, 0)?, number(row, 1)?))
        })?;
    match () {
        () if own >= MOST_OPEN_EACH => Err(full(format!("{own} of yours are open already"))),
        () if all >= MOST_OPEN => Err(full(format!("{all} are open already"))),
        () => Ok(()),
    }
}

fn find(connection: &Connection, id: u64) -> rusqlite::Result<Option<Approval>> {
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"))?
        .query_row([id], approval)
        .optional()
}

fn approval(row: &Row<'_>) -> rusqlite::Result<Approval> {
    let unreadable = |column, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    };
    let decided = match row.get::<_, Option<i64>>(12)? {
        None => None,
        Some(_) => Some(Decided {
            by: word(row, 10)?,
            uid: number(row, 11)?,
            at: time(row, 12)?,
            reason: row.get(13)?,
        }),
    };
    Ok(Approval {
        id: number(row, 0)?,
        action: Action {
            action: row.get(1)?,
            object: row.get(2)?,
            request: serde_json::from_str(row.get_ref(3)?.as_str()?).map_err(|e| unreadable(3, e))?,
        },
        digest: row.get(4)?,
        state: word(row, 5)?,
        asked_by: word(row, 6)?,
        asked_uid: number(row, 7)?,
        asked_at: time(row, 8)?,
        expires_at: time(row, 9)?,
        decided,
        used_at: row.get::<_, Option<i64>>(14)?.map(|_| time(row, 14)).transpose()?,
    })
}

fn object(id: u64) -> String {
    format!("approval/{id}")
}

fn gone(id: u64) -> Trouble {
    Trouble::Said(StoreError::new(StoreErrorKind::Failed, format!("cannot find approval {id} again")))
}

fn said(message: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Conflict, message).hint("`agentctl approval list --all` shows them"),
    )
}

fn full(why: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Busy, format!("cannot ask for another approval: {why}"))
            .hint("`agentctl approval list` shows them; deny or withdraw what nobody needs"),
    )
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
