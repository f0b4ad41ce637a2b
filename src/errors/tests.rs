//! The recorder over a real store: nothing is lost that was recorded, nobody waits, and no secret gets through.
use super::{Errors, Failure};
use crate::{
    config::{ErrorSettings, StoreSettings},
    domain::{ErrorFilter, ErrorGroup, Fault, FaultKind, InstanceId, Occurrence},
    resilience::Clock,
    store::Store,
};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Bench {
    errors: Errors,
    store: Store,
    _home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
        let store =
            Store::open(&path, &backups, &StoreSettings::default(), Clock::system()).expect("a store");
        let errors = Errors::open(&ErrorSettings::default(), store.clone(), Clock::system());
        Self { errors, store, _home: home }
    }

    async fn kept(&self) -> Vec<(ErrorGroup, Vec<Occurrence>)> {
        let all = ErrorFilter { all: true, ..ErrorFilter::default() };
        let (now, rule) = (Clock::system().now(), self.errors.rule());
        let mut kept = Vec::new();
        for group in self.store.error_groups(all, now, rule, 1000).await.expect("read") {
            kept.extend(self.store.error_group(group.id, now, rule).await.expect("read"));
        }
        kept
    }
}

fn failure(message: &str) -> Failure {
    Failure::new("probe", Fault::new(FaultKind::Unavailable, message))
}

#[tokio::test]
async fn what_is_recorded_is_written_by_itself_a_moment_later() {
    let bench = Bench::new();
    let id: InstanceId = "orders/1".parse().expect("an instance");
    let fault = Fault::new(FaultKind::Busy, "cannot: full").caused_by("disk").hint("free some space");
    bench
        .errors
        .record(Failure::new("prune", fault).of(&id).asked_by("user:7", 9_u64.into_id()).context("by hand"));
    bench
        .errors
        .record(Failure::new("prune", Fault { recorded: true, ..Fault::internal("cannot: told before") }));
    let began = Instant::now();
    let kept = loop {
        let kept = bench.kept().await;
        if !kept.is_empty() {
            break kept;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it was never written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let (group, occurrences) = &kept[0];
    assert_eq!((kept.len(), group.count, group.hint.as_deref()), (1, 1, Some("free some space")));
    assert_eq!(group.alike.agent.as_ref().map(crate::domain::AgentName::as_str), Some("orders"));
    let one = &occurrences[0];
    assert_eq!((one.client.as_deref(), one.context.as_str()), (Some("user:7"), "by hand"));
    assert_eq!((one.causes.clone(), one.correlation.map(|id| id.0)), (vec!["disk".to_owned()], Some(9)));
}

trait IntoId {
    fn into_id(self) -> crate::domain::CorrelationId;
}

impl IntoId for u64 {
    fn into_id(self) -> crate::domain::CorrelationId {
        crate::domain::CorrelationId(self)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_from_many_threads_are_ten_thousand() {
    let bench = Bench::new();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let errors = bench.errors.clone();
            std::thread::spawn(move || {
                (0..1_250).for_each(|n| errors.record(failure(&format!("cannot reach it in {n} ms"))));
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    bench.errors.close().await;
    bench.errors.record(failure("cannot, after the end"));
    assert_eq!(bench.errors.lost(), 1);
    let kept = bench.kept().await;
    assert_eq!((kept.len(), kept[0].0.count), (1, 10_000));
    assert_eq!(kept[0].1.len(), 20);
}

#[tokio::test]
async fn no_part_of_a_failure_carries_a_secret() {
    let bench = Bench::new();
    bench.errors.redactor().know(&"correct horse".into());
    let secret = "sk-proj-4f8a9c2e1b7d6a5f";
    for text in [secret, "password=hunter2pw", "correct horse", "postgres://a:hunter2pw@db/x"] {
        let fault = Fault::internal(format!("cannot: {text}")).hint(text).caused_by(text);
        let mut failure = Failure::new(text, fault).context(text);
        failure.client = Some(text.into());
        bench.errors.record(failure);
    }
    assert!(bench.errors.flush().await);
    let text = format!("{:?}", bench.kept().await);
    for hidden in [secret, "hunter2pw", "correct horse"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(text.contains("********"), "{text}");
}

#[tokio::test]
async fn a_panic_that_nobody_catches_is_a_failure_and_one_that_is_caught_is_its_catchers() {
    use futures_util::FutureExt;
    let bench = Bench::new();
    super::hear_panics(&bench.errors);
    let caught = super::expecting_panics(async { panic!("expected") });
    assert!(std::panic::AssertUnwindSafe(caught).catch_unwind().await.is_err());
    let nobody = tokio::spawn(async { panic!("nobody catches number 7 of this test") });
    assert!(nobody.await.is_err());
    // Other tests of this process may panic on purpose meanwhile.
    bench.errors.flush().await;
    let kept = bench.kept().await;
    let said = |text: &str| kept.iter().filter(|(group, _)| group.message.contains(text)).count();
    assert_eq!((said("of this test"), said("panicked: expected")), (1, 0), "{kept:?}");
}
