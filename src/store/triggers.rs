//! What triggers did, a row a firing, moved by the table of `domain::trigger`; and when they were held. Each change is
//! told of together with it.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, from_word, integer, number, optional_time, optional_word, time, word},
    error::{Answer, Result, Trouble},
    events,
};
use crate::domain::{
    Act, Event, EventKind, FiringState, OperationId, Principal, TriggerAction, TriggerFiring, TriggerHold,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str =
    "id, trigger, at, action, state, release, value, told, operation, ended_at, ended_by, why";
const HOLDS: &str = "id, trigger, reason, by, at, expires_at, released_at, released_by";
/// In force at once: what a list must hold is bounded.
const MOST_HOLDS: u32 = 200;

/// What a firing comes to.
#[derive(Clone, Debug)]
pub struct FiringEnd {
    pub state: FiringState,
    pub operation: Option<OperationId>,
    pub by: Principal,
    pub why: String,
}

impl Store {
    /// Returns it with its number; the one it came with is not looked at.
    pub async fn add_firing(&self, act: Act, firing: TriggerFiring) -> Result<TriggerFiring> {
        self.act("keep that a trigger fired", act, move |connection| {
            let id = connection
                .prepare_cached(
                    "INSERT INTO trigger_firings (trigger, at, action, state, release, value, told, operation, ended_at,
                     ended_by, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id",
                )?
                .query_row(
                    params![
                        firing.trigger,
                        from_time(firing.at)?,
                        from_word(firing.action)?,
                        from_word(firing.state)?,
                        firing.release.map(|id| id.to_string()),
                        firing.value,
                        firing.told,
                        firing.operation.map(|id| id.to_string()),
                        firing.ended_at.map(from_time).transpose()?,
                        firing.ended_by.as_ref().map(ToString::to_string),
                        firing.why,
                    ],
                    |row| number(row, 0),
                )?;
            let firing = TriggerFiring { id, ..firing };
            tell(connection, &firing, firing.at)?;
            let said = said_of(&firing);
            Ok(Effect::on(object(&firing), firing).because(said))
        })
        .await
    }

    /// By the table of moves; one that is not in it is refused (Conflict).
    pub async fn move_firing(&self, act: Act, id: u64, end: FiringEnd) -> Result<TriggerFiring> {
        let now = self.clock().now();
        self.act("keep what became of a trigger", act, move |connection| {
            let moved = step(connection, id, now, &end)?;
            let said = said_of(&moved);
            Ok(Effect::on(object(&moved), moved).because(said))
        })
        .await
    }

    /// Whatever pauses, ends. Returns what did.
    pub async fn resume_triggers(&self, act: Act, by: Principal) -> Result<Vec<TriggerFiring>> {
        let now = self.clock().now();
        self.act("resume", act, move |connection| {
            let mut resumed = Vec::new();
            for firing in in_state(connection, FiringState::Paused, None)? {
                let end = FiringEnd {
                    state: FiringState::Resumed,
                    operation: None,
                    by: by.clone(),
                    why: firing.why,
                };
                resumed.push(step(connection, firing.id, now, &end)?);
            }
            Ok(match resumed.len() {
                0 => Effect::none(resumed),
                _ => Effect::on("triggers", resumed),
            })
        })
        .await
    }

    /// A trigger that stopped may act again. Returns what it was stopped by, all of it; nothing where it was not.
    pub async fn reset_trigger(&self, act: Act, name: String, by: Principal) -> Result<Vec<TriggerFiring>> {
        let now = self.clock().now();
        self.act("reset a trigger", act, move |connection| {
            let mut reset = Vec::new();
            for firing in in_state(connection, FiringState::Stopped, Some(&name))? {
                let end =
                    FiringEnd { state: FiringState::Reset, operation: None, by: by.clone(), why: firing.why };
                reset.push(step(connection, firing.id, now, &end)?);
            }
            Ok(match reset.len() {
                0 => Effect::none(reset),
                _ => Effect::on(format!("trigger/{name}"), reset),
            })
        })
        .await
    }

    /// The newest first.
    pub async fn firings(&self, limit: u32) -> Result<Vec<TriggerFiring>> {
        self.read("read what triggers did", move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM trigger_firings ORDER BY id DESC LIMIT ?1"
            ))?;
            let rows = query.query_map([limit], firing)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The newest of each trigger, and whatever still stands: paused, about to revert, reverting, stopped.
    pub async fn standing_firings(&self) -> Result<Vec<TriggerFiring>> {
        self.read("read how triggers stand", |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM trigger_firings
                 WHERE id IN (SELECT max(id) FROM trigger_firings GROUP BY trigger)
                 OR state IN ('paused', 'intended', 'reverting', 'stopped') ORDER BY id"
            ))?;
            let rows = query.query_map([], firing)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Returns it with its number; the one it came with is not looked at.
    pub async fn hold_triggers(&self, act: Act, hold: TriggerHold) -> Result<TriggerHold> {
        self.act("hold triggers", act, move |connection| {
            let in_force: u32 = connection
                .prepare_cached("SELECT count(*) FROM trigger_holds WHERE released_at IS NULL AND expires_at > ?1")?
                .query_row([from_time(hold.at)?], |row| number(row, 0))?;
            if in_force >= MOST_HOLDS {
                return Err(said(format!("cannot hold triggers: {in_force} holds are in force already")));
            }
            let id = connection
                .prepare_cached(
                    "INSERT INTO trigger_holds (trigger, reason, by, at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
                     RETURNING id",
                )?
                .query_row(
                    params![
                        hold.trigger,
                        hold.reason,
                        hold.by.to_string(),
                        from_time(hold.at)?,
                        from_time(hold.expires_at)?
                    ],
                    |row| number(row, 0),
                )?;
            let hold = TriggerHold { id, ..hold };
            let (at, text) = (hold.at, hold.sentence());
            events::insert(
                connection,
                Event { seq: 0, at, kind: EventKind::TriggersHeld, instance: None, text: text.clone() },
            )?;
            Ok(Effect::on(held(hold.trigger.as_deref()), hold).because(text))
        })
        .await
    }

    /// Those of exactly this trigger, or those of all. Returns what was in force.
    pub async fn release_holds(
        &self,
        act: Act,
        trigger: Option<String>,
        by: Principal,
    ) -> Result<Vec<TriggerHold>> {
        let now = self.clock().now();
        self.act("release triggers", act, move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "UPDATE trigger_holds SET released_at = ?1, released_by = ?2
                 WHERE released_at IS NULL AND expires_at > ?1 AND trigger IS ?3 RETURNING {HOLDS}"
            ))?;
            let rows = query.query_map(params![from_time(now)?, by.to_string(), trigger], hold)?;
            let released: Vec<TriggerHold> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(match released.len() {
                0 => Effect::none(released),
                _ => Effect::on(held(trigger.as_deref()), released),
            })
        })
        .await
    }

    /// Those in force.
    pub async fn trigger_holds(&self) -> Result<Vec<TriggerHold>> {
        let now = self.clock().now();
        self.read("read which triggers are held", move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {HOLDS} FROM trigger_holds WHERE released_at IS NULL AND expires_at > ?1 ORDER BY id"
            ))?;
            let rows = query.query_map([from_time(now)?], hold)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn step(connection: &Connection, id: u64, now: Timestamp, end: &FiringEnd) -> Answer<TriggerFiring> {
    let known = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM trigger_firings WHERE id = ?1"))?
        .query_row([integer(id)?], firing)
        .optional()?
        .ok_or_else(|| said(format!("cannot find firing {id}")))?;
    if !known.state.next().contains(&end.state) {
        let (from, to) = (known.state.as_str(), end.state.as_str());
        return Err(said(format!("cannot make firing {id} {to}: it is {from}")));
    }
    let ends = end.state != FiringState::Reverting;
    let moved = TriggerFiring {
        state: end.state,
        operation: end.operation.or(known.operation),
        ended_at: ends.then_some(now),
        ended_by: ends.then(|| end.by.clone()),
        why: end.why.clone(),
        ..known
    };
    connection
        .prepare_cached(
            "UPDATE trigger_firings SET state = ?2, operation = ?3, ended_at = ?4, ended_by = ?5, why = ?6 WHERE id = ?1",
        )?
        .execute(params![
            integer(id)?,
            from_word(moved.state)?,
            moved.operation.map(|id| id.to_string()),
            moved.ended_at.map(from_time).transpose()?,
            moved.ended_by.as_ref().map(ToString::to_string),
            moved.why,
        ])?;
    if moved.state == FiringState::Stopped {
        tell(connection, &moved, now)?;
    }
    Ok(moved)
}

