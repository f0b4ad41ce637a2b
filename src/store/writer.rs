//! One thread owns the one connection that writes. Whatever waits is committed together: one sync for many callers.
//! A savepoint per operation keeps one failure (or panic) from its neighbours; nobody is told "done" before COMMIT.
use super::{
    StoreError, StoreErrorKind,
    audit::Pulse,
    error::{Answer, Result},
    latency::Latency,
    open::Regime,
};
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    sync::{
        mpsc::{self, error::SendTimeoutError, error::TrySendError},
        oneshot,
    },
    task::spawn_blocking,
    time::timeout,
};

/// Bounds how long the first of a batch waits for the last.
const LARGEST_BATCH: usize = 512;

/// How long `close` waits for what is queued; the thread finishes it in any case.
const CLOSING: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    queue: RwLock<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
    /// How long a write waits for a place in the queue.
    patience: Duration,
}

#[derive(Default)]
pub(super) struct Counts {
    /// From handing in to COMMIT.
    pub latency: Latency,
    /// Transactions.
    pub commits: AtomicU64,
    /// Operations in them that were kept.
    pub writes: AtomicU64,
}

impl Writer {
    /// `places` may wait at a time; at least one.
    pub fn start(
        connection: Connection,
        places: u32,
        patience: Duration,
        regime: Regime,
        pulse: Arc<Pulse>,
    ) -> Result<Self> {
        let (queue, jobs) = mpsc::channel(usize::try_from(places.max(1)).unwrap_or(usize::MAX >> 4));
        let counts = Arc::new(Counts::default());
        let told = counts.clone();
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || work(connection, jobs, &told, regime, &pulse))
            .map_err(|error| {
                StoreError::new(StoreErrorKind::Failed, format!("cannot start the writer: {error}"))
            })?;
        Ok(Self { queue: RwLock::new(Some(queue)), thread: Mutex::new(Some(thread)), counts, patience })
    }

    /// Runs `operation` inside the next transaction and answers once that is on the disk. `what` completes
    /// "cannot …". Dropping the returned future does not take a queued operation back.
    ///
    /// The wait for a place has a limit. The wait for COMMIT has none of its own: giving up would leave the caller
    /// not knowing whether it is kept. It ends with the commit, with its failure, or with the writer (`Closed`).
    pub async fn write<T, F>(&self, what: &'static str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let since = Instant::now();
        let job = Box::new(Task { what, since, operation: Some(operation), answer: None, reply });
        self.hand_in(what, job).await?;
        wait(answer).await.unwrap_or_else(|| Err(StoreError::closed(what)))
    }

    /// Waiting now.
    pub fn queued(&self) -> usize {
        self.queue().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Commits what is queued and ends the thread. The first caller waits for that, at most 30 s.
    pub async fn close(&self) {
        self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = timeout(CLOSING, spawn_blocking(move || thread.join())).await;
        }
    }

    fn queue(&self) -> Option<mpsc::Sender<Box<dyn Job>>> {
        self.queue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Our copy of the sender is gone when this returns: a writer told to close waits for the last one.
    async fn hand_in(&self, what: &'static str, job: Box<dyn Job>) -> Result<()> {
        let queue = self.queue().ok_or_else(|| StoreError::closed(what))?;
        let job = match queue.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(StoreError::closed(what)),
            Err(TrySendError::Full(job)) => job,
        };
        match queue.send_timeout(job, self.patience).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(StoreError::closed(what)),
            Err(SendTimeoutError::Timeout(_)) => Err(StoreError::new(
                StoreErrorKind::Busy,
                format!("cannot {what}: {} writes are waiting already", queue.max_capacity()),
            )
            .hint("the disk does not keep up: look at `commit` in `agentctl status -o json`")),
        }
    }
}

#[cfg(not(test))]
async fn wait<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    answer.await.ok()
}

/// Unit tests pause tokio's time, and paused time leaps ahead as soon as no task can run. The writer is a thread
/// that tokio knows nothing of; a blocking task holds time still until it has committed.
#[cfg(test)]
async fn wait<T: Send + 'static>(answer: oneshot::Receiver<T>) -> Option<T> {
    spawn_blocking(move || answer.blocking_recv().ok()).await.ok().flatten()
}

