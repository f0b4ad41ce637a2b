//! What metrics cost: 3,000 series over a day of simulated time, kept, folded and asked for; the disk that their whole
//! retention comes to.
//!
//!     cargo bench --bench metrics                  # SERIES=3000 HOURS=26
//!
//! Promised: a day of one series in less than 50 ms, warm, and less than 2 GB of disk.
use agentctl::{
    config::{MetricsSettings, Settings, StoreSettings},
    domain::{Distribution, Labels, Measure, MetricKind, MetricSeries, MetricUnit},
    metrics::{Asked, Metrics, MetricsParts},
    resilience::Clock,
    store::{Encoded, Store},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::watch};

fn main() {
    let number =
        |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (series, hours) = (number("SERIES", 3_000_u32), number("HOURS", 26_u32));
    let home = tempfile::tempdir().expect("a directory");
    Runtime::new().expect("a runtime").block_on(run(home.path(), series, hours));
}

async fn run(home: &Path, series: u32, hours: u32) {
    let path = home.join("agentd.db");
    let clock = Clock::system();
    let store = Store::open(&path, home, &StoreSettings::default(), clock.clone()).expect("opens");
    let now = clock.now();
    let begin = now.as_second().div_euclid(3600) * 3600 - i64::from(hours) * 3600;
    let names = (0..series).map(named).collect();
    let ids = store.open_series(names, series, Timestamp::UNIX_EPOCH).await.expect("opened");
    let ids: Vec<u32> = ids.into_iter().flatten().collect();
    let mut walk: Vec<f64> = ids.iter().map(|id| f64::from(*id % 97) * 4096.0 * 100.0).collect();
    let (mut bytes, mut keeping, mut folding) = (0, Vec::new(), Vec::new());
    for hour in 0..hours {
        for slot in 0..360 {
            let second = begin + i64::from(hour) * 3600 + slot * 10;
            let measures = ids.iter().zip(&mut walk).map(|(id, at)| (*id, measure(*id, at))).collect();
            let began = Instant::now();
            let encoded = Encoded::of(measures);
            bytes += encoded.len();
            store.keep_tick(Timestamp::from_second(second).expect("a time"), encoded).await.expect("kept");
            keeping.push(began.elapsed());
        }
        // The last hour is left as looks: a query meets both.
        if hour + 1 < hours {
            let began = Instant::now();
            let next = Timestamp::from_second(begin + i64::from(hour + 1) * 3600).expect("a time");
            store.fold_metrics(next).await.expect("folded");
            folding.push(began.elapsed());
        }
    }
    let samples = f64::from(series) * f64::from(hours) * 360.0;
    println!("{series} series, {hours} h, {samples:.0} samples");
    println!(
        "a look on the disk: {:.1} KiB, {} encoded and committed",
        bytes as f64 / f64::from(hours) / 360.0 / 1024.0,
        median(&mut keeping)
    );
    println!("an hour folded: {}", median(&mut folding));
    ask(&store, &clock, now, series).await;
    store.close().await;
    disk(&path, series, hours - 1);
}

async fn ask(store: &Store, clock: &Clock, now: Timestamp, series: u32) {
    let settings = Arc::new(Settings { metrics: MetricsSettings::default(), ..Settings::default() });
    let settings = watch::channel(settings).1;
    let metrics = Metrics::new(MetricsParts { settings, store: store.clone(), clock: clock.clone() });
    // Looks are read series by series: one of the first, and the last that is a plain figure.
    let last = (0..series).rev().find(|number| named(*number).kind == MetricKind::Gauge).unwrap_or_default();
    let last = ("bench_gauge", last.to_string());
    let first = ("bench", "2".to_owned());
    for ((name, number), what, step) in [
        (&first, "10 s", 10),
        (&first, "10 min", 600),
        (&first, "1 h", 3600),
        (&last, "10 s", 10),
        (&last, "10 min", 600),
    ] {
        let asked = Asked {
            name: (*name).into(),
            labels: Labels::of([("number", number)]),
            since: now - SignedDuration::from_hours(24),
            until: now,
            step: Some(Duration::from_secs(step)),
            stat: None,
        };
        let mut took = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            let told = metrics.query(asked.clone()).await.expect("told");
            assert!(!told.series[0].points.is_empty());
            took.push(began.elapsed());
        }
        println!("a day of one {name} by {what}, warm: {}", median(&mut took));
    }
}

