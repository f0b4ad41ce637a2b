//! Looks that are folded once and only once, whatever happens between; bounds; what is damaged, closed or killed.
use super::{Encoded, MetricTier};
use crate::{
    config::StoreSettings,
    domain::{Distribution, Labels, Measure, MetricKind, MetricSeries, MetricUnit, Summary},
    resilience::Clock,
    store::{Store, StoreErrorKind, scratch::Scratch},
};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

/// A full hour, two hours before midnight.
const BEGIN: i64 = 1_699_999_200;
const MOST: u32 = 1000;
/// Where the child of `a_daemon_killed_while_it_folds_doubles_nothing` writes.
const CHILD: &str = "AGENTD_TEST_METRICS_CHILD";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn series(name: &str, number: u32, kind: MetricKind) -> MetricSeries {
    let labels = Labels::of([("number", &number.to_string())]);
    MetricSeries { name: name.into(), labels, kind, unit: MetricUnit::Count }
}

async fn numbers(store: &Store, count: u32) -> Vec<u32> {
    let kinds = [MetricKind::Gauge, MetricKind::Counter, MetricKind::Histogram];
    let all = (0..count).map(|n| series("x", n, kinds[n as usize % 3])).collect();
    let numbers = store.open_series(all, MOST, Timestamp::UNIX_EPOCH).await.expect("opened");
    numbers.into_iter().map(|number| number.expect("there is room")).collect()
}

/// What is measured at a moment of the n-th series: known again wherever it turns up.
fn measure(n: usize, second: i64) -> Measure {
    let value = (second - BEGIN) as f64 / 10.0 + n as f64;
    match n % 3 {
        0 => Measure::Gauge(value / 8.0),
        1 => Measure::Counter { by: value, seconds: 10.0 },
        _ => Measure::Histogram(Distribution::new([((second - BEGIN).unsigned_abs() % 97 + 1, 2), (500, 1)])),
    }
}

fn tick(numbers: &[u32], second: i64) -> Encoded {
    Encoded::of(numbers.iter().enumerate().map(|(n, id)| (*id, measure(n, second))).collect())
}

async fn keep(store: &Store, numbers: &[u32], from: i64, until: i64) {
    for second in (from..until).step_by(10) {
        assert!(store.keep_tick(at(second), tick(numbers, second)).await.expect("kept"));
    }
}

async fn read(store: &Store, numbers: &[u32], tier: MetricTier, hours: i64) -> Vec<Vec<(i64, Summary)>> {
    let until = at(BEGIN + hours * 3600);
    store.metric_summaries(numbers.to_vec(), tier, at(BEGIN), until).await.expect("read")
}

/// From all looks directly.
fn direct(n: usize, seconds: impl Iterator<Item = i64>) -> Option<Summary> {
    seconds.map(|second| Summary::of(measure(n, second))).reduce(|mut sum, next| {
        sum.add(&next);
        sum
    })
}

#[tokio::test]
async fn what_is_folded_says_the_same_as_what_was_seen() {
    let store = Scratch::new();
    let ids = numbers(&store, 6).await;
    keep(&store, &ids, BEGIN, BEGIN + 2 * 3600 + 600).await;
    let mut before = Vec::new();
    for tier in MetricTier::ALL {
        before.push(read(&store, &ids, tier, 3).await);
    }
    let folded = store.fold_metrics(at(BEGIN + 2 * 3600 + 700)).await.expect("folded");
    assert_eq!((folded.hours, folded.ticks, folded.chunks), (2, 720, 2 * 6 * 3));
    for (tier, before) in MetricTier::ALL.into_iter().zip(before) {
        assert_eq!(read(&store, &ids, tier, 3).await, before, "{tier:?}");
        for (n, slots) in before.iter().enumerate() {
            assert_eq!(i64::try_from(slots.len()), Ok((2 * 3600 + 600 + tier.step_s() - 1) / tier.step_s()));
            for (second, summary) in slots {
                let end = (second + tier.step_s()).min(BEGIN + 2 * 3600 + 600);
                let want = direct(n, (*second..end).step_by(10));
                assert_eq!(Some(summary), want.as_ref(), "{tier:?} {n} {second}");
            }
        }
    }
    assert_eq!(store.fold_metrics(at(BEGIN + 2 * 3600 + 800)).await.expect("folded").hours, 0);
}