/// An operation on its way, whatever it returns.
trait Job: Send {
    /// Keeps the answer to itself; says whether what it wrote is to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Its transaction is gone. A failure of its own stays.
    fn lose(&mut self, error: &rusqlite::Error);
    /// Tells the caller. Returns when it was handed in, if it was kept.
    fn settle(self: Box<Self>) -> Option<Instant>;
}

struct Task<T, F> {
    what: &'static str,
    since: Instant,
    operation: Option<F>,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Answer<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(operation) = self.operation.take() else { return false };
        // What it leaves half done on the connection is rolled back to the savepoint, so nothing broken is seen.
        let answer = match catch_unwind(AssertUnwindSafe(|| operation(connection))) {
            Ok(answer) => answer.map_err(|trouble| trouble.of(self.what)),
            Err(_) => Err(StoreError::panicked(self.what)),
        };
        self.answer.insert(answer).is_ok()
    }

    fn lose(&mut self, error: &rusqlite::Error) {
        if !matches!(self.answer, Some(Err(_))) {
            self.answer = Some(Err(StoreError::from_sqlite(self.what, error)));
        }
    }

    fn settle(self: Box<Self>) -> Option<Instant> {
        let answer = self.answer.unwrap_or_else(|| Err(StoreError::closed(self.what)));
        let kept = answer.is_ok().then_some(self.since);
        // A caller that went away is no failure: its write is kept.
        let _ = self.reply.send(answer);
        kept
    }
}

fn work(
    connection: Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    counts: &Counts,
    regime: Regime,
    pulse: &Pulse,
) {
    let mut batch = Vec::new();
    while jobs.blocking_recv_many(&mut batch, LARGEST_BATCH) > 0 {
        match transact(&connection, &mut batch, regime) {
            Ok(()) => {
                counts.commits.fetch_add(1, Ordering::Relaxed);
                pulse.committed(&connection);
            }
            Err(error) => {
                tracing::warn!(operations = batch.len(), %error, "a batch of writes was lost");
                for job in &mut batch {
                    job.lose(&error);
                }
                if !connection.is_autocommit() {
                    // Nothing is left to undo it with if this fails too; the next BEGIN then says so.
                    let _ = connection.execute_batch("ROLLBACK");
                }
            }
        }
        let now = Instant::now();
        let mut kept = 0;
        let settled = batch.drain(..).filter_map(Job::settle);
        counts.latency.record_all(settled.inspect(|_| kept += 1).map(|since| now - since));
        counts.writes.fetch_add(kept, Ordering::Relaxed);
    }
    pulse.close();
    // So that the file alone is the whole state; if a reader is in the way the WAL stays and is read at the next start.
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database was not closed cleanly");
    }
}

fn transact(connection: &Connection, batch: &mut Vec<Box<dyn Job>>, regime: Regime) -> rusqlite::Result<()> {
    if regime.transact {
        step(connection, "BEGIN IMMEDIATE")?;
    }
    for job in batch.iter_mut() {
        step(connection, "SAVEPOINT operation")?;
        if !job.run(connection) && regime.undo {
            // Where SQLite rolled the whole transaction back by itself (disk full), this fails, and so does the batch.
            step(connection, "ROLLBACK TO operation")?;
        }
        step(connection, "RELEASE operation")?;
    }
    if !regime.commit_first {
        for job in batch.drain(..) {
            job.settle();
        }
    }
    if regime.transact { step(connection, "COMMIT") } else { Ok(()) }
}