/// What the rows of each fineness come to, and so their whole retention.
fn disk(path: &Path, series: u32, hours: u32) {
    let file = rusqlite::Connection::open(path).expect("opens");
    let sum = |tier: i64| -> (f64, f64) {
        let sql = "SELECT total(length(body)), count(*) FROM metric_chunks WHERE id >> 60 = ?1";
        file.query_row(sql, [tier], |row| Ok((row.get(0)?, row.get(1)?))).expect("a sum")
    };
    let days = f64::from(hours) / 24.0;
    let keep = MetricsSettings::default();
    let mut all = 0.0;
    for (tier, name, kept) in
        [(0, "10 s", keep.keep_ten_seconds), (1, "1 min", keep.keep_minutes), (2, "1 h", keep.keep_hours)]
    {
        let (body, rows) = sum(tier);
        // A row has its number and its lengths beside its body, and pages are filled to nine tenths.
        let bytes = (body + rows * 14.0) / 0.9;
        let days_kept = kept.0.as_secs_f64() / 86400.0;
        let points = f64::from(series) * f64::from(hours) * [360.0, 60.0, 1.0][tier as usize];
        println!(
            "{name}: {:.2} bytes a point, {:.0} MB in {days_kept} days",
            bytes / points,
            bytes / days * days_kept / 1e6
        );
        all += bytes / days * days_kept;
    }
    println!(
        "the whole retention: {:.2} GB; the file now: {:.0} MB",
        all / 1e9,
        fs::metadata(path).expect("a file").len() as f64 / 1e6
    );
}

fn named(number: u32) -> MetricSeries {
    let kind = match number % 10 {
        3 | 4 => MetricKind::Counter,
        _ if number < 3 => MetricKind::Histogram,
        _ => MetricKind::Gauge,
    };
    // One name has one kind.
    let name = match kind {
        MetricKind::Gauge => "bench_gauge",
        MetricKind::Counter => "bench_counter",
        MetricKind::Histogram => "bench",
    };
    let labels = Labels::of([("number", &number.to_string())]);
    MetricSeries { name: name.into(), labels, kind, unit: MetricUnit::Count }
}

/// As a fleet has them: flags and counts that stay, memory that wanders by pages, processor time, latencies.
fn measure(id: u32, at: &mut f64) -> Measure {
    let number = id - 1;
    match (number % 10, number) {
        (_, 0..3) => Measure::Histogram(Distribution::new(
            (0..12).map(|_| (fastrand::u64(1..900) * 16, fastrand::u64(1..40))),
        )),
        (3 | 4, _) => Measure::Counter { by: f64::from(fastrand::u32(0..40)) / 100.0, seconds: 10.0 },
        (0 | 1, _) => Measure::Gauge(1.0),
        (5 | 6, _) => Measure::Gauge(f64::from(fastrand::u32(800..9000)) / 1e3),
        (2, _) => Measure::Gauge(f64::from(20 + fastrand::u32(0..3))),
        _ => {
            *at = (*at + f64::from(fastrand::i32(-20..=20)) * 4096.0).max(4096.0);
            Measure::Gauge(*at)
        }
    }
}

fn median(took: &mut [Duration]) -> String {
    took.sort_unstable();
    took.get(took.len() / 2)
        .map_or_else(String::new, |middle| format!("{:.1} ms", middle.as_secs_f64() * 1e3))
}
