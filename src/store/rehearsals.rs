//! Rehearsals of a return: a row each, added and never changed.
use super::{
    Store,
    audit::Effect,
    columns::{from_time, number},
    error::Result,
};
use crate::domain::{Act, Digest, Rehearsal};
use rusqlite::{OptionalExtension, Row, params, types::Type};

const COLUMNS: &str = "id, body";

impl Store {
    /// Once for each operation and beginning, however often it is asked for. The number that it comes with is not looked
    /// at.
    pub async fn record_rehearsal(&self, act: Act, rehearsal: Rehearsal) -> Result<()> {
        self.act("record a rehearsal", act, move |connection| {
            let body = serde_json::to_string(&rehearsal)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let added = connection
                .prepare_cached(
                    "INSERT INTO rehearsals (operation, at, release, content, passed, body)
                     SELECT ?1, ?2, ?3, ?4, ?5, ?6
                     WHERE NOT EXISTS (SELECT 1 FROM rehearsals WHERE operation = ?1 AND at = ?2)",
                )?
                .execute(params![
                    rehearsal.operation.to_string(),
                    from_time(rehearsal.at)?,
                    rehearsal.release.0,
                    rehearsal.content.0,
                    rehearsal.passed(),
                    body,
                ])?;
            if added == 0 {
                return Ok(Effect::none(()));
            }
            let said =
                rehearsal.problems.first().map_or_else(|| "passed".into(), |why| format!("failed: {why}"));
            Ok(Effect::on(format!("release/{}", rehearsal.release), ()).because(said))
        })
        .await
    }

    /// The newest first.
    pub async fn rehearsals(&self, limit: u32) -> Result<Vec<Rehearsal>> {
        self.read("read the rehearsals", move |connection| {
            let mut query = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM rehearsals ORDER BY id DESC LIMIT ?1"))?;
            let rows = query.query_map([limit], rehearsal)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The newest of what a release ships.
    pub async fn last_rehearsal(&self, content: Digest) -> Result<Option<Rehearsal>> {
        self.read("read the last rehearsal", move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM rehearsals WHERE content = ?1 ORDER BY id DESC LIMIT 1");
            Ok(connection.prepare_cached(&sql)?.query_row([content.0], rehearsal).optional()?)
        })
        .await
    }
}

fn rehearsal(row: &Row<'_>) -> rusqlite::Result<Rehearsal> {
    let found: Rehearsal = serde_json::from_str(row.get_ref(1)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, error.into()))?;
    Ok(Rehearsal { id: number(row, 0)?, ..found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::RetentionSettings,
        domain::{OperationId, Period, Principal, RehearsedAgent, ReleaseId},
        store::scratch::{Scratch, act},
    };
    use jiff::{SignedDuration, Timestamp};

    fn rehearsal(operation: u64, content: u8, days: i64, problems: &[&str]) -> Rehearsal {
        Rehearsal {
            id: 0,
            operation: OperationId(operation),
            release: ReleaseId(3),
            content: Digest([content; 32]),
            at: Timestamp::now() - SignedDuration::from_hours(24 * days),
            by: Principal::user(0),
            took: Period::millis(1_234),
            copy_bytes: 7,
            agents: vec![RehearsedAgent {
                name: "orders".parse().expect("a name"),
                ready_ms: Some(17),
                last_lines: vec!["it's \"gone\"".into()],
            }],
            left_out: Vec::new(),
            unproved: Vec::new(),
            problems: problems.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn one_is_recorded_once_reads_back_and_the_last_of_each_content_outlives_its_retention() {
        let store = Scratch::new();
        let all = [
            rehearsal(1, 1, 800, &[]),
            rehearsal(2, 1, 700, &["it's gone"]),
            rehearsal(3, 2, 600, &[]),
            rehearsal(4, 1, 500, &[]),
        ];
        for one in &all {
            store.record_rehearsal(act(), one.clone()).await.expect("recorded");
            // The step that records was cut off before its result was written, and runs again.
            store.record_rehearsal(act(), one.clone()).await.expect("recorded");
        }
        let read = store.rehearsals(9).await.expect("read");
        assert_eq!(read.iter().map(|one| one.id).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert_eq!(read[2], Rehearsal { id: 2, ..all[1].clone() });
        let last = |content| store.last_rehearsal(Digest([content; 32]));
        assert_eq!(last(2).await.expect("read").map(|one| one.id), Some(3));
        assert_eq!(last(9).await.expect("read"), None);
        // The same operation, begun anew: its number was given twice because its journal was lost.
        store.record_rehearsal(act(), rehearsal(4, 1, 1, &[])).await.expect("recorded");
        assert_eq!(last(1).await.expect("read").map(|one| one.id), Some(5));
        assert_eq!(store.prune(RetentionSettings::default()).await.expect("pruned"), 3);
        let left = store.rehearsals(9).await.expect("read");
        assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [5, 3]);
    }
}
