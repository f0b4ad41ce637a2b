//! What a running daemon does of it: lay the other database ready, tried out with what the live one knows, and say so.
use super::{
    crash,
    marker::{Phase, Places, Replacement, remove},
};
use crate::{
    domain::Digest,
    resilience::durable,
    store::{
        AuditFiles, Carried, StoreError, StoreErrorKind, carry_back, carry_over,
        error::Result,
        inspect_copy,
        open::{beside, private_file},
    },
};
use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The handle: where the live database is. Everything on it blocks.
#[derive(Clone, Debug)]
pub struct Replacing(pub(super) Places);

impl Replacing {
    pub fn of(database: &Path) -> Self {
        Self(Places::beside(database))
    }

    /// How far it is; None where nothing is to be replaced.
    pub fn standing(&self) -> Result<Option<Replacement>> {
        self.0.read().map_err(|error| self.failed("read", &error))
    }

    /// A directory that is not there yet, for a backup to be unpacked to. Whatever was begun here before is given up.
    pub fn clean(&self) -> Result<PathBuf> {
        let make = || {
            self.0.clear()?;
            DirBuilder::new().mode(0o700).recursive(true).create(&self.0.dir)
        };
        make().map_err(|error| self.failed("make room in", &error))?;
        Ok(self.0.dir.join("unpacked"))
    }

    /// Nothing of it stays: neither what was proposed nor what was live before.
    pub fn clear(&self) -> Result<()> {
        self.0.clear().map_err(|error| self.failed("clear", &error))
    }

    /// The database in the unpacked directory is to take the place of the live one. It is tried out here, where failing
    /// harms nobody; what ended between now and the next start is carried over then.
    pub fn propose(&self, key: &str, of: Digest, now: Timestamp) -> Result<Carried> {
        let (unpacked, source) = (self.0.dir.join("unpacked"), self.0.source(false));
        let place = || {
            fs::rename(AuditFiles::of(&unpacked).database, &source)?;
            // Keys and dumps were unpacked with it.
            fs::remove_dir_all(&unpacked)
        };
        place().map_err(|error| self.failed("lay ready in", &error))?;
        let carried = carry_over(&source, Some(&self.0.live), now)?;
        self.mark(&source, (key, of, None), carried)?;
        Ok(carried)
    }

    /// What was live until `since` is to be so again.
    pub fn propose_back(&self, key: &str, of: Digest, since: Timestamp) -> Result<()> {
        remove(&self.0.aside(true)).map_err(|error| self.failed("make room in", &error))?;
        self.mark(&self.0.source(true), (key, of, Some(since)), Carried::default())
    }

    fn mark(
        &self,
        source: &Path,
        (key, of, former_until): (&str, Digest, Option<Timestamp>),
        tried: Carried,
    ) -> Result<()> {
        one_file(source)?;
        let mark = || {
            let sha256 = hashed(File::open(source)?, &mut io::sink())?;
            durable::sync_directory(&self.0.dir)?;
            let (key, phase) = (key.to_owned(), Phase::Pending);
            self.0.write(&Replacement { schema_version: 1, key, of, sha256, former_until, tried, phase })
        };
        mark().map_err(|error| self.failed("write", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> StoreError {
        let dir = self.0.dir.display();
        StoreError::new(
            StoreErrorKind::Failed,
            format!("cannot {what} {dir}, for a restored database: {error}"),
        )
        .hint("make room there (`df -h`) and let the user of agentd own the state directory: `ls -la`")
    }
}

/// Bytes that a restore of a database of this size beside a live one of that size may need in the state directory.
pub fn needed(restored: u64, live: u64) -> u64 {
    // Unpacked, and copied once more; each with what is carried over, which is written to its WAL first.
    const SPARE: u64 = 4 << 20;
    restored.saturating_mul(2).saturating_add(live.saturating_mul(2)).saturating_add(SPARE)
}

/// The next database, made from what was proposed and brought to the present. Whatever an earlier attempt left is made
/// anew.
pub(super) fn prepare(
    places: &Places,
    marker: &Replacement,
    now: Timestamp,
) -> std::result::Result<Carried, String> {
    let (source, next) = (places.source(marker.former_until.is_some()), places.next());
    let copied = || {
        for file in [next.clone(), beside(&next, "-wal"), beside(&next, "-shm"), beside(&next, "-journal")] {
            remove(&file)?;
        }
        let mut file = private_file(&next)?;
        let digest = hashed(File::open(&source)?, &mut file)?;
        file.sync_all()?;
        io::Result::Ok(digest)
    };
    let digest = copied().map_err(|error| format!("cannot copy {}: {error}", source.display()))?;
    if digest != marker.sha256 {
        return Err(format!("cannot use {}: it was changed after it was laid ready", source.display()));
    }
    crash::here("the copy");
    // Nobody has it open; read only, a WAL that nobody closed could not be read.
    one_file(&places.live).map_err(|error| error.message)?;
    let carried = match marker.former_until {
        None => carry_over(&next, Some(&places.live), now),
        Some(since) => carry_back(&next, &places.live, since, now),
    };
    let carried = carried.map_err(|error| error.message)?;
    crash::here("what was carried over");
    one_file(&next).map_err(|error| error.message)?;
    let facts = inspect_copy(&next).map_err(|error| error.message)?;
    if let Some(damage) = facts.damage.first() {
        return Err(format!("cannot use the restored database: it is damaged: {damage}"));
    }
    if facts.dangling > 0 {
        return Err(format!(
            "cannot use the restored database: {} of its rows refer to nothing",
            facts.dangling
        ));
    }
    Ok(carried)
}

/// All of it in one file and on the disk, with nothing beside it that would be read with it.
pub(super) fn one_file(database: &Path) -> Result<()> {
    let what = format!("gather {} into one file", database.display());
    let wrap = |error: rusqlite::Error| StoreError::from_sqlite(&what, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(wrap)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(wrap)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(wrap)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).map_err(wrap)?;
    connection.close().map_err(|(_, error)| wrap(error))?;
    let left = ["-wal", "-shm", "-journal"].map(|end| beside(database, end));
    let alone = mode == "delete" && left.iter().all(|file| !file.exists());
    let synced = File::open(database).and_then(|file| file.sync_all());
    match synced {
        Ok(()) if alone => Ok(()),
        Ok(()) => {
            Err(StoreError::new(StoreErrorKind::Busy, format!("cannot {what}: somebody else has it open")))
        }
        Err(error) => Err(StoreError::new(StoreErrorKind::Failed, format!("cannot {what}: {error}"))),
    }
}

/// What was read, while it is written on.
fn hashed(mut from: impl Read, to: &mut impl Write) -> io::Result<Digest> {
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        context.update(&chunk[..count]);
        to.write_all(&chunk[..count])?;
    }
    let mut digest = Digest::default();
    digest.0.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}
