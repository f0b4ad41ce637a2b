//! A restored database before it takes the place of the live one: what the live one knows of the present is carried
//! over, so that nothing comes back to life. Facts about the present (processes, uids, decisions, drills, releases and
//! what was proved of them, the audit trail) are the live file's; everything else stays as the backup has it. Keys,
//! sessions and waivers stand in both, and whatever ended in either has ended.
//!
//! The trail is not rewound: the restored file gets all rows of the live one, which go on from its own, so it verifies
//! against the live key and anchors, and what was done since the backup stays told. Whoever puts the file in its place
//! writes a row that says so.
use super::{
    StoreError, StoreErrorKind,
    columns::from_time,
    error::{Answer, Result, Trouble},
    migrate::{self, MIGRATIONS},
    open::{self, Regime},
};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction, params};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Taken from the live file, as a whole. Releases are: their directories and the link to the one that runs stay where
/// they are. So are validations: an older verdict must not come back over a newer one.
const OF_THE_PRESENT: &[&str] = &[
    "approvals",
    "attestations",
    "audit",
    "breakers",
    "desires",
    "drills",
    "instances",
    "quotas",
    "rehearsals",
    "release_moves",
    "releases",
    "reports",
    "rollouts",
    "runs",
    "trigger_firings",
    "trigger_holds",
    "uids",
];
/// Row by row: what ended in either has ended.
#[cfg(test)]
const MERGED: &[&str] = &["keys", "sessions", "sqlite_sequence", "waivers"];
/// As the backup has it. Metrics since then are a gap, which soak windows and triggers see as not observed.
#[cfg(test)]
const OF_THE_BACKUP: &[&str] = &[
    "error_groups",
    "error_hours",
    "error_occurrences",
    "events",
    "meta",
    "metric_chunks",
    "metric_series",
    "metric_ticks",
    "transitions",
];
/// What was kept from coming back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// In force in the backup, and no more.
    pub keys_ended: u64,
    /// Made since: they stay known, as revoked.
    pub keys_known: u64,
    pub sessions_ended: u64,
    pub waivers_ended: u64,
    /// Rows of the trail now.
    pub audit_rows: u64,
}

impl Carried {
    /// The same file once more, later: what it ended adds up.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            keys_ended: self.keys_ended + later.keys_ended,
            keys_known: self.keys_known + later.keys_known,
            sessions_ended: self.sessions_ended + later.sessions_ended,
            waivers_ended: self.waivers_ended + later.waivers_ended,
            audit_rows: later.audit_rows,
        }
    }
}

/// Changes `restored`, which nobody has open, and only reads `live`. Without a live file that can be read, nothing is
/// known of what ended since: every key, session, open approval and waiver ends. Blocks.
pub fn carry_over(restored: &Path, live: Option<&Path>, now: Timestamp) -> Result<Carried> {
    carry(restored, live, now, &|transaction, at| {
        if live.is_some() { from_live(transaction, at) } else { blind(transaction, at) }
    })
}

/// The way back of a restore that did not hold: `former` is what was live until `since`, when what is `live` now took its
/// place. What a caller ended since then stays ended; what only that restore ended is in force again. Blocks.
pub fn carry_back(former: &Path, live: &Path, since: Timestamp, now: Timestamp) -> Result<Carried> {
    let since = from_time(since).map_err(|error| StoreError::from_sqlite("read an instant", &error))?;
    carry(former, Some(live), now, &|transaction, at| back_from_live(transaction, since, at))
}

