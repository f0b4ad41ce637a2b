//! Drills of backups: a row each, added and never changed.
use super::{
    Store,
    audit::Effect,
    columns::{from_time, integer, number, time},
    error::Result,
};
use crate::domain::{Act, BackupId, Drill, Period};
use rusqlite::{Row, params, types::Type};
use std::time::Duration;

const COLUMNS: &str = "id, backup, at, by, rpo_ms, rto_ms, problems";

impl Store {
    /// Returns it with its number; the one it came with is not looked at.
    pub async fn record_drill(&self, act: Act, drill: Drill) -> Result<Drill> {
        self.act("record a drill", act, move |connection| {
            let problems = serde_json::to_string(&drill.problems)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let id = connection
                .prepare_cached(
                    "INSERT INTO drills (backup, at, by, rpo_ms, rto_ms, problems) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     RETURNING id",
                )?
                .query_row(
                    params![
                        drill.backup.as_str(),
                        from_time(drill.at)?,
                        drill.by,
                        integer(drill.rpo.0.as_millis())?,
                        integer(drill.rto.0.as_millis())?,
                        problems,
                    ],
                    |row| number(row, 0),
                )?;
            let said = drill.problems.first().map_or_else(|| "passed".into(), |why| format!("failed: {why}"));
            Ok(Effect::on(format!("backup/{}", drill.backup), Drill { id, ..drill }).because(said))
        })
        .await
    }

    /// The newest first; of one backup, or of all.
    pub async fn drills(&self, backup: Option<BackupId>, limit: u32) -> Result<Vec<Drill>> {
        self.read("read the drills", move |connection| {
            let of = backup.as_ref().map(BackupId::as_str);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM drills WHERE ?1 IS NULL OR backup = ?1 ORDER BY id DESC LIMIT ?2"
            ))?;
            let rows = query.query_map(params![of, limit], drill)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn drill(row: &Row<'_>) -> rusqlite::Result<Drill> {
    let unreadable = |column: usize, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
    };
    let backup: String = row.get(1)?;
    let problems: String = row.get(6)?;
    Ok(Drill {
        id: number(row, 0)?,
        backup: backup.parse().map_err(|why: String| unreadable(1, why.into()))?,
        at: time(row, 2)?,
        by: row.get(3)?,
        rpo: Period(Duration::from_millis(number(row, 4)?)),
        rto: Period(Duration::from_millis(number(row, 5)?)),
        problems: serde_json::from_str(&problems).map_err(|error| unreadable(6, error.into()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::RetentionSettings,
        store::scratch::{Scratch, act},
    };
    use jiff::{SignedDuration, Timestamp};

    #[tokio::test]
    async fn drills_read_back_newest_first_and_the_last_outlives_its_retention() {
        let store = Scratch::new();
        let drill = |backup: &str, days: i64, problems: &[&str]| Drill {
            id: 0,
            backup: backup.parse().expect("an id"),
            at: Timestamp::now() - SignedDuration::from_hours(24 * days),
            by: "user:0".into(),
            rpo: Period::millis(90_001),
            rto: Period::millis(17),
            problems: problems.iter().map(|text| (*text).to_owned()).collect(),
        };
        let (one, other) = ("bk-20261121T152230Z-1", "bk-20261122T152230Z-1");
        for drill in [drill(one, 800, &[]), drill(other, 700, &["it's gone", "[]"]), drill(one, 600, &[])] {
            store.record_drill(act(), drill).await.expect("recorded");
        }
        let all = store.drills(None, 9).await.expect("read");
        assert_eq!(all.iter().map(|drill| drill.id).collect::<Vec<_>>(), [3, 2, 1]);
        assert!(all[0].passed() && !all[1].passed());
        assert_eq!(all[1], Drill { id: 2, at: all[1].at, ..drill(other, 700, &["it's gone", "[]"]) });
        assert_eq!(store.drills(other.parse().ok(), 9).await.expect("read"), all[1..2]);
        assert_eq!(store.prune(RetentionSettings::default()).await.expect("pruned"), 2);
        assert_eq!(store.drills(None, 9).await.expect("read"), all[..1]);
        assert_eq!(store.audit_events(0, 9).await.expect("read").len(), 3);
    }
}
