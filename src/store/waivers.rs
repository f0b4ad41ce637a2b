//! Waivers: added, revoked once, never changed otherwise. What happens to one is recorded together with it.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, number, time},
    error::{Result, Trouble},
    events,
};
use crate::domain::{Act, Event, EventKind, Waiver};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// In force at once. Many fewer are a finding already; this one bounds what a report and a list must hold.
const MOST: u32 = 1_000;
const COLUMNS: &str =
    "id, check_id, resource, fingerprint, owner, reason, expires_at, added_at, added_by, revoked_at";

impl Store {
    /// Returns it with its number; the one it came with is not looked at.
    pub async fn add_waiver(&self, act: Act, waiver: Waiver) -> Result<Waiver> {
        self.act("add a waiver", act, move |connection| {
            let in_force: u32 = connection
                .prepare_cached("SELECT count(*) FROM waivers WHERE revoked_at IS NULL AND expires_at > ?1")?
                .query_row([from_time(waiver.added_at)?], |row| number(row, 0))?;
            if in_force >= MOST {
                return Err(said(format!("cannot add a waiver: {in_force} are in force already")));
            }
            let id = connection
                .prepare_cached(
                    "INSERT INTO waivers (check_id, resource, fingerprint, owner, reason, expires_at, added_at,
                     added_by, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
                )?
                .query_row(
                    params![
                        waiver.check,
                        waiver.resource,
                        waiver.fingerprint,
                        waiver.owner,
                        waiver.reason,
                        from_time(waiver.expires_at)?,
                        from_time(waiver.added_at)?,
                        waiver.added_by,
                        waiver.revoked_at.map(from_time).transpose()?,
                    ],
                    |row| number(row, 0),
                )?;
            let added = Waiver { id, ..waiver };
            let text = format!(
                "waiver {id} of {} until {}, by {} for {}",
                subject(&added),
                added.expires_at.strftime("%Y-%m-%d %H:%MZ"),
                added.added_by,
                added.owner
            );
            record(connection, added.added_at, EventKind::WaiverAdded, text)?;
            let of = subject(&added);
            Ok(Effect::on(format!("waiver/{id}"), added).because(of))
        })
        .await
    }

    /// Ends it before its time. None if there is no such waiver; refuses one that lapsed already (Conflict).
    pub async fn revoke_waiver(&self, act: Act, id: u64, by: String) -> Result<Option<Waiver>> {
        let now = self.clock().now();
        self.act("revoke a waiver", act, move |connection| {
            let Ok(number) = i64::try_from(id) else { return Ok(Effect::none(None)) };
            let known = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM waivers WHERE id = ?1"))?
                .query_row([number], waiver)
                .optional()?;
            let Some(known) = known else { return Ok(Effect::none(None)) };
            if known.revoked_at.is_some() || known.expires_at <= now {
                let how = if known.revoked_at.is_some() { "is revoked" } else { "has expired" };
                return Err(said(format!("cannot revoke waiver {id}: it {how} already")));
            }
            connection
                .prepare_cached("UPDATE waivers SET revoked_at = ?2 WHERE id = ?1")?
                .execute(params![number, from_time(now)?])?;
            let revoked = Waiver { revoked_at: Some(now), ..known };
            let text = format!("waiver {id} of {}, by {by}", subject(&revoked));
            record(connection, now, EventKind::WaiverRevoked, text)?;
            let of = subject(&revoked);
            Ok(Effect::on(format!("waiver/{id}"), Some(revoked)).because(of))
        })
        .await
    }

    /// In the order they were added: all that retention left, or those that had not lapsed at `since`.
    pub async fn waivers(&self, since: Option<Timestamp>) -> Result<Vec<Waiver>> {
        self.read("list waivers", move |connection| {
            let since = since.map(from_time).transpose()?.unwrap_or(i64::MIN);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM waivers WHERE min(expires_at, ifnull(revoked_at, expires_at)) > ?1
                 ORDER BY id"
            ))?;
            let rows = query.query_map([since], waiver)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn waiver(row: &Row<'_>) -> rusqlite::Result<Waiver> {
    let revoked_at = match row.get_ref(9)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(time(row, 9)?),
    };
    Ok(Waiver {
        id: number(row, 0)?,
        check: row.get(1)?,
        resource: row.get(2)?,
        fingerprint: row.get(3)?,
        owner: row.get(4)?,
        reason: row.get(5)?,
        expires_at: time(row, 6)?,
        added_at: time(row, 7)?,
        added_by: row.get(8)?,
        revoked_at,
    })
}

fn subject(waiver: &Waiver) -> String {
    match &waiver.resource {
        Some(resource) => format!("{} for {resource}", waiver.check),
        None => waiver.check.clone(),
    }
}

fn record(connection: &Connection, at: Timestamp, kind: EventKind, text: String) -> rusqlite::Result<()> {
    events::insert(connection, Event { seq: 0, at, kind, instance: None, text })
}

fn said(message: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Conflict, message).hint("`agentctl waiver list` shows them"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Scratch, act, waiver as sample};
    use jiff::SignedDuration;