fn carry(
    restored: &Path,
    live: Option<&Path>,
    now: Timestamp,
    merge: &dyn Fn(&Transaction<'_>, i64) -> Answer<Carried>,
) -> Result<Carried> {
    let what = "carry over what has ended since the backup";
    // It may be older than we are.
    let mut connection = open::writer(restored, Regime::DURABLE)?;
    let beside = restored.with_file_name("backups");
    let regime = Regime { copy_first: false, ..Regime::DURABLE };
    migrate::to_head(&mut connection, MIGRATIONS, &beside, now, regime)?;
    connection.close().map_err(|(_, error)| StoreError::from_sqlite(what, &error))?;
    let carry = || -> Answer<Carried> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let mut connection = Connection::open_with_flags(restored, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
        if let Some(live) = live {
            attach(&connection, live)?;
        }
        let transaction = connection.transaction()?;
        let at = from_time(now)?;
        // Tables refer to each other, and are whole again at its end.
        transaction.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        let carried = merge(&transaction, at)?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(carried)
    };
    carry().map_err(|trouble| trouble.of(what))
}

/// Read only, whatever is in it; of the same fleet and version, or not at all.
fn attach(connection: &Connection, live: &Path) -> Answer<()> {
    let refused = |why: &str| {
        Trouble::Said(
            StoreError::new(
                StoreErrorKind::Conflict,
                format!("cannot carry over from {}: {why}", live.display()),
            )
            .hint("restore to a directory of its own instead: `agentctl backup restore ID --to DIR`"),
        )
    };
    if !live.is_file() {
        return Err(refused("there is no such file"));
    }
    connection.execute("ATTACH DATABASE ?1 AS live", [open::uri(live) + "?mode=ro"])?;
    let version = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if version("PRAGMA main.user_version")? != version("PRAGMA live.user_version")? {
        return Err(refused("its schema is of another version than ours"));
    }
    let fleet = "SELECT (SELECT value FROM main.meta WHERE key = 'fleet_id') = (SELECT value FROM live.meta WHERE key = 'fleet_id')";
    if !connection.query_row(fleet, [], |row| row.get::<_, bool>(0))? {
        return Err(refused("it is another fleet's"));
    }
    Ok(())
}

fn from_live(transaction: &Transaction<'_>, now: i64) -> Answer<Carried> {
    let rows = |sql: &str| transaction.execute(sql, [now]).map(|rows| rows as u64);
    // Before anything is changed: those that are in force here and not there.
    let over: u64 = count(
        transaction,
        "SELECT count(*) FROM main.keys AS k LEFT JOIN live.keys AS l ON l.id = k.id
         WHERE k.revoked_at IS NULL AND (l.id IS NULL OR l.revoked_at IS NOT NULL)",
    )?;
    let sessions_over: u64 = count(
        transaction,
        "SELECT count(*) FROM main.sessions AS s LEFT JOIN live.sessions AS l ON l.id = s.id
         WHERE s.ended_at IS NULL AND (l.id IS NULL OR l.ended_at IS NOT NULL)",
    )?;
    transaction.execute_batch(
        "UPDATE main.keys AS k SET
             revoked_at = ifnull(k.revoked_at, l.revoked_at),
             replaced_by = ifnull(l.replaced_by, k.replaced_by),
             expires_at = ifnull(min(k.expires_at, l.expires_at), ifnull(k.expires_at, l.expires_at)),
             last_used_at = ifnull(max(k.last_used_at, l.last_used_at), ifnull(k.last_used_at, l.last_used_at))
         FROM live.keys AS l WHERE l.id = k.id;
         UPDATE main.sessions AS s SET
             ended_at = ifnull(s.ended_at, l.ended_at),
             expires_at = min(s.expires_at, l.expires_at),
             last_used_at = max(s.last_used_at, l.last_used_at)
         FROM live.sessions AS l WHERE l.id = s.id;
         UPDATE main.waivers AS w SET expires_at = min(w.expires_at, l.expires_at)
         FROM live.waivers AS l WHERE l.id = w.id;",
    )?;
    // What the live file has forgotten was over long ago: retention took it.
    rows(
        "UPDATE main.keys SET revoked_at = ?1 WHERE revoked_at IS NULL AND id NOT IN (SELECT id FROM live.keys)",
    )?;
    rows(
        "UPDATE main.sessions SET ended_at = ?1 WHERE ended_at IS NULL
         AND (id NOT IN (SELECT id FROM live.sessions)
              OR key IN (SELECT id FROM main.keys WHERE revoked_at IS NOT NULL))",
    )?;
    let keys_known = rows(
        "INSERT INTO main.keys (id, hash, principal, role, application_role, clients, networks, created_at, created_by,
             expires_at, last_used_at, revoked_at, replaced_by)
         SELECT id, hash, principal, role, application_role, clients, networks, created_at, created_by,
             expires_at, last_used_at, ifnull(revoked_at, ?1), replaced_by
         FROM live.keys WHERE id NOT IN (SELECT id FROM main.keys)",
    )?;
    let waivers_ended = rows(
        "UPDATE main.waivers SET revoked_at = ?1 WHERE revoked_at IS NULL
         AND id NOT IN (SELECT id FROM live.waivers WHERE revoked_at IS NULL)",
    )?;
    let audit_rows = present(transaction)?;
    Ok(Carried { keys_ended: over, keys_known, sessions_ended: sessions_over, waivers_ended, audit_rows })
}

