//! What the chain costs: rows of the audit trail by 64 callers under group commit, against the same columns and index
//! without hash and anchors, in the same store. Criterion times both; then alternating rounds in the same minute give
//! the ratio that the project promises (≥ 0.8).
use agentctl::{config::StoreSettings, resilience::Clock, store::Store};
use criterion::{Criterion, Throughput};
use std::{path::Path, time::Duration};
use tokio::runtime::Runtime;

const CALLERS: usize = 64;
const ROWS: usize = CALLERS * 50;

fn rows(runtime: &Runtime, home: &Path, chained: bool) -> Duration {
    let (file, backups) = (home.join("agentd.db"), home.join("backups"));
    let store = Store::open(&file, &backups, &StoreSettings::default(), Clock::system()).expect("opens");
    runtime.block_on(async {
        let took = store.time_rows(ROWS, CALLERS, chained).await.expect("timed");
        store.close().await;
        took
    })
}

/// `ROWS` per round, scaled to what Criterion asks for.
fn per(iterations: u64, round: impl Fn() -> Duration) -> Duration {
    (0..iterations).map(|_| round()).sum::<Duration>() / u32::try_from(ROWS).unwrap_or(1)
}

fn main() {
    let home = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new().expect("a runtime");
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("audit, 64 callers");
    group.throughput(Throughput::Elements(1));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for (name, chained) in [("a plain row", false), ("a chained row", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|n| per(n, || rows(&runtime, home.path(), chained)));
        });
    }
    group.finish();

    let mut ratios = Vec::new();
    for round in 1..=9 {
        let rate = |chained| ROWS as f64 / rows(&runtime, home.path(), chained).as_secs_f64();
        // Neither is always the second.
        let (plain, chained) = if round % 2 == 0 {
            let chained = rate(true);
            (rate(false), chained)
        } else {
            (rate(false), rate(true))
        };
        println!("round {round}: plain {plain:.0}/s, chained {chained:.0}/s");
        ratios.push(chained / plain);
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio, median of 9: {:.2} (goal: at least 0.8)", ratios[ratios.len() / 2]);
}
