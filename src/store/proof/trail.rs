//! The ways in which somebody who can write the database tampers with a scratch trail, to see that each is found; and
//! what the chain costs.
use crate::{
    domain::{Act, AuditOutcome},
    store::{
        AuditFiles, Store, StoreError, StoreErrorKind,
        audit::{held_below, rewrite},
        columns::from_time,
        error::Result,
        open::{self, Regime},
    },
};
use rusqlite::{Connection, params};
use std::{
    fs,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// One row says something else.
    Edit,
    Delete,
    /// Two rows change places.
    Swap,
    /// The last rows go.
    Truncate,
    /// One row is changed, and the chain from there on made anew by a key that is not its own.
    Recompute,
    /// The same with the right key: nothing but the anchors holds against that.
    RecomputeWithKey,
    /// A line of the anchors goes.
    Anchors,
}

impl Tampering {
    pub const ALL: &'static [Self] = &[
        Self::Edit,
        Self::Delete,
        Self::Swap,
        Self::Truncate,
        Self::Recompute,
        Self::RecomputeWithKey,
        Self::Anchors,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "an edited row",
            Self::Delete => "a deleted row",
            Self::Swap => "two rows that changed places",
            Self::Truncate => "rows cut off at the end",
            Self::Recompute => "a chain made anew without the key",
            Self::RecomputeWithKey => "a chain made anew with the key",
            Self::Anchors => "an anchor taken out",
        }
    }
}

/// Of a trail with more rows than this, some of them anchored. Returns the first row that is not as it was. Blocks.
pub fn tamper(files: &AuditFiles, how: Tampering) -> Result<u64> {
    const AT: u64 = 20;
    const SWAP: &str = "UPDATE audit SET seq = 9000 WHERE seq = 20; UPDATE audit SET seq = 20 WHERE seq = 21;
         UPDATE audit SET seq = 21 WHERE seq = 9000";
    let wrap = |error: rusqlite::Error| StoreError::from_sqlite("tamper with a scratch trail", &error);
    let edit = "UPDATE audit SET reason = 'for somebody else' WHERE seq = 20";
    let run = |sql: &str| -> Result<Connection> {
        let connection = open::writer(&files.database, Regime::DURABLE)?;
        connection.execute_batch(sql).map_err(wrap)?;
        Ok(connection)
    };
    match how {
        Tampering::Edit => drop(run(edit)?),
        Tampering::Delete => drop(run("DELETE FROM audit WHERE seq = 20")?),
        Tampering::Swap => drop(run(SWAP)?),
        Tampering::Truncate => drop(run("DELETE FROM audit WHERE seq >= 20")?),
        Tampering::Recompute => rewrite(&run(edit)?, None, AT).map_err(wrap)?,
        Tampering::RecomputeWithKey => {
            rewrite(&run(edit)?, Some(&files.key), AT).map_err(wrap)?;
            // What was anchored before that row still is; the first anchor after it is not.
            return Ok(held_below(files, AT) + 1);
        }
        Tampering::Anchors => {
            let failed = |error: std::io::Error| {
                StoreError::new(
                    StoreErrorKind::Failed,
                    format!("cannot tamper with scratch anchors: {error}"),
                )
            };
            let text = fs::read_to_string(&files.anchors).map_err(failed)?;
            let kept: String = text.split_inclusive('\n').skip(1).collect();
            fs::write(&files.anchors, kept).map_err(failed)?;
            return Ok(1);
        }
    }
    Ok(AT)
}

impl Store {
    /// How long `count` rows take by so many callers, each waiting for its COMMIT before its next: chained, or the same
    /// columns and index without a chain.
    pub async fn time_rows(&self, count: usize, callers: usize, chained: bool) -> Result<Duration> {
        const PLAIN: &str = "CREATE TABLE IF NOT EXISTS plain (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL,
             principal TEXT NOT NULL, origin TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,
             outcome TEXT NOT NULL, reason TEXT NOT NULL, correlation TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
             CREATE INDEX IF NOT EXISTS plain_correlation ON plain (correlation)";
        const INSERT: &str =
            "INSERT INTO plain (at, principal, origin, action, object, outcome, reason, correlation, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, zeroblob(32))";
        self.write("make a plain table", |connection| Ok(connection.execute_batch(PLAIN)?)).await?;
        let caller = |caller: usize| async move {
            for number in 0..count / callers.max(1) {
                let act = Act::of_daemon(1000, "uid 1000 pid 4242 by socket", "waivers/add");
                let act = act.on(format!("waiver/{caller}.{number}"));
                if chained {
                    self.record_act(act, AuditOutcome::Done, "SE-001 for file//etc/x".into()).await?;
                    continue;
                }
                let at = from_time(self.clock().now()).unwrap_or_default();
                self.write("insert a plain row", move |connection| {
                    let Act { principal, from, action, object, correlation, .. } = act;
                    let (principal, correlation) = (principal.to_string(), correlation.to_string());
                    let reason = "SE-001 for file//etc/x";
                    let row = params![at, principal, from, action, object, "done", reason, correlation];
                    Ok(connection.prepare_cached(INSERT)?.execute(row)?)
                })
                .await?;
            }
            Ok(())
        };
        let began = Instant::now();
        futures_util::future::try_join_all((0..callers).map(caller)).await?;
        Ok(began.elapsed())
    }
}
