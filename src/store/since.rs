//! What was written since an instant and would not be there without it: counted, before somebody puts the database back.
use super::{Store, columns::from_time, error::Result};
use jiff::Timestamp;

/// Rows by what they tell of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    pub events: u64,
    pub probe_changes: u64,
    pub failures: u64,
    /// In force, and not known then.
    pub keys: u64,
    pub sessions: u64,
    pub waivers: u64,
}

impl Store {
    pub async fn since(&self, at: Timestamp) -> Result<Since> {
        self.read("count what was written since", move |connection| {
            let at = from_time(at)?;
            let count = |sql: &str| -> rusqlite::Result<u64> {
                connection
                    .prepare_cached(sql)?
                    .query_row([at], |row| row.get::<_, i64>(0))
                    .map(i64::unsigned_abs)
            };
            Ok(Since {
                events: count("SELECT count(*) FROM events WHERE at > ?1")?,
                probe_changes: count("SELECT count(*) FROM transitions WHERE at > ?1")?,
                failures: count("SELECT count(*) FROM error_occurrences WHERE at > ?1")?,
                keys: count("SELECT count(*) FROM keys WHERE created_at > ?1 AND revoked_at IS NULL")?,
                sessions: count("SELECT count(*) FROM sessions WHERE opened_at > ?1 AND ended_at IS NULL")?,
                waivers: count("SELECT count(*) FROM waivers WHERE added_at > ?1 AND revoked_at IS NULL")?,
            })
        })
        .await
    }
}