    fn now_on() -> Waiver {
        let now = Timestamp::now();
        Waiver { added_at: now, expires_at: now + SignedDuration::from_hours(1), ..sample() }
    }

    #[tokio::test]
    async fn what_was_added_is_there_after_a_kill_word_for_word() {
        let store = Scratch::new();
        let one = store.add_waiver(act(), now_on()).await.expect("added");
        let whole = Waiver { resource: None, fingerprint: None, ..now_on() };
        let two = store.add_waiver(act(), whole.clone()).await.expect("added");
        assert_eq!((one.id, &two), (1, &Waiver { id: 2, ..whole }));
        // As a kill leaves it: the file and its log as they are, with no goodbye.
        let other = tempfile::tempdir().expect("a directory");
        for name in ["agentd.db", "agentd.db-wal"] {
            std::fs::copy(store.home.path().join(name), other.path().join(name)).expect("copied");
        }
        let (path, backups) = (other.path().join("agentd.db"), other.path().join("backups"));
        let settings = crate::config::StoreSettings::default();
        let clock = crate::resilience::Clock::system();
        let again = Store::open(&path, &backups, &settings, clock).expect("opens");
        assert_eq!(again.waivers(None).await.expect("read"), [one, two]);
        let events = again.events(0, 9).await.expect("read");
        assert_eq!(events[0].kind, EventKind::WaiverAdded);
        assert!(
            events[0].text.starts_with("waiver 1 of SE-001 for file//etc/x until "),
            "{}",
            events[0].text
        );
    }

    #[tokio::test]
    async fn a_waiver_is_revoked_once_and_not_after_it_expired() {
        let store = Scratch::new();
        let added = store.add_waiver(act(), now_on()).await.expect("added");
        let expired = store.add_waiver(act(), sample()).await.expect("added");
        let revoked = store
            .revoke_waiver(act(), added.id, "uid 0".into())
            .await
            .expect("revoked")
            .expect("it is there");
        assert!(revoked.revoked_at.is_some());
        for (id, how) in [(added.id, "revoked already"), (expired.id, "expired already")] {
            let error = store.revoke_waiver(act(), id, "uid 0".into()).await.expect_err("refused");
            assert_eq!(error.kind, StoreErrorKind::Conflict);
            assert!(error.message.contains(how) && error.hint.is_some(), "{error:?}");
        }
        for id in [77, u64::MAX] {
            assert_eq!(store.revoke_waiver(act(), id, "uid 0".into()).await.expect("asked"), None);
        }
        let store = store.reopen().await;
        assert_eq!(store.waivers(None).await.expect("read"), [revoked, expired]);
        let lapsed_since = Timestamp::now() - SignedDuration::from_hours(1);
        assert_eq!(
            store.waivers(Some(lapsed_since)).await.expect("read").len(),
            1,
            "the old one is left out"
        );
    }

    #[tokio::test]
    async fn the_file_itself_refuses_what_nobody_answers_for() {
        let store = Scratch::new();
        for wrong in [
            Waiver { owner: "  ".into(), ..sample() },
            Waiver { reason: String::new(), ..sample() },
            Waiver { fingerprint: None, ..sample() },
            Waiver { expires_at: sample().added_at, ..sample() },
        ] {
            assert!(store.add_waiver(act(), wrong.clone()).await.is_err(), "{wrong:?}");
        }
        assert_eq!(store.waivers(None).await.expect("read"), []);
        assert_eq!(store.events(0, 9).await.expect("read"), [], "an event of what did not happen");
    }
}
