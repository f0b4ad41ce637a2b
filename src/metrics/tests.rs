//! The recorder with a clock that is turned by hand, and what `Metrics` answers.
use super::{
    Asked, Metrics, MetricsParts,
    catalogue::{AGENT_CPU, AGENT_MEMORY, DAEMON_MEMORY, REFUSED, REQUESTS, SKIPPED, STORE_QUERY},
    recorder::{Recorder, RecorderParts, keep_house},
    sights::{Memory, Sight, Watch},
};
use crate::{
    config::{MetricsSettings, Settings, StoreSettings},
    domain::{Distribution, ErrorFilter, FaultKind, Labels, Stat},
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// A full hour.
const BEGIN: i64 = 1_699_999_200;

/// Sees what it is told to, a little more with each look.
#[derive(Default)]
struct Script {
    looks: AtomicU64,
    extra: Mutex<Vec<Sight>>,
}

impl Watch for Script {
    fn look(&self, _memory: &mut Memory) -> Vec<Sight> {
        let n = self.looks.fetch_add(1, Ordering::Relaxed) as f64;
        let mut sights = vec![
            Sight::level(DAEMON_MEMORY, Labels::default(), 1000.0 + n),
            Sight::total(REQUESTS, Labels::of([("outcome", "done")]), n * 5.0, None),
            Sight::spread(
                STORE_QUERY,
                Labels::of([("of", "test")]),
                Distribution::new([(1000, 98), (200_000, 2)]),
            ),
        ];
        for agent in ["orders", "billing"] {
            let labels = || Labels::of([("agent", agent), ("instance", &format!("{agent}/0"))]);
            sights.push(Sight::level(AGENT_MEMORY, labels(), 5000.0));
            let busy = if agent == "orders" { 2.0 } else { 1.0 };
            sights.push(Sight::total(AGENT_CPU, labels(), n * busy, Some(1)));
        }
        sights.extend(self.extra.lock().expect("not poisoned").iter().cloned());
        sights
    }
}

struct Scene {
    _home: TempDir,
    store: Store,
    clock: Clock,
    errors: Errors,
    settings: watch::Receiver<Arc<Settings>>,
    script: Arc<Script>,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Scene {
    fn with(metrics: MetricsSettings) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock = Clock::anchored(at(0));
        let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
        let store = Store::open(&path, &backups, &StoreSettings::default(), clock.clone()).expect("opens");
        let settings = Arc::new(Settings { metrics, ..Settings::default() });
        let errors = Errors::open(&settings.errors, store.clone(), clock.clone());
        let settings = watch::channel(settings).1;
        let parts = MetricsParts { settings: settings.clone(), store: store.clone(), clock: clock.clone() };
        Self {
            _home: home,
            store,
            clock,
            errors,
            settings,
            script: Arc::default(),
            metrics: Metrics::new(parts),
            stop: CancellationToken::new(),
        }
    }

    fn record(&self) -> tokio::task::JoinHandle<()> {
        let recorder = Recorder::new(RecorderParts {
            watch: Arc::clone(&self.script) as _,
            store: self.store.clone(),
            errors: self.errors.clone(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
            looked: Arc::default(),
        });
        tokio::spawn(recorder.run(self.stop.clone()))
    }

    /// Until so much of the clock's time has gone by, with time for what blocks meanwhile.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            sleep(Duration::from_secs(1)).await;
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(2)))
                .await
                .expect("slept");
        }
    }

    fn ask(&self, name: &str, seconds: i64) -> Asked {
        let now = self.clock.now();
        Asked {
            name: name.into(),
            labels: Labels::default(),
            since: now - SignedDuration::from_secs(seconds),
            until: now,
            step: Some(Duration::from_secs(10)),
            stat: None,
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).expect("a time")
}