fn in_state(connection: &Connection, state: FiringState, of: Option<&str>) -> Answer<Vec<TriggerFiring>> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM trigger_firings WHERE state = ?1 AND (?2 IS NULL OR trigger = ?2) ORDER BY id"
    ))?;
    let rows = query.query_map(params![from_word(state)?, of], firing)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn tell(connection: &Connection, firing: &TriggerFiring, at: Timestamp) -> rusqlite::Result<()> {
    let kind = match firing.state {
        FiringState::Stopped => EventKind::TriggerStopped,
        _ => EventKind::TriggerFired,
    };
    let what = match (firing.state, firing.action) {
        (FiringState::Stopped, _) => "stopped",
        (_, TriggerAction::Observe) => "fired",
        (_, TriggerAction::Pause) => "fired, and pauses deployments",
        (_, TriggerAction::Revert) => "fired, and rolls back",
    };
    let text = format!("trigger {} {what}: {}", firing.trigger, said_of(firing));
    events::insert(connection, Event { seq: 0, at, kind, instance: None, text })
}

fn said_of(firing: &TriggerFiring) -> String {
    let TriggerFiring { state, told, why, operation, .. } = firing;
    let operation = operation.map(|id| format!(" ({id})")).unwrap_or_default();
    let why = if why.is_empty() { String::new() } else { format!("; {why}") };
    format!("{}{operation}: {told}{why}", state.as_str())
}

fn firing(row: &Row<'_>) -> rusqlite::Result<TriggerFiring> {
    Ok(TriggerFiring {
        id: number(row, 0)?,
        trigger: row.get(1)?,
        at: time(row, 2)?,
        action: word(row, 3)?,
        state: word(row, 4)?,
        release: optional_word(row, 5)?,
        value: row.get(6)?,
        told: row.get(7)?,
        operation: optional_word(row, 8)?,
        ended_at: optional_time(row, 9)?,
        ended_by: optional_word(row, 10)?,
        why: row.get(11)?,
    })
}

fn hold(row: &Row<'_>) -> rusqlite::Result<TriggerHold> {
    Ok(TriggerHold {
        id: number(row, 0)?,
        trigger: row.get(1)?,
        reason: row.get(2)?,
        by: word(row, 3)?,
        at: time(row, 4)?,
        expires_at: time(row, 5)?,
        released_at: optional_time(row, 6)?,
        released_by: optional_word(row, 7)?,
    })
}

fn object(firing: &TriggerFiring) -> String {
    format!("trigger/{}", firing.trigger)
}

fn held(trigger: Option<&str>) -> String {
    trigger.map_or_else(|| "triggers".into(), |name| format!("trigger/{name}"))
}

fn said(message: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Conflict, message).hint("`agentctl rollback triggers` shows them"),
    )
}

#[cfg(test)]
#[path = "triggers_tests.rs"]
mod tests;
