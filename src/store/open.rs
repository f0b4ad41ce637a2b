//! How a connection is made: its file private, its pragmas set and read back, on every connection alike.
//! A pragma that SQLite does not know or cannot obey is ignored in silence, so what counts is what it answers.
use super::{StoreError, StoreErrorKind, error::Result};
use rusqlite::{Connection, OpenFlags, types::FromSql};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// 3.51.3: the first release without the defect that can damage a WAL file when it is reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long SQLite itself waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of every connection. The daemon knows `DURABLE` only; tests ask for less, to see the proofs object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Regime {
    /// PRAGMA synchronous: 2 is FULL, 0 is OFF.
    pub synchronous: u8,
    pub foreign_keys: bool,
    /// Readers refuse to write.
    pub query_only: bool,
    /// Operations are kept together, by BEGIN and COMMIT.
    pub transact: bool,
    /// A failed operation is rolled back.
    pub undo: bool,
    /// Nobody is told "done" before COMMIT.
    pub commit_first: bool,
    /// A reader goes back to the pool after a query that failed.
    pub give_back: bool,
    /// How long each query is held up on its reader.
    pub drag: Duration,
    /// A file of a newer version is refused.
    pub refuse_newer: bool,
    /// A file that will be changed is copied first.
    pub copy_first: bool,
    /// The audit trail is anchored after so many rows, or so long after the first that is not; 0 rows is never.
    pub anchor_rows: u64,
    pub anchor_every: Duration,
}

impl Regime {
    pub const DURABLE: Self = Self {
        synchronous: 2,
        foreign_keys: true,
        query_only: true,
        transact: true,
        undo: true,
        commit_first: true,
        give_back: true,
        drag: Duration::ZERO,
        refuse_newer: true,
        copy_first: true,
        anchor_rows: 100,
        anchor_every: Duration::from_secs(60),
    };
}

/// What one open connection answers when it is asked for its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// `writer`, `reader 3`.
    pub who: String,
    /// `wal`
    pub journal_mode: String,
    /// 2 is FULL.
    pub synchronous: u8,
    pub foreign_keys: bool,
    pub busy_timeout_ms: u64,
    /// Refuses every change.
    pub query_only: bool,
}

/// Refuses an SQLite older than the first one that is safe in WAL mode.
pub(super) fn assert_version(number: i32, text: &str) -> Result<()> {
    if number >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Unusable,
        format!("cannot use SQLite {text}: it can damage a database in WAL mode; 3.51.3 or newer is needed"),
    )
    .hint("build agentd with its bundled SQLite: `cargo build --locked --release`"))
}

/// The one connection that may write. Makes the file, mode 0600, if it is not there.
pub(super) fn writer(path: &Path, regime: Regime) -> Result<Connection> {
    make_private(path).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Unusable,
            format!("cannot open the database `{}`: {error}", path.display()),
        )
        .hint("let the user of agentd own the state directory and all files in it: `ls -la`")
    })?;
    let wrap =
        |error: rusqlite::Error| StoreError::from_sqlite(&format!("open `{}`", path.display()), &error);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(48);
    // A WAL that a long read let grow is cut back to 16 MiB at the next checkpoint.
    set(
        &connection,
        regime,
        "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -1024;",
    )
    .map_err(wrap)?;
    verify(&connection, regime, false)?;
    Ok(connection)
}

pub(super) fn reader_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Makes a fresh connection a reader; the pool calls it for each.
pub(super) fn reader(connection: &Connection, regime: Regime) -> Result<()> {
    // Fifty of them must fit beside everything else in 20 MiB: 256 KiB of cache each, at most.
    let about = format!("PRAGMA cache_size = -256; PRAGMA query_only = {};", u8::from(regime.query_only));
    set(connection, regime, &about).map_err(|error| StoreError::from_sqlite("make a reader", &error))?;
    verify(connection, regime, regime.query_only)
}

/// Asks the connection itself.
pub(super) fn facts(connection: &Connection, who: String) -> rusqlite::Result<ConnectionFacts> {
    fn ask<T: FromSql>(connection: &Connection, pragma: &str) -> rusqlite::Result<T> {
        connection.pragma_query_value(None, pragma, |row| row.get(0))
    }
    Ok(ConnectionFacts {
        who,
        journal_mode: ask(connection, "journal_mode")?,
        synchronous: ask(connection, "synchronous")?,
        foreign_keys: ask(connection, "foreign_keys")?,
        busy_timeout_ms: ask::<i64>(connection, "busy_timeout")?.try_into().unwrap_or(0),
        query_only: ask(connection, "query_only")?,
    })
}

/// Opens for writing, making it with mode 0600 from the first moment.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// SQLite gives -wal and -shm the mode of the file itself; files of an earlier life are narrowed too.
fn make_private(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    private_file(path)?;
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::metadata(&file) {
            Ok(about) if about.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `file:…`, whatever the path holds.
pub(super) fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

fn set(connection: &Connection, regime: Regime, more: &str) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!(
        "{more} PRAGMA synchronous = {}; PRAGMA foreign_keys = {}; PRAGMA trusted_schema = OFF;",
        regime.synchronous,
        u8::from(regime.foreign_keys),
    ))
}

fn verify(connection: &Connection, regime: Regime, query_only: bool) -> Result<()> {
    let what = "read the settings of a connection back";
    let seen = facts(connection, String::new()).map_err(|error| StoreError::from_sqlite(what, &error))?;
    let wanted = ConnectionFacts {
        who: String::new(),
        journal_mode: "wal".into(),
        synchronous: regime.synchronous,
        foreign_keys: regime.foreign_keys,
        busy_timeout_ms: BUSY_TIMEOUT.as_millis().try_into().unwrap_or(u64::MAX),
        query_only,
    };
    if seen == wanted {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Unusable,
        format!("cannot trust the database: asked for {wanted:?}, SQLite runs with {seen:?}"),
    )
    .hint("put daemon.state_dir on a local file system: WAL needs shared memory and real locks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_that_can_damage_a_wal_is_refused_and_the_bundled_one_is_not() {
        let error = assert_version(3_051_002, "3.51.2").expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
        assert!(error.message.contains("3.51.2") && error.hint.is_some());
        assert!(assert_version(rusqlite::version_number(), rusqlite::version()).is_ok());
    }

    #[test]
    fn a_connection_that_is_not_as_asked_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let connection = writer(&home.path().join("a.db"), Regime::DURABLE).expect("opens");
        for spoilt in ["synchronous = NORMAL", "foreign_keys = OFF", "busy_timeout = 0", "query_only = ON"] {
            connection.execute_batch(&format!("PRAGMA {spoilt}")).expect("set");
            let error = verify(&connection, Regime::DURABLE, false).expect_err(spoilt);
            assert_eq!(error.kind, StoreErrorKind::Unusable);
            set(&connection, Regime::DURABLE, "PRAGMA query_only = OFF;").expect("mended");
        }
        assert!(verify(&connection, Regime::DURABLE, false).is_ok());
        connection.execute_batch("PRAGMA journal_mode = DELETE").expect("set");
        assert!(verify(&connection, Regime::DURABLE, false).is_err(), "a rollback journal was accepted");
    }

    #[test]
    fn its_files_are_for_their_owner_only_whatever_they_were() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("state").join("a.db");
        fs::create_dir(home.path().join("state")).expect("made");
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("widened");
        let connection = writer(&path, Regime::DURABLE).expect("opens");
        connection.execute_batch("CREATE TABLE t (x)").expect("a table");
        for file in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
            let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }
}
