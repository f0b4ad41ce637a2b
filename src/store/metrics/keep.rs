//! Series and looks as they come.
use super::{tick, tier::slot_of};
use crate::{
    domain::{Distribution, Labels, Measure, MetricKind, MetricSeries},
    store::{
        Store,
        columns::{from_time, from_word, number, word},
        error::Result,
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A series with the number that it is kept under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSeries {
    pub id: u32,
    pub series: MetricSeries,
}

/// What one look gave, ready to be kept.
#[derive(Clone, Debug)]
pub struct Encoded(Vec<u8>);

/// How long things took since this was last asked.
#[derive(Clone, Debug, Default)]
pub struct LatencySince {
    pub query: Distribution,
    pub wait: Distribution,
    pub commit: Distribution,
}

impl Encoded {
    /// By series; the first of a series counts.
    pub fn of(mut measures: Vec<(u32, Measure)>) -> Self {
        Self(tick::encode(&mut measures))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Store {
    /// What came since the last call; one recorder asks.
    pub fn take_latencies(&self) -> LatencySince {
        let times = self.readers().times();
        LatencySince {
            query: times.query.take(),
            wait: times.wait.take(),
            commit: self.writer().counts().latency.take(),
        }
    }

    /// The number of each, made where there is none; none for one that would be beyond `most`. Those count that something
    /// was kept of since `live_since`.
    pub async fn open_series(
        &self,
        series: Vec<MetricSeries>,
        most: u32,
        live_since: Timestamp,
    ) -> Result<Vec<Option<u32>>> {
        let (now, live_since) = (self.clock().now(), from_time(live_since).unwrap_or(i64::MIN));
        self.write("name what is measured", move |connection| {
            let mut live: u32 = connection
                .prepare_cached("SELECT count(*) FROM metric_series WHERE last_at >= ?1")?
                .query_row([live_since], |row| number(row, 0))?;
            let mut numbers = Vec::with_capacity(series.len());
            for one in &series {
                numbers.push(open(connection, one, now, live_since, (&mut live, most))?);
            }
            Ok(numbers)
        })
        .await
    }

    /// On the disk when this returns. False, and nothing is changed, if there is one of these ten seconds already.
    pub async fn keep_tick(&self, at: Timestamp, encoded: Encoded) -> Result<bool> {
        let second = slot_of(at);
        self.write("keep what was measured", move |connection| {
            // Before 1970 there is no hour to fold it into.
            if second < 0 {
                return Ok(false);
            }
            let at = Timestamp::from_second(second).unwrap_or_default();
            let kept = connection
                .prepare_cached("INSERT INTO metric_ticks (at, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![from_time(at)?, encoded.0])?;
            Ok(kept == 1)
        })
        .await
    }

    /// By name, or all; in the order of their names and labels.
    pub async fn metric_series(&self, name: Option<String>) -> Result<Vec<KeptSeries>> {
        self.read("read what is measured", move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id, name, labels, kind, unit FROM metric_series
                 WHERE name = ?1 OR ?1 IS NULL ORDER BY name, labels",
            )?;
            let rows = query.query_map([name], kept)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn open(
    connection: &Connection,
    series: &MetricSeries,
    now: Timestamp,
    live_since: i64,
    (live, most): (&mut u32, u32),
) -> rusqlite::Result<Option<u32>> {
    let labels = series.labels.to_string();
    let known: Option<(u32, i64, MetricKind)> = connection
        .prepare_cached("SELECT id, last_at, kind FROM metric_series WHERE name = ?1 AND labels = ?2")?
        .query_row(params![series.name, labels], |row| Ok((number(row, 0)?, row.get(1)?, word(row, 2)?)))
        .optional()?;
    match known {
        // What changed its kind under one name would be folded into nonsense.
        Some((_, _, kind)) if kind != series.kind => return Ok(None),
        Some((id, last_at, _)) if last_at >= live_since => return Ok(Some(id)),
        _ => {}
    }
    if *live >= most {
        return Ok(None);
    }
    *live += 1;
    if let Some((id, ..)) = known {
        connection
            .prepare_cached("UPDATE metric_series SET last_at = ?2 WHERE id = ?1")?
            .execute(params![id, from_time(now)?])?;
        return Ok(Some(id));
    }
    connection
        .prepare_cached(
            "INSERT INTO metric_series (name, labels, kind, unit, last_at) VALUES (?1, ?2, ?3, ?4, ?5)
             RETURNING id",
        )?
        .query_row(
            params![series.name, labels, from_word(series.kind)?, from_word(series.unit)?, from_time(now)?],
            |row| number(row, 0),
        )
        .map(Some)
}

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptSeries> {
    let labels: String = row.get(2)?;
    Ok(KeptSeries {
        id: number(row, 0)?,
        series: MetricSeries {
            name: row.get(1)?,
            labels: labels.parse::<Labels>().unwrap_or_default(),
            kind: word(row, 3)?,
            unit: word(row, 4)?,
        },
    })
}
