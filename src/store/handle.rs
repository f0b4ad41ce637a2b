//! `Store`, the handle others hold: cheap to clone, every wait bounded.
//! What it keeps is told by table family in the files beside; here is how it opens, fares and closes.
use super::{
    StoreError,
    audit::Ledger,
    error::{Answer, Result},
    migrate,
    open::{self, Regime},
    readers::Readers,
    writer::Writer,
};
use crate::{config::StoreSettings, domain::StoreStats, resilience::Clock};
use jiff::Timestamp;
use rusqlite::Connection;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// What the last anchor may take: one line to one file.
const LAST_ANCHOR: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    backups: PathBuf,
    fleet_id: String,
    clock: Clock,
    // Before the writer: a file whose last connection is the writer's is left whole, without a WAL beside it.
    readers: Readers,
    writer: Writer,
    ledger: Arc<Ledger>,
    /// Ends by itself after the writer.
    anchoring: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens or makes the file: version asserted, migrated (backup first), pragmas set, writer started.
    pub fn open(path: &Path, backups: &Path, settings: &StoreSettings, clock: Clock) -> Result<Self> {
        Self::open_under(path, backups, settings, clock, Regime::DURABLE)
    }

    pub(super) fn open_under(
        path: &Path,
        backups: &Path,
        settings: &StoreSettings,
        clock: Clock,
        regime: Regime,
    ) -> Result<Self> {
        open::assert_version(rusqlite::version_number(), rusqlite::version())?;
        let mut connection = open::writer(path, regime)?;
        migrate::to_head(&mut connection, migrate::MIGRATIONS, backups, clock.now(), regime)?;
        let fleet_id = connection
            .query_row("SELECT value FROM meta WHERE key = 'fleet_id'", [], |row| row.get(0))
            .map_err(|error| StoreError::from_sqlite("read the fleet's id", &error))?;
        let readers = Readers::start(path, settings, regime);
        let ledger = Arc::new(Ledger::open(path, &connection, clock.now())?);
        let anchoring = Mutex::new(Some(ledger.anchor(&clock, regime)?));
        let pulse = Arc::clone(ledger.pulse());
        let writer =
            Writer::start(connection, settings.write_queue, settings.checkout_timeout.0, regime, pulse)?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            backups: backups.to_owned(),
            fleet_id,
            clock,
            readers,
            writer,
            ledger,
            anchoring,
        })))
    }

    /// Random, 32 hex digits, made with the file: marks this fleet's processes in their environment.
    pub fn fleet_id(&self) -> &str {
        &self.0.fleet_id
    }

    /// By the clock that its rows are dated with.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub fn stats(&self) -> StoreStats {
        let (readers, readers_idle) = self.0.readers.open_and_idle();
        let (times, counts) = (self.0.readers.times(), self.0.writer.counts());
        let size = |file: &Path| fs::metadata(file).map_or(0, |about| about.len());
        StoreStats {
            sqlite_version: rusqlite::version().to_owned(),
            file_bytes: size(&self.0.path) + size(&open::beside(&self.0.path, "-wal")),
            readers,
            readers_idle,
            readers_max: self.0.readers.max,
            wait: times.wait.percentiles(),
            query: times.query.percentiles(),
            commit: counts.latency.percentiles(),
            commits: counts.commits.load(Ordering::Relaxed),
            writes: counts.writes.load(Ordering::Relaxed),
            write_queue: u32::try_from(self.0.writer.queued()).unwrap_or(u32::MAX),
        }
    }

    /// Commits what is queued, then closes. Later calls answer Closed.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
        let anchoring = self.0.anchoring.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = anchoring {
            let _ = timeout(LAST_ANCHOR, spawn_blocking(move || thread.join())).await;
        }
    }

    pub(super) async fn write<T, F>(&self, what: &'static str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<T> + Send + 'static,
    {
        self.0.writer.write(what, operation).await
    }

    pub(super) async fn read<T, F>(&self, what: &'static str, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<T> + Send + 'static,
    {
        self.0.readers.read(what, query).await
    }

    pub(super) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.0.ledger
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn backups(&self) -> &Path {
        &self.0.backups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        StoreErrorKind,
        scratch::{Scratch, event},
    };
    use std::{
        env,
        io::{self, BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    /// Where the child of `acknowledged_writes_survive_a_kill` writes.
    const CHILD: &str = "AGENTD_TEST_STORE_CHILD";

    #[tokio::test]
    async fn the_fleets_id_is_made_once() {
        let store = Scratch::new();
        let first = store.fleet_id().to_owned();
        assert!(first.len() == 32 && first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");
        assert_ne!(first, Scratch::new().fleet_id());
        assert_eq!(store.reopen().await.fleet_id(), first);
    }

    #[tokio::test]
    async fn a_closed_store_answers_closed_and_keeps_what_was_queued() {
        let store = Scratch::new();
        let writes: Vec<_> = (0..100)
            .map(|n| {
                let store = store.store.clone();
                tokio::spawn(async move { store.record_event(event(format!("{n}"))).await })
            })
            .collect();
        tokio::task::yield_now().await;
        store.close().await;
        let mut kept = 0;
        for write in writes {
            match write.await.expect("no panic") {
                Ok(()) => kept += 1,
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Closed),
            }
        }
        assert_eq!(store.record_event(event("late")).await.map_err(|e| e.kind), Err(StoreErrorKind::Closed));
        assert_eq!(store.runs(1).await.map_err(|e| e.kind), Err(StoreErrorKind::Closed));
        assert!(!open::beside(&store.path(), "-wal").exists(), "the file is not the whole state");
        let store = store.reopen().await;
        assert_eq!(store.events(0, 1000).await.expect("read").len(), kept);
    }

    #[test]
    fn a_damaged_file_is_refused_with_a_hint_and_left_as_it_is() {
        let settings = StoreSettings::default();
        let open = |path: &Path| Store::open(path, path, &settings, Clock::system()).map(drop);
        let scratch = Scratch::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            scratch.time_writes(200, 32).await.expect("written");
            scratch.close().await;
        });
        let whole = fs::read(scratch.path()).expect("read");
        let half = whole[..whole.len() / 2].to_vec();
        let mut headless = whole.clone();
        headless[..16].copy_from_slice(b"not SQLite at al");
        for (name, bytes) in [("noise", vec![0x5a; 9000]), ("half", half), ("headless", headless)] {
            let path = scratch.home.path().join(name);
            fs::write(&path, &bytes).expect("written");
            let error = open(&path).expect_err(name);
            assert_eq!(error.kind, StoreErrorKind::Unusable, "{name}: {error:?}");
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("backups")), "{name}: {error:?}");
            assert!(fs::read(&path).expect("read") == bytes, "{name} was changed");
        }
        assert!(open(&scratch.path()).is_ok(), "the whole one was refused too");
    }

    /// What the next test runs as a process of its own, and kills.
    async fn write_until_killed(home: &Path) {
        let path = home.join("agentd.db");
        let store = Store::open(&path, home, &StoreSettings::default(), Clock::system()).expect("opens");
        let writers = (0..8).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..1_000_000 {
                    let text = format!("{writer}.{number}");
                    store.record_event(event(text.clone())).await.expect("recorded");
                    writeln!(io::stdout(), "ack {text}").expect("the parent listens");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no panic");
        }
    }

    #[tokio::test]
    async fn acknowledged_writes_survive_a_kill() {
        if let Some(home) = env::var_os(CHILD) {
            return write_until_killed(Path::new(&home)).await;
        }
        let home = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg("store::handle::tests::acknowledged_writes_survive_a_kill")
            .env(CHILD, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut acknowledged = Vec::new();
        let acks = |line: String| line.split("ack ").nth(1).map(str::to_owned);
        while acknowledged.len() < 300 {
            let line = lines.next().expect("the child wrote less than it should").expect("text");
            acknowledged.extend(acks(line));
        }
        child.kill().expect("killed");
        child.wait().expect("reaped");
        // The last line may be cut short; one that is whole was acknowledged.
        let rest: Vec<String> = lines.map_while(std::result::Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        acknowledged.extend(rest.into_iter().take(whole).filter_map(acks));

        let path = home.path().join("agentd.db");
        let store =
            Store::open(&path, home.path(), &StoreSettings::default(), Clock::system()).expect("opens");
        let mut kept = std::collections::HashSet::new();
        let mut cursor = 1;
        kept.extend(store.events(0, 10_000).await.expect("read").into_iter().map(|event| event.text));
        loop {
            let page = store.events(cursor, 10_000).await.expect("read");
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            kept.extend(page.into_iter().map(|event| event.text));
        }
        let lost: Vec<_> = acknowledged.iter().filter(|text| !kept.contains(*text)).collect();
        assert!(lost.is_empty(), "{} acknowledged writes are gone: {lost:?}", lost.len());
        assert!(store.integrity().await.expect("checked").damage.is_empty());
    }
}
