//! The ways in which somebody who can write the database tampers with a scratch trail, to see that each is found.
use crate::store::{
    AuditFiles, StoreError, StoreErrorKind,
    audit::{held_below, rewrite},
    error::Result,
    open::{self, Regime},
};
use rusqlite::Connection;
use std::fs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// One row says somebody else did it.
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
    let wrap = |error: rusqlite::Error| StoreError::from_sqlite("tamper with a scratch trail", &error);
    let edit = "UPDATE audit SET principal = 'user:0' WHERE seq = 20";
    let run = |sql: &str| -> Result<Connection> {
        let connection = open::writer(&files.database, Regime::DURABLE)?;
        connection.execute_batch(sql).map_err(wrap)?;
        Ok(connection)
    };
    match how {
        Tampering::Edit => drop(run(edit)?),
        Tampering::Delete => drop(run("DELETE FROM audit WHERE seq = 20")?),
        Tampering::Swap => drop(run("UPDATE audit SET seq = 9000 WHERE seq = 20; UPDATE audit SET seq = 20 WHERE seq = 21;
             UPDATE audit SET seq = 21 WHERE seq = 9000")?),
        Tampering::Truncate => drop(run("DELETE FROM audit WHERE seq >= 20")?),
        Tampering::Recompute => rewrite(&run(edit)?, None, AT).map_err(wrap)?,
        Tampering::RecomputeWithKey => {
            rewrite(&run(edit)?, Some(&files.key), AT).map_err(wrap)?;
            // What was anchored before that row still is; the first anchor after it is not.
            return Ok(held_below(files, AT) + 1);
        }
        Tampering::Anchors => {
            let failed = |error: std::io::Error| {
                StoreError::new(StoreErrorKind::Failed, format!("cannot tamper with scratch anchors: {error}"))
            };
            let text = fs::read_to_string(&files.anchors).map_err(failed)?;
            let kept: String = text.split_inclusive('\n').skip(1).collect();
            fs::write(&files.anchors, kept).map_err(failed)?;
            return Ok(1);
        }
    }
    Ok(AT)
}
