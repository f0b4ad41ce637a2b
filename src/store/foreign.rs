//! Databases of others: the applications' SQLite files and PostgreSQL servers, opened to be asked and never to be
//! changed. Here because SQL stands in this room only; what to ask beyond "are you there" is the operator's text.
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, types::ValueRef};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It could not be asked: the reason is on this side.
    Unasked(String),
    /// It was asked, and would not or could not say.
    Refused(String),
}
#[cfg(feature = "postgres")]
mod inspect;
#[cfg(feature = "postgres")]
pub use inspect::inspect_postgres;

/// How long to wait for a writer that locks the file.
const BUSY: Duration = Duration::from_secs(1);

/// Ends a query on another thread.
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<Progress>>);

#[derive(Default)]
struct Progress {
    stopped: bool,
    running: Option<InterruptHandle>,
}

/// Stops when dropped.
#[must_use]
pub struct StopOnDrop(Stop);

impl Stop {
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    /// False if it is stopped already.
    fn starts(&self, handle: InterruptHandle) -> bool {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.running = Some(handle);
        !progress.stopped
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let mut progress = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.stopped = true;
        if let Some(running) = progress.running.take() {
            running.interrupt();
        }
    }
}

/// Opens the file for reading only and gives the first cell of the answer, once the tables are known to be there.
/// Blocks; never makes the file.
pub fn ask_sqlite(
    path: &Path,
    query: Option<&str>,
    tables: &[String],
    stop: &Stop,
) -> Result<Option<Value>, Silence> {
    // Opening a FIFO or a device could block for good.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Silence::Refused(format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Silence::Refused(format!("no such file: {}", path.display())));
        }
        Err(error) => return Err(Silence::Unasked(format!("cannot look at {}: {error}", path.display()))),
    }
    let told = |error: rusqlite::Error| {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::DatabaseBusy) => {
                Silence::Unasked(text)
            }
            _ => Silence::Refused(text),
        }
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).map_err(told)?;
    file.busy_timeout(BUSY).map_err(told)?;
    if !stop.starts(file.get_interrupt_handle()) {
        return Err(Silence::Unasked("stopped".into()));
    }
    let mut missing = Vec::new();
    for table in tables {
        let known =
            "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
        let count: i64 = file.query_row(known, [table], |row| row.get(0)).map_err(told)?;
        if count == 0 {
            missing.push(table.as_str());
        }
    }
    if !missing.is_empty() {
        return Err(Silence::Refused(format!("missing tables: {}", missing.join(", "))));
    }
    let mut statement = file.prepare(query.unwrap_or("SELECT count(*) FROM sqlite_schema")).map_err(told)?;
    let mut rows = statement.query([]).map_err(told)?;
    let Some(row) = rows.next().map_err(told)? else { return Ok(None) };
    Ok(Some(match row.get_ref(0).map_err(told)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()).into(),
    }))
}

/// Connects, asks, and gives the first cell of the answer as text (`None` if there is no row or it is NULL).
///
/// Everything runs read-only and is cut by the server itself after 30 s, in case the caller gives up before. The
/// error never holds the URL.
#[cfg(feature = "postgres")]
pub async fn ask_postgres(
    url: &str,
    query: Option<&str>,
    tables: &[String],
) -> Result<Option<String>, Silence> {
    use futures_util::{future::Either, pin_mut};
    let mut config: tokio_postgres::Config =
        url.parse().map_err(|_| Silence::Unasked("the url is not a PostgreSQL connection string".into()))?;
    if config.get_application_name().is_none() {
        config.application_name("agentd");
    }
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.map_err(|error| postgres_error(&error))?;
    let conversation = converse(&client, query, tables);
    // One task drives both, so nothing outlives a caller that gives up.
    pin_mut!(connection, conversation);
    match futures_util::future::select(connection, conversation).await {
        Either::Left((Err(error), _)) => Err(postgres_error(&error)),
        Either::Left((Ok(()), _)) => Err(Silence::Refused("the server closed the connection".into())),
        Either::Right((answer, _)) => answer,
    }
}

#[cfg(feature = "postgres")]
async fn converse(
    client: &tokio_postgres::Client,
    query: Option<&str>,
    tables: &[String],
) -> Result<Option<String>, Silence> {
    use tokio_postgres::SimpleQueryMessage;
    let told = |error: tokio_postgres::Error| postgres_error(&error);
    client
        .batch_execute("SET default_transaction_read_only = on; SET statement_timeout = '30s'")
        .await
        .map_err(told)?;
    if !tables.is_empty() {
        let missing = client
            .query("SELECT t FROM unnest($1::text[]) AS t WHERE to_regclass(t) IS NULL", &[&tables])
            .await
            .map_err(told)?;
        let names: Vec<&str> = missing.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if !names.is_empty() {
            return Err(Silence::Refused(format!("missing tables: {}", names.join(", "))));
        }
    }
    let messages = client.simple_query(query.unwrap_or("SELECT 1")).await.map_err(told)?;
    Ok(messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        })
        .flatten())
}

/// What the server said, or why it could not be asked.
#[cfg(feature = "postgres")]
fn postgres_error(error: &tokio_postgres::Error) -> Silence {
    if let Some(said) = error.as_db_error() {
        return Silence::Refused(format!("{} ({})", said.message(), said.code().code()));
    }
    let mut routed = true;
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        routed &= kind != Some(std::io::ErrorKind::NetworkUnreachable);
        let inner_text = match kind {
            Some(std::io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            _ => inner.to_string(),
        };
        text = format!("{text}: {inner_text}");
        cause = inner.source();
    }
    if routed { Silence::Refused(text) } else { Silence::Unasked(text) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub const COUNT: &str = "SELECT count(*) FROM jobs";
    pub const NONE: &str = "SELECT id FROM jobs WHERE id < 0";
    pub const WRITE: &str = "DELETE FROM jobs RETURNING id";
    pub const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    /// An application's file with two rows.
    pub fn make(path: &Path) {
        let file = Connection::open(path).expect("a file");
        file.execute_batch("CREATE TABLE jobs (id INTEGER PRIMARY KEY); INSERT INTO jobs VALUES (1), (2)")
            .expect("a table");
    }

    #[test]
    fn a_stop_before_the_start_is_heeded() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.db");
        make(&path);
        let stop = Stop::default();
        drop(stop.on_drop());
        assert_eq!(ask_sqlite(&path, Some(COUNT), &[], &stop), Err(Silence::Unasked("stopped".into())));
        assert_eq!(ask_sqlite(&path, Some(COUNT), &[], &Stop::default()), Ok(Some(2.into())));
    }

    #[test]
    fn a_table_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.db");
        make(&path);
        let asked = |tables: &[&str]| {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            ask_sqlite(&path, None, &tables, &Stop::default())
        };
        assert_eq!(
            asked(&["jobs", "orders", "x' OR '1"]),
            Err(Silence::Refused("missing tables: orders, x' OR '1".into()))
        );
        assert!(asked(&["JOBS"]).is_ok(), "SQLite's names have no case");
    }
}