fn step(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        error::Trouble,
        scratch::{Scratch, event, until},
    };
    use futures_util::future::join_all;
    use std::sync::mpsc as gate;

    /// Occupies the writer until the returned sender is dropped.
    async fn hold(store: &Scratch) -> (gate::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
        let (open, held) = gate::channel::<()>();
        let (told, mut started) = mpsc::unbounded_channel();
        let store = store.store.clone();
        let holder = tokio::spawn(async move {
            let hold = move |_: &Connection| {
                let _ = told.send(());
                let _ = held.recv_timeout(Duration::from_secs(20));
                Ok(())
            };
            store.write("hold the writer", hold).await
        });
        started.recv().await.expect("the writer runs");
        (open, holder)
    }

    #[tokio::test]
    async fn one_failing_and_one_panicking_write_of_fifty_cost_the_others_nothing() {
        let store = Scratch::new();
        let (open, holder) = hold(&store).await;
        let before = store.stats().commits;
        let writes = (0..50).map(|number| {
            store.write("write one of fifty", move |connection| {
                let sql = "INSERT INTO events (at, kind, text) VALUES (0, 'agent-ready', ?1)";
                connection.execute(sql, [number.to_string()])?;
                match number {
                    13 => Err(Trouble::Said(StoreError::new(StoreErrorKind::Failed, "cannot: on purpose"))),
                    37 => std::panic::resume_unwind(Box::new("on purpose")),
                    _ => Ok(number),
                }
            })
        });
        let let_go = async { drop(open) };
        let (ends, ()) = tokio::join!(join_all(writes), let_go);
        holder.await.expect("no panic").expect("held");
        for (number, end) in ends.iter().enumerate() {
            match (number, end) {
                (13 | 37, Err(error)) => assert_eq!(error.kind, StoreErrorKind::Failed),
                (_, Ok(answer)) => assert_eq!(*answer, number),
                (_, end) => panic!("{number} ended with {end:?}"),
            }
        }
        assert_eq!(store.stats().commits, before + 2, "the fifty did not share a transaction");
        let store = store.reopen().await;
        let kept: Vec<_> = store.events(0, 99).await.expect("read").into_iter().map(|e| e.text).collect();
        let wanted: Vec<_> = (0..50).filter(|n| ![13, 37].contains(n)).map(|n| n.to_string()).collect();
        assert_eq!(kept, wanted);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_after_its_patience_and_takes_writes_again() {
        let store = Scratch::tiny(Regime::DURABLE);
        let (open, holder) = hold(&store).await;
        let waiting: Vec<_> = (0..4)
            .map(|n| {
                let store = store.store.clone();
                tokio::spawn(async move { store.record_event(event(format!("{n}"))).await })
            })
            .collect();
        until("four writes queued", || store.stats().write_queue == 4).await;
        let asked = Instant::now();
        let error = store.record_event(event("one too many")).await.expect_err("taken");
        assert_eq!(error.kind, StoreErrorKind::Busy);
        assert!(asked.elapsed() >= Duration::from_millis(140), "it did not wait for a place");
        drop(open);
        holder.await.expect("no panic").expect("held");
        for write in waiting {
            write.await.expect("no panic").expect("written");
        }
        store.record_event(event("again")).await.expect("written");
        let texts: Vec<_> = store.events(0, 9).await.expect("read").into_iter().map(|e| e.text).collect();
        assert_eq!(texts, ["0", "1", "2", "3", "again"]);
    }

    #[tokio::test]
    async fn when_commit_fails_nobody_is_told_that_it_is_kept() {
        let store = Scratch::new();
        let (open, holder) = hold(&store).await;
        let innocent = store.record_event(event("innocent"));
        let breaks_at_commit = store.write("break the commit", |connection| {
            connection.execute_batch(
                "PRAGMA defer_foreign_keys = ON; INSERT INTO reports (run, body) VALUES (99, '{}')",
            )?;
            Ok(())
        });
        let let_go = async { drop(open) };
        let (innocent, broken, ()) = tokio::join!(innocent, breaks_at_commit, let_go);
        holder.await.expect("no panic").expect("it was in a batch of its own");
        assert_eq!(innocent.map_err(|e| e.kind), Err(StoreErrorKind::Conflict));
        assert_eq!(broken.map_err(|e| e.kind), Err(StoreErrorKind::Conflict));
        assert_eq!(store.events(0, 9).await.expect("read"), []);
        store.record_event(event("next")).await.expect("the writer goes on");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_does_not_take_its_write_back() {
        let store = Scratch::new();
        let (open, holder) = hold(&store).await;
        let writer = store.store.clone();
        let caller = tokio::spawn(async move { writer.record_event(event("kept")).await });
        until("the write is queued", || store.stats().write_queue == 1).await;
        caller.abort();
        drop(open);
        holder.await.expect("no panic").expect("held");
        let store = store.reopen().await;
        assert_eq!(store.events(0, 9).await.expect("read").len(), 1);
    }
}