#[tokio::test(start_paused = true)]
async fn looks_are_ten_seconds_apart_and_answered_for() {
    let scene = Scene::with(MetricsSettings::default());
    let task = scene.record();
    scene.pass(125).await;
    let told = scene.metrics.query(scene.ask("daemon_memory_bytes", 125)).await.expect("told");
    let points = &told.series[0].points;
    let seconds: Vec<i64> = points.iter().map(|point| point.at.as_second() - BEGIN).collect();
    assert_eq!(seconds, (1..=12).map(|n| n * 10).collect::<Vec<_>>());
    assert_eq!((points[0].value, points[11].value, points[0].count), (1000.0, 1011.0, 1));
    let rate = scene.metrics.query(scene.ask("requests", 125)).await.expect("told");
    let values: Vec<f64> = rate.series[0].points.iter().map(|point| point.value).collect();
    assert_eq!(values, vec![0.5; 11], "five in ten seconds, and nothing of the first look");
    let observed = |from, to| scene.metrics.observed(at(from), at(to));
    assert_eq!(observed(10, 130).await.ok(), Some(1.0));
    assert_eq!(observed(70, 190).await.ok(), Some(0.5), "what is yet to come was not seen");
    let used = scene.metrics.used(at(0), scene.clock.now()).await.expect("told");
    assert_eq!((used.len(), used[0].instance.as_str(), used[0].cpu), (2, "orders/0", Some(0.2)));
    assert_eq!((used[1].memory_bytes, used[1].looks), (Some(5000.0), 12));
    scene.stop.cancel();
    task.await.expect("no panic");
    scene.store.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_percentile_is_of_all_that_was_counted() {
    let scene = Scene::with(MetricsSettings::default());
    let task = scene.record();
    scene.pass(65).await;
    let now = scene.clock.now();
    let labels = Labels::of([("of", "test")]);
    let percentile = |q| scene.metrics.percentile("store_query_ms", &labels, at(0), now, q);
    assert_eq!(percentile(0.95).await.expect("told"), Some((1.0, 600)));
    assert_eq!(percentile(0.99).await.expect("told"), Some((200.0, 600)));
    let nothing = scene.metrics.percentile("store_query_ms", &labels, at(-900), at(-300), 0.95);
    assert_eq!(nothing.await.expect("told"), None, "of nothing there is no percentile");
    let none = Labels::default();
    let gauge = scene.metrics.percentile("daemon_memory_bytes", &none, at(0), now, 0.95);
    assert_eq!(gauge.await.expect_err("told").kind, FaultKind::Usage);
    let asked = Asked { labels, stat: Some(Stat::P99), ..scene.ask("store_query_ms", 60) };
    let told = scene.metrics.query(asked).await.expect("told");
    assert_eq!(told.series[0].whole.map(|whole| (whole.value, whole.count)), Some((200.0, 600)));
    scene.stop.cancel();
    task.await.expect("no panic");
    scene.store.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_bound_is_refused_and_counted() {
    let scene = Scene::with(MetricsSettings { max_series: 100, ..MetricsSettings::default() });
    let task = scene.record();
    scene.pass(15).await;
    let known = scene.metrics.known(None).await.expect("told").len();
    let many = (known..103).map(|n| {
        Sight::level(AGENT_MEMORY, Labels::of([("agent", "crowd"), ("instance", &format!("crowd/{n}"))]), 1.0)
    });
    *scene.script.extra.lock().expect("not poisoned") = many.collect();
    scene.pass(10).await;
    assert_eq!(scene.metrics.known(None).await.expect("told").len(), 100);
    let refused = scene.metrics.query(scene.ask(REFUSED.name, 60)).await.expect("told");
    let values: Vec<f64> = refused.series[0].points.iter().map(|point| point.value).collect();
    assert_eq!(values, [0.0, 3.0]);
    scene.stop.cancel();
    task.await.expect("no panic");
    scene.store.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_is_said_once_and_the_recorder_goes_on() {
    let scene = Scene::with(MetricsSettings::default());
    let other = Scene::with(MetricsSettings::default());
    // Failures are recorded elsewhere, so that they can be counted after this store is gone.
    let recorder = Recorder::new(RecorderParts {
        watch: Arc::clone(&scene.script) as _,
        store: scene.store.clone(),
        errors: other.errors.clone(),
        clock: scene.clock.clone(),
        settings: scene.settings.clone(),
        looked: Arc::default(),
    });
    let task = tokio::spawn(recorder.run(scene.stop.clone()));
    scene.pass(25).await;
    scene.store.close().await;
    let before = scene.script.looks.load(Ordering::Relaxed);
    scene.pass(60).await;
    assert!(scene.script.looks.load(Ordering::Relaxed) >= before + 5, "it stopped looking");
    assert!(!task.is_finished());
    assert!(other.errors.flush().await);
    let filter = ErrorFilter { operation: Some("metrics".into()), all: true, ..ErrorFilter::default() };
    let rule = other.errors.rule();
    let groups = other.store.error_groups(filter, other.clock.now(), rule, 10).await.expect("read");
    assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [1]);
    scene.stop.cancel();
    task.await.expect("no panic");
    other.store.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_with_what_may_be_meant() {
    let scene = Scene::with(MetricsSettings::default());
    let ask = |name: &str, labels| scene.metrics.query(Asked { labels, ..scene.ask(name, 60) });
    let early = ask("daemon_memory_bytes", Labels::default()).await.expect_err("nothing yet");
    assert!(early.hint.as_ref().is_some_and(|hint| hint.contains("ten seconds")), "{early:?}");
    let task = scene.record();
    scene.pass(25).await;
    let typo = ask("daemon_memory_byte", Labels::default()).await.expect_err("no such name");
    assert_eq!(typo.kind, FaultKind::NotFound);
    assert!(typo.hint.as_ref().is_some_and(|hint| hint.contains("daemon_memory_bytes")), "{typo:?}");
    let agent = ask("agent_memory_bytes", Labels::of([("agent", "order")])).await.expect_err("no such agent");
    assert!(agent.hint.as_ref().is_some_and(|hint| hint.contains("agent=orders")), "{agent:?}");
    let label = ask("agent_memory_bytes", Labels::of([("name", "orders")])).await.expect_err("no such label");
    assert!(label.hint.as_ref().is_some_and(|hint| hint.contains("agent, instance")), "{label:?}");
    let one = ask("agent_memory_bytes", Labels::of([("agent", "orders")])).await.expect("told");
    assert_eq!(one.series.len(), 1);
    let stat = Asked { stat: Some(Stat::P95), ..scene.ask("daemon_memory_bytes", 60) };
    let stat = scene.metrics.query(stat).await.expect_err("of a gauge");
    assert!(stat.hint.as_ref().is_some_and(|hint| hint.contains("avg, min, max, last")), "{stat:?}");
    // As long as anything is kept, and as fine as that is.
    let long = Asked { since: Timestamp::MIN, ..scene.ask("daemon_memory_bytes", 60) };
    let long = scene.metrics.query(long).await.expect("told");
    assert_eq!((long.step_s, long.series[0].points.len()), (3600, 1));
    let absurd = scene.ask("daemon_memory_bytes", 47 * 3600);
    let absurd = scene.metrics.query(absurd).await.expect_err("17,000 points");
    assert_eq!(absurd.kind, FaultKind::Usage);
    scene.stop.cancel();
    task.await.expect("no panic");
    scene.store.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_folded_and_overviewed() {
    let scene = Scene::with(MetricsSettings::default());
    let task = scene.record();
    scene.pass(45).await;
    let later = scene.clock.now() + SignedDuration::from_hours(1);
    keep_house(&scene.store, &scene.settings.borrow().metrics.clone(), later).await.expect("kept");
    let told = scene.metrics.query(scene.ask("daemon_memory_bytes", 45)).await.expect("told");
    assert_eq!(told.series[0].points.len(), 4);
    let overview = scene.metrics.overview().await.expect("told");
    let of = |name: &str| overview.iter().find(|row| row.name == name).expect("it is there");
    assert_eq!((of("agent_memory_bytes").series, of("agent_memory_bytes").recent.len()), (2, 0));
    let recent = &of(SKIPPED.name).recent;
    assert_eq!(recent.last().copied().flatten(), Some(0.0), "{recent:?}");
    assert_eq!(
        recent.iter().flatten().count(),
        1,
        "before the first look there is nothing, not 0: {recent:?}"
    );
    scene.stop.cancel();
    task.await.expect("no panic");
    scene.store.close().await;
}