/// What was live before, with the live file's word on what was ended by somebody since. The restore ended things at the
/// very instant `since`: those, nobody ended.
fn back_from_live(transaction: &Transaction<'_>, since: i64, now: i64) -> Answer<Carried> {
    let ended = |sql: &str| transaction.execute(sql, [since]).map(|rows| rows as u64);
    let keys_ended = ended(
        "UPDATE main.keys AS k SET revoked_at = l.revoked_at, replaced_by = ifnull(l.replaced_by, k.replaced_by)
         FROM live.keys AS l WHERE l.id = k.id AND k.revoked_at IS NULL AND l.revoked_at > ?1",
    )?;
    let sessions_ended = ended(
        "UPDATE main.sessions AS s SET ended_at = l.ended_at
         FROM live.sessions AS l WHERE l.id = s.id AND s.ended_at IS NULL AND l.ended_at > ?1",
    )?;
    let orphaned = transaction.execute(
        "UPDATE main.sessions SET ended_at = ?1 WHERE ended_at IS NULL
         AND key IN (SELECT id FROM main.keys WHERE revoked_at IS NOT NULL)",
        [now],
    )? as u64;
    let waivers_ended = ended(
        "UPDATE main.waivers AS w SET revoked_at = l.revoked_at
         FROM live.waivers AS l WHERE l.id = w.id AND w.revoked_at IS NULL AND l.revoked_at > ?1",
    )?;
    let keys_known = transaction.execute(
        "INSERT INTO main.keys (id, hash, principal, role, application_role, clients, networks, created_at, created_by,
             expires_at, last_used_at, revoked_at, replaced_by)
         SELECT id, hash, principal, role, application_role, clients, networks, created_at, created_by,
             expires_at, last_used_at, ifnull(revoked_at, ?1), replaced_by
         FROM live.keys WHERE id NOT IN (SELECT id FROM main.keys)",
        [now],
    )? as u64;
    let audit_rows = present(transaction)?;
    let sessions_ended = sessions_ended + orphaned;
    Ok(Carried { keys_ended, keys_known, sessions_ended, waivers_ended, audit_rows })
}

/// The facts about the present; how many rows of the trail there are then.
fn present(transaction: &Transaction<'_>) -> Answer<u64> {
    // All go before the first comes: to delete one that others refer to takes those along.
    for table in OF_THE_PRESENT {
        transaction.execute_batch(&format!("DELETE FROM main.{table}"))?;
    }
    for table in OF_THE_PRESENT {
        transaction.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM live.{table}"))?;
    }
    // A number that was given is not given again, whatever became of its row.
    transaction.execute_batch(
        "UPDATE main.sqlite_sequence AS s SET seq = max(s.seq, l.seq)
         FROM live.sqlite_sequence AS l WHERE l.name = s.name;
         INSERT INTO main.sqlite_sequence (name, seq)
         SELECT name, seq FROM live.sqlite_sequence WHERE name NOT IN (SELECT name FROM main.sqlite_sequence);",
    )?;
    Ok(count(transaction, "SELECT count(*) FROM main.audit")?)
}

/// Nothing is known, so nothing is in force.
fn blind(transaction: &Transaction<'_>, now: i64) -> Answer<Carried> {
    let rows = |sql: &str| transaction.execute(sql, params![now]).map(|rows| rows as u64);
    transaction
        .execute_batch("UPDATE approvals SET state = 'expired' WHERE state IN ('pending', 'given')")?;
    Ok(Carried {
        keys_ended: rows("UPDATE keys SET revoked_at = ?1 WHERE revoked_at IS NULL")?,
        keys_known: 0,
        sessions_ended: rows("UPDATE sessions SET ended_at = ?1 WHERE ended_at IS NULL")?,
        waivers_ended: rows(
            "UPDATE waivers SET revoked_at = ?1 WHERE revoked_at IS NULL AND expires_at > ?1",
        )?,
        audit_rows: count(transaction, "SELECT count(*) FROM audit")?,
    })
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

#[cfg(test)]
#[path = "carry_tests.rs"]
mod tests;
