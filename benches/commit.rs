//! Group commit of 64 callers against a transaction each, the same file system, `synchronous=FULL` every time: by as many
//! connections that contend, and by a single one that nobody disturbs. Criterion times them; then alternating rounds in
//! the same minute give the ratio that the project promises (≥ 10), to be judged by the kinder baseline.
use agentctl::{
    config::StoreSettings,
    domain::{Event, EventKind},
    resilience::Clock,
    store::Store,
};
use criterion::{Criterion, Throughput};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::{
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet};

const CALLERS: usize = 64;
const TEXT: &str = "orders/1 is ready after 3 s";

/// `writes` events by 64 tasks through the one writer, each waiting for its COMMIT before its next.
fn grouped(runtime: &Runtime, home: &Path, writes: usize) -> Duration {
    let (file, backups) = (home.join("grouped.db"), home.join("backups"));
    let store = Store::open(&file, &backups, &StoreSettings::default(), Clock::system()).expect("opens");
    runtime.block_on(async {
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let store = store.clone();
            callers.spawn(async move {
                for _ in 0..writes / CALLERS {
                    let event = Event {
                        seq: 0,
                        at: Timestamp::UNIX_EPOCH,
                        kind: EventKind::AgentReady,
                        instance: None,
                        text: TEXT.into(),
                    };
                    store.record_event(event).await.expect("recorded");
                }
            });
        }
        callers.join_all().await;
        let took = began.elapsed();
        store.close().await;
        took
    })
}

/// The same rows by so many threads, each with a connection of its own and a transaction for each row.
fn one_each(home: &Path, callers: usize, writes: usize) -> Duration {
    let file = home.join("one-each.db");
    let open = || {
        let connection = Connection::open(&file).expect("opens");
        connection.busy_timeout(Duration::from_secs(60)).expect("set");
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").expect("set");
        connection
    };
    open()
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,
             kind TEXT NOT NULL, instance TEXT, text TEXT NOT NULL) STRICT;
             CREATE INDEX IF NOT EXISTS events_at ON events (at)",
        )
        .expect("a table");
    let start = Barrier::new(callers + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                scope.spawn(|| {
                    let connection = open();
                    start.wait();
                    for _ in 0..writes / callers {
                        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
                        connection
                            .prepare_cached("INSERT INTO events (at, kind, text) VALUES (?1, ?2, ?3)")
                            .and_then(|mut insert| insert.execute(params![0, "agent-ready", TEXT]))
                            .expect("inserted");
                        connection.execute_batch("COMMIT").expect("committed");
                    }
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        for thread in threads {
            thread.join().expect("no panic");
        }
        began.elapsed()
    })
}

/// `writes` per round, scaled to what Criterion asks for.
fn per(iterations: u64, writes: usize, round: impl Fn() -> Duration) -> Duration {
    (0..iterations).map(|_| round()).sum::<Duration>() / u32::try_from(writes).unwrap_or(1)
}

fn main() {
    let home = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new().expect("a runtime");
    let (many, few) = (64 * 100, 64 * 4);

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("commit, 64 callers");
    group.throughput(Throughput::Elements(1));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("group commit, a write", |bencher| {
        bencher.iter_custom(|n| per(n, many, || grouped(&runtime, home.path(), many)));
    });
    group.bench_function("a transaction each, a write", |bencher| {
        bencher.iter_custom(|n| per(n, few, || one_each(home.path(), CALLERS, few)));
    });
    group.bench_function("a transaction each on one connection, a write", |bencher| {
        bencher.iter_custom(|n| per(n, few, || one_each(home.path(), 1, few)));
    });
    group.finish();

    let mut ratios = Vec::new();
    for round in 1..=5 {
        let ours = many as f64 / grouped(&runtime, home.path(), many).as_secs_f64();
        let crowd = few as f64 / one_each(home.path(), CALLERS, few).as_secs_f64();
        let alone = few as f64 / one_each(home.path(), 1, few).as_secs_f64();
        println!(
            "round {round}: group commit {ours:.0}/s, a transaction each {crowd:.0}/s by 64 and {alone:.0}/s by one"
        );
        ratios.push((ours / crowd, ours / alone));
    }
    let median = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    println!(
        "ratio, median of 5: {:.1} to one connection alone, {:.1} to 64 that contend (goal: at least 10)",
        median(ratios.iter().map(|(_, alone)| *alone).collect()),
        median(ratios.iter().map(|(crowd, _)| *crowd).collect())
    );
}
