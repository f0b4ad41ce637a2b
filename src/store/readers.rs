//! Many readers: an r2d2 pool of connections that refuse to write, and a place for each query before it may take a thread.
//! A query that fails or panics gives its reader back; one that left a transaction open loses it.
use super::{
    StoreError, StoreErrorKind,
    error::{Answer, Result},
    latency::Latency,
    open::{self, Regime},
};
use crate::config::StoreSettings;
use r2d2::{HandleError, ManageConnection, Pool};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

const SHORTEST: Duration = Duration::from_millis(1);

pub(super) struct Readers {
    pool: RwLock<Option<Pool<Manager>>>,
    /// As many as the pool may have connections: who waits for one waits here and holds no thread.
    places: Arc<Semaphore>,
    pub max: u32,
    pub patience: Duration,
    times: Arc<Times>,
    regime: Regime,
}

#[derive(Default)]
pub(super) struct Times {
    /// For a place and a reader, the refused included.
    pub wait: Latency,
    pub query: Latency,
}

impl Readers {
    /// Returns at once: the connections are made by a thread of the pool while the daemon starts.
    pub fn start(path: &Path, settings: &StoreSettings, regime: Regime) -> Self {
        let max = settings.readers_max.max(1);
        let patience = settings.checkout_timeout.0.max(SHORTEST);
        // Discard: a store that is gone leaves no thread behind to wake for it.
        let thread = ScheduledThreadPool::builder()
            .num_threads(1)
            .thread_name_pattern("store-readers")
            .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
            .build();
        let pool = Pool::builder()
            .max_size(max)
            .min_idle(Some(settings.readers_min.min(max)))
            .connection_timeout(patience)
            .idle_timeout(Some(settings.idle_timeout.0.max(SHORTEST)))
            .max_lifetime(Some(settings.max_age.0.max(SHORTEST)))
            .test_on_check_out(false)
            .thread_pool(Arc::new(thread))
            .error_handler(Box::new(Tell))
            .build_unchecked(Manager::new(path, regime));
        Self {
            pool: RwLock::new(Some(pool)),
            places: Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS))),
            max,
            patience,
            times: Arc::default(),
            regime,
        }
    }

    /// Runs `query` on a reader, on a thread that may block. `what` completes "cannot …".
    pub async fn read<T, F>(&self, what: &'static str, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<T> + Send + 'static,
    {
        let asked = Instant::now();
        let pool = self.pool().ok_or_else(|| StoreError::closed(what))?;
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match timeout(self.patience, self.places.clone().acquire_owned()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => return Err(StoreError::closed(what)),
                Err(_) => {
                    self.times.wait.record(asked.elapsed());
                    return Err(self.busy(what, ""));
                }
            },
        };
        let left = self.patience.saturating_sub(asked.elapsed()).max(SHORTEST);
        let (times, regime) = (self.times.clone(), self.regime);
        let answer = spawn_blocking(move || {
            let _place = place; // Declared first, dropped last: the reader is back before the next may come.
            let checkout = pool.get_timeout(left);
            times.wait.record(asked.elapsed());
            let Ok(reader) = checkout.map_err(|error| error.to_string()) else { return None };
            let began = Instant::now();
            if !regime.drag.is_zero() {
                std::thread::sleep(regime.drag);
            }
            let answer = catch_unwind(AssertUnwindSafe(|| query(&reader)));
            times.query.record(began.elapsed());
            if !regime.give_back && !matches!(answer, Ok(Ok(_))) {
                std::mem::forget(reader);
            }
            Some(answer)
        });
        match answer.await {
            Ok(Some(Ok(answer))) => answer.map_err(|trouble| trouble.of(what)),
            Ok(None) => Err(self.busy(what, ", or none can be opened")),
            // The second: the runtime is shutting down under the query.
            Ok(Some(Err(_))) => Err(StoreError::panicked(what)),
            Err(_) => Err(StoreError::closed(what)),
        }
    }

    /// Asks every reader that is open now, all held at once so that none is asked twice.
    pub async fn each<T, F>(&self, what: &'static str, ask: F) -> Result<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(&Connection, usize) -> Answer<T> + Send + 'static,
    {
        let pool = self.pool().ok_or_else(|| StoreError::closed(what))?;
        let patience = self.patience;
        let asked = spawn_blocking(move || {
            let open = pool.state().connections.max(1);
            let held: Vec<_> = (0..open).map_while(|_| pool.get_timeout(patience).ok()).collect();
            // One that was not asked may be the odd one.
            (held.len() == open as usize).then(|| {
                held.iter()
                    .enumerate()
                    .map(|(number, reader)| ask(reader, number))
                    .collect::<Answer<Vec<T>>>()
            })
        });
        match asked.await.map_err(|_| StoreError::panicked(what))? {
            Some(answers) => answers.map_err(|trouble| trouble.of(what)),
            None => Err(self.busy(what, " beside the others")),
        }
    }

    /// Open, and of those idle.
    pub fn open_and_idle(&self) -> (u32, u32) {
        self.pool().map_or((0, 0), |pool| {
            let state = pool.state();
            (state.connections, state.idle_connections)
        })
    }

    pub fn times(&self) -> &Times {
        &self.times
    }

    /// New queries are refused at once; those under way may end, as long as one may wait for a reader.
    pub async fn close(&self) {
        let pool = self.pool.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = timeout(self.patience, self.places.acquire_many(self.max)).await;
        self.places.close();
        drop(pool);
    }

    fn pool(&self) -> Option<Pool<Manager>> {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn busy(&self, what: &str, or: &str) -> StoreError {
        let waited = crate::domain::Period(self.patience);
        StoreError::new(
            StoreErrorKind::Busy,
            format!("cannot {what}: no reader of {} was free within {waited}{or}", self.max),
        )
        .hint(
            "see `wait` and `query` in `agentctl status -o json`; raise store.readers_max if they are short",
        )
    }
}

/// r2d2_sqlite's manager, our settings on what it makes, and an eye on what comes back.
struct Manager {
    plain: SqliteConnectionManager,
    regime: Regime,
}

impl Manager {
    fn new(path: &Path, regime: Regime) -> Self {
        Self { plain: SqliteConnectionManager::file(path).with_flags(open::reader_flags()), regime }
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = StoreError;

    fn connect(&self) -> Result<Connection> {
        let connection =
            self.plain.connect().map_err(|error| StoreError::from_sqlite("open a reader", &error))?;
        open::reader(&connection, self.regime)?;
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<()> {
        connection
            .query_row("SELECT 1", [], |_| Ok(()))
            .map_err(|error| StoreError::from_sqlite("ask a reader", &error))
    }

    /// A transaction left open would pin an old snapshot (and the WAL) for as long as the connection lives.
    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_autocommit()
    }
}

#[derive(Debug)]
struct Tell;

impl HandleError<StoreError> for Tell {
    fn handle_error(&self, error: StoreError) {
        tracing::warn!(%error, "a reader could not be opened");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Scratch, event, until};

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let store = Scratch::new();
        let wrote =
            |sql: &'static str| store.read("write", move |connection| Ok(connection.execute(sql, [])?));
        for sql in ["DELETE FROM meta", "CREATE TABLE t (x)", "INSERT INTO desires VALUES ('a', 1, 1)"] {
            let error = wrote(sql).await.expect_err(sql);
            assert_eq!(error.kind, StoreErrorKind::Failed, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_reader_with_an_open_transaction_never_comes_back() {
        let store = Scratch::tiny(Regime::DURABLE);
        for _ in 0..5 {
            let left_open = store
                .read("leave a transaction open", |connection| {
                    connection.execute_batch("BEGIN; SELECT count(*) FROM events")?;
                    Ok(())
                })
                .await;
            assert!(left_open.is_ok());
        }
        store.record_event(event("new")).await.expect("recorded");
        for _ in 0..5 {
            assert_eq!(store.events(0, 9).await.expect("read").len(), 1, "an old snapshot was read");
        }
    }

    #[tokio::test]
    async fn the_pool_fills_by_itself_and_stays_within_its_bounds() {
        let settings = StoreSettings { readers_min: 3, readers_max: 5, ..StoreSettings::default() };
        let store = Scratch::with(&settings, Regime::DURABLE);
        until("three readers are open", || store.stats().readers >= 3).await;
        store.time_queries(200, 40).await.expect("all are served");
        let stats = store.stats();
        assert!((3..=5).contains(&stats.readers), "{stats:?}");
        assert_eq!((stats.readers_max, stats.wait.count, stats.query.count), (5, 200, 200));
    }

    #[tokio::test]
    async fn settings_that_make_no_sense_make_a_small_pool_and_no_panic() {
        let none = StoreSettings {
            readers_min: 7,
            readers_max: 0,
            write_queue: 0,
            idle_timeout: crate::domain::Period::default(),
            max_age: crate::domain::Period::default(),
            ..StoreSettings::default()
        };
        let store = Scratch::with(&none, Regime::DURABLE);
        store.record_event(event("x")).await.expect("recorded");
        assert_eq!(store.events(0, 9).await.expect("read").len(), 1);
    }
}