#[tokio::test]
async fn folding_again_what_was_folded_half_doubles_nothing() {
    let store = Scratch::new();
    let ids = numbers(&store, 4).await;
    keep(&store, &ids, BEGIN, BEGIN + 3600).await;
    let whole = read(&store, &ids, MetricTier::TenSeconds, 1).await;
    store.fold_metrics(at(BEGIN + 3700)).await.expect("folded");
    // As if the daemon had ended before it let go of them: read, and folded, once more.
    keep(&store, &ids, BEGIN, BEGIN + 3600).await;
    let hours = read(&store, &ids, MetricTier::Hours, 1).await;
    assert_eq!(hours[0][0].1, direct(0, (BEGIN..BEGIN + 3600).step_by(10)).expect("a sum"));
    for _ in 0..2 {
        store.fold_metrics(at(BEGIN + 3800)).await.expect("folded");
        assert_eq!(read(&store, &ids, MetricTier::TenSeconds, 1).await, whole);
        assert_eq!(read(&store, &ids, MetricTier::Hours, 1).await, hours);
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_fills_gaps_and_overwrites_nothing() {
    let store = Scratch::new();
    let ids = numbers(&store, 1).await;
    keep(&store, &ids, BEGIN, BEGIN + 1800).await;
    let again = Encoded::of(vec![(ids[0], Measure::Gauge(-1.0))]);
    assert!(
        !store.keep_tick(at(BEGIN + 5), again.clone()).await.expect("answered"),
        "one look was kept twice"
    );
    store.fold_metrics(at(BEGIN + 3700)).await.expect("folded");
    // The hour is folded, and it is that hour once more.
    assert!(store.keep_tick(at(BEGIN), again.clone()).await.expect("kept"));
    keep(&store, &ids, BEGIN + 1800, BEGIN + 3600).await;
    store.fold_metrics(at(BEGIN + 3700)).await.expect("folded");
    let slots = read(&store, &ids, MetricTier::TenSeconds, 1).await;
    assert_eq!(slots[0].len(), 360);
    assert_eq!(slots[0][0].1, Summary::of(measure(0, BEGIN)), "what was there first is gone");
    let hour = read(&store, &ids, MetricTier::Hours, 1).await;
    assert_eq!(hour[0][0].1, direct(0, (BEGIN..BEGIN + 3600).step_by(10)).expect("a sum"));
    assert!(!store.keep_tick(at(-50), again).await.expect("answered"), "before 1970");
    // What a clock put into the future is folded, too, and is in nobody's way.
    assert!(store.keep_tick(at(BEGIN + 90 * 86400), tick(&ids, BEGIN)).await.expect("kept"));
    assert_eq!(store.fold_metrics(at(BEGIN + 3800)).await.expect("folded").hours, 1);
}

#[tokio::test]
async fn a_gap_is_no_zero_at_any_fineness() {
    let store = Scratch::new();
    let ids = numbers(&store, 1).await;
    keep(&store, &ids, BEGIN, BEGIN + 300).await;
    keep(&store, &ids, BEGIN + 3 * 3600, BEGIN + 3 * 3600 + 60).await;
    store.fold_metrics(at(BEGIN + 9 * 3600)).await.expect("folded");
    let seconds =
        |slots: &[(i64, Summary)]| slots.iter().map(|(second, _)| second - BEGIN).collect::<Vec<_>>();
    let minutes = read(&store, &ids, MetricTier::Minutes, 9).await;
    assert_eq!(seconds(&minutes[0]), [0, 60, 120, 180, 240, 10_800]);
    assert_eq!(seconds(&read(&store, &ids, MetricTier::Hours, 9).await[0]), [0, 10_800]);
}

#[tokio::test]
async fn one_series_too_many_is_refused_and_one_that_ended_makes_room() {
    let store = Scratch::new();
    let gauge = |n| series("x", n, MetricKind::Gauge);
    let open = |series, live_since| store.open_series(series, 3, live_since);
    let first = open((0..4).map(gauge).collect(), Timestamp::UNIX_EPOCH).await.expect("answered");
    assert_eq!(first.iter().flatten().count(), 3);
    assert_eq!(first[3], None);
    let again = open((0..4).map(gauge).collect(), Timestamp::UNIX_EPOCH).await.expect("answered");
    assert_eq!(again, first, "the same name is the same number");
    // Nothing was kept of them since: there is room, and they still have their numbers.
    let later = store.now() + jiff::SignedDuration::from_hours(1);
    assert!(open(vec![gauge(3)], later).await.expect("answered")[0].is_some());
    let known = store.metric_series(Some("x".into())).await.expect("read");
    assert_eq!(known.len(), 4);
    let other_kind = vec![series("x", 0, MetricKind::Counter)];
    assert_eq!(open(other_kind, Timestamp::UNIX_EPOCH).await.expect("answered"), [None]);
}

#[tokio::test]
async fn each_fineness_is_kept_for_its_time_and_what_is_left_of_nothing_goes() {
    let store = Scratch::new();
    let ids = numbers(&store, 3).await;
    for day in 0..4 {
        keep(&store, &ids, BEGIN + day * 86400, BEGIN + day * 86400 + 120).await;
    }
    let now = at(BEGIN + 4 * 86400);
    store.fold_metrics(now).await.expect("folded");
    let oldest = |days: [i64; 3]| {
        let mut days = days.into_iter();
        MetricTier::ALL.map(|tier| (tier, at(BEGIN + days.next().expect("three") * 86400)))
    };
    let count =
        async |tier| store.metric_summaries(vec![ids[0]], tier, at(BEGIN), now).await.expect("read")[0].len();
    assert_eq!(
        store.prune_metrics(oldest([0, 0, 0])).await.expect("pruned"),
        0,
        "it deleted what is to be kept"
    );
    assert_eq!(store.prune_metrics(oldest([3, 2, 0])).await.expect("pruned"), 3 * 3 + 2 * 3);
    assert_eq!(
        [
            count(MetricTier::TenSeconds).await,
            count(MetricTier::Minutes).await,
            count(MetricTier::Hours).await
        ],
        [12, 2 * 2, 4]
    );
    store.prune_metrics(oldest([9, 9, 9])).await.expect("pruned");
    assert_eq!(count(MetricTier::Hours).await, 0);
    assert_eq!(store.metric_series(None).await.expect("read").len(), 3, "they were seen just now");
    let ever = MetricTier::ALL.map(|tier| (tier, store.now() + jiff::SignedDuration::from_hours(1)));
    store.prune_metrics(ever).await.expect("pruned");
    assert_eq!(store.metric_series(None).await.expect("read"), []);
}

#[tokio::test]
async fn a_damaged_chunk_or_look_is_a_gap_and_no_end() {
    let store = Scratch::new();
    let ids = numbers(&store, 2).await;
    keep(&store, &ids, BEGIN, BEGIN + 7200).await;
    store.fold_metrics(at(BEGIN + 3700)).await.expect("folded");
    let (first, hour) = (ids[0], BEGIN / 3600);
    store
        .write("damage it", move |connection| {
            let key = MetricTier::TenSeconds.key(hour, first);
            let sql = "UPDATE metric_chunks SET body = x'10ffffffffff' WHERE id = ?1";
            assert_eq!(connection.execute(sql, [key])?, 1);
            let at = (BEGIN + 3600) * 1_000_000_000;
            assert_eq!(connection.execute("UPDATE metric_ticks SET body = x'ff' WHERE at = ?1", [at])?, 1);
            Ok(())
        })
        .await
        .expect("damaged");
    let slots = read(&store, &ids, MetricTier::TenSeconds, 2).await;
    assert_eq!((slots[0].len(), slots[1].len()), (359, 360 + 359));
    assert_eq!(store.fold_metrics(at(BEGIN + 7300)).await.expect("folded").ticks, 360);
    assert_eq!(read(&store, &ids, MetricTier::TenSeconds, 2).await[1].len(), 360 + 359);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = Scratch::new();
    let ids = numbers(&store, 1).await;
    store.close().await;
    let kept = store.keep_tick(at(BEGIN), tick(&ids, BEGIN)).await;
    assert_eq!(kept.map_err(|error| error.kind), Err(StoreErrorKind::Closed));
    let folded = store.fold_metrics(at(BEGIN)).await;
    assert_eq!(folded.map(drop).map_err(|error| error.kind), Err(StoreErrorKind::Closed));
}

/// Keeps looks of hour after hour, one a minute, and folds each hour, and says which are on the disk.
async fn record_until_killed(home: &Path) {
    let store = Store::open(&home.join("agentd.db"), home, &StoreSettings::default(), Clock::system())
        .expect("opens");
    let ids = numbers(&store, 450).await;
    let from =
        store.metric_summaries(ids.clone(), MetricTier::TenSeconds, at(BEGIN), at(BEGIN + 400 * 3600)).await;
    let from = from.expect("read")[0].last().map_or(BEGIN, |(second, _)| second + 60);
    for second in (from..).step_by(60) {
        store.keep_tick(at(second), tick(&ids, second)).await.expect("kept");
        writeln!(io::stdout(), "ack {second}").expect("the parent listens");
        if second % 3600 == 600 {
            store.fold_metrics(at(second)).await.expect("folded");
        }
    }
}

#[tokio::test]
async fn a_daemon_killed_while_it_folds_doubles_nothing() {
    if let Some(home) = env::var_os(CHILD) {
        return record_until_killed(Path::new(&home)).await;
    }
    let home = tempfile::tempdir().expect("a directory");
    let mut acknowledged = BTreeSet::new();
    // Somewhere in a look, in its commit, or in one of the steps of a folding: two series of three chunks a write.
    for round in 0..6_u64 {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg("store::metrics::tests::a_daemon_killed_while_it_folds_doubles_nothing")
            .env(CHILD, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let acks = |line: &String| line.split("ack ").nth(1).and_then(|text| text.trim().parse::<i64>().ok());
        let mut told = Vec::new();
        // The look after which it folds, and a moment more.
        while told.last().is_none_or(|second: &i64| second % 3600 != 600) {
            told.extend(
                lines.next().expect("the child wrote less than it should").ok().as_ref().and_then(acks),
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(25 * round));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let rest: Vec<String> = lines.map_while(std::result::Result::ok).collect();
        // The last line may be cut short; one that is whole was acknowledged.
        told.extend(rest.iter().take(rest.len().saturating_sub(1)).filter_map(acks));
        acknowledged.extend(told);
    }
    let path = home.path().join("agentd.db");
    let store = Store::open(&path, home.path(), &StoreSettings::default(), Clock::system()).expect("opens");
    let ids = numbers(&store, 450).await;
    let last = *acknowledged.last().expect("some");
    let hours = (last - BEGIN) / 3600 + 2;
    for folded in [false, true] {
        if folded {
            store.fold_metrics(at(BEGIN + 500 * 3600)).await.expect("folded");
        }
        for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 149 == 0) {
            let slots = &read(&store, &[*id], MetricTier::TenSeconds, hours).await[0];
            let seconds: BTreeSet<i64> = slots.iter().map(|(second, _)| *second).collect();
            assert_eq!(seconds.len(), slots.len(), "a look is there twice");
            let lost: Vec<_> = acknowledged.difference(&seconds).collect();
            assert!(lost.is_empty(), "{} acknowledged looks are gone: {lost:?}", lost.len());
            for (second, summary) in slots {
                assert_eq!(*summary, Summary::of(measure(n, *second)), "{n} at {second}");
            }
            for (hour, sum) in &read(&store, &[*id], MetricTier::Hours, hours).await[0] {
                let there = seconds.range(hour..&(hour + 3600)).copied();
                assert_eq!(Some(sum), direct(n, there).as_ref(), "{n}: the hour {hour}");
            }
        }
    }
}
