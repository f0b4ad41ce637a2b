//! The service over a real store, supervisor and monitor of an empty fleet.
use super::*;
use crate::{
    domain::{Category, Outcome, RunState, Severity},
    readiness::{
        RunRequest, score,
        service_fixture::{Bench, bench, bench_in, caller, open, somebody},
        survivors,
    },
    store::act,
};
use jiff::Timestamp;
use tokio::time::Instant;

impl Bench {
    /// A run under way that no check belongs to: the test says what happens in it.
    fn stage(&self, id: u64) -> Arc<Run> {
        let run = Arc::new(Run {
            id: RunId(id),
            total: 2,
            as_of: None,
            demands: Demands::default(),
            checklist: None,
            uid: 1000,
            act: act(),
            called_off: OnceLock::new(),
            cancel: CancellationToken::new(),
            log: watch::Sender::new(Log::default()),
        });
        self.readiness.inner.desk().run = Some(run.clone());
        run
    }
}

fn finding(id: &str) -> Finding {
    Finding {
        id: id.into(),
        title: "a control".into(),
        category: Category::Database,
        severity: Severity::Minor,
        weight: 1,
        outcome: Outcome::Pass,
        summary: "well".into(),
        evidence: vec![],
        hint: None,
        exercised: false,
        declared: false,
        affected: Vec::new(),
        waived: None,
        took_ms: 1.0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_is_refused_with_the_number_of_the_first_until_that_is_done() {
    let bench = bench().await;
    let run = bench.start("PF-005").await.expect("a run");
    let fault = bench.start("CF-002").await.expect_err("a conflict");
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.message.contains(&format!("run {run} is under way")) && fault.hint.is_some(), "{fault}");
    let (report, findings) = bench.follow(run).await.expect("its report");
    assert_eq!((report.run, &report.findings), (run, &findings));
    let next = bench.start("CF-002").await.expect("the place is free again");
    assert!(next.0 > run.0);
    bench.follow(next).await.expect("its report");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_the_end_finds_the_report_in_the_store_and_no_scratch_left() {
    let bench = bench().await;
    let run = bench.start("CF-002").await.expect("a run");
    let (report, _) = bench.follow(run).await.expect("its report");
    assert_eq!(bench.store.report(run).await.expect("a look"), Some(report.clone()));
    assert!(score::agrees(&report));
    assert!(!bench.home.path().join("scratch").exists(), "scratch ground is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_could_not_be_kept_is_no_report() {
    let bench = bench().await;
    let run = bench.start("PF-005").await.expect("a run");
    bench.store.close().await;
    let end = bench.follow(run).await;
    assert!(end.is_err(), "{end:?}");
}

#[tokio::test]
async fn a_question_is_answered_at_once_if_there_is_news_and_held_25_s_if_not() {
    let bench = bench().await;
    let run = bench.stage(7);
    run.log.send_modify(|log| log.findings.push(finding("DB-001")));
    tokio::time::pause();
    let asked = Instant::now();
    let news = bench.readiness.progress(run.id, 0).await.expect("progress");
    assert_eq!((asked.elapsed(), news.cursor, news.findings.len()), (Duration::ZERO, 1, 1));

    let held = bench.readiness.progress(run.id, news.cursor).await.expect("progress");
    let waited = asked.elapsed();
    assert!((LONG_POLL..LONG_POLL + Duration::from_millis(10)).contains(&waited), "{waited:?}");
    assert_eq!((held.cursor, held.findings.len(), held.report), (1, 0, None));

    let asked = Instant::now();
    let later = run.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        later.log.send_modify(|log| log.findings.push(finding("DB-002")));
    });
    let woken = bench.readiness.progress(run.id, 1).await.expect("progress");
    assert_eq!((asked.elapsed().as_secs(), woken.findings[0].id.as_str()), (3, "DB-002"));

    // A cursor from beyond the end, as of a client that mixed up two runs, gets nothing rather than a panic.
    run.log.send_modify(|log| log.end = Some(Err(Fault::internal("cannot go on"))));
    assert!(bench.readiness.progress(run.id, u64::MAX).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_its_daemon_did_not_survive_is_said_to_be_interrupted() {
    let home = tempfile::tempdir().expect("a directory");
    let before = open(&home);
    let run = before.begin_run(act(), "dev".into(), false).await.expect("a run");
    before.close().await;
    let bench = bench_in(home).await;
    let fault = bench.readiness.progress(run, 0).await.expect_err("no report");
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.message.contains("the daemon ended under it"), "{fault}");
    assert!(bench.start("CF-002").await.is_ok(), "it holds the place of a run that is dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_refused_by_name() {
    let bench = bench().await;
    let fault = bench.readiness.progress(RunId(99), 0).await.expect_err("no such run");
    assert_eq!(fault.kind, FaultKind::NotFound);
    let fault = bench.start("DB-03").await.expect_err("no such check");
    assert_eq!(fault.kind, FaultKind::Usage);
    assert!(fault.hint.is_some_and(|hint| hint.contains("DB-003")), "no nearest name");
    assert_eq!(Readiness::explain(&[], "db-003").expect("a check").id, "DB-003");
    assert_eq!(Readiness::explain(&[], "DB-999").expect_err("no such check").kind, FaultKind::NotFound);
    assert!(bench.store.runs(10).await.expect("a look").is_empty(), "a refused request left a run");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_answered_is_refused_before_anything_runs() {
    let bench = bench().await;
    let now = Timestamp::now();
    let yesterday = now.checked_sub(jiff::SignedDuration::from_hours(24)).ok();
    let table = [
        (RunRequest { environment: Some("production".into()), ..RunRequest::default() }, FaultKind::Conflict),
        (RunRequest { as_of: yesterday, ..RunRequest::default() }, FaultKind::Usage),
        (
            RunRequest {
                demands: Demands { fail_under: Some(f64::NAN), fail_on: None },
                ..RunRequest::default()
            },
            FaultKind::Usage,
        ),
    ];
    for (request, kind) in table {
        let fault = bench.readiness.start(request.clone(), &caller(), act()).await.expect_err("a refusal");
        assert_eq!(fault.kind, kind, "{request:?}: {fault}");
    }
    assert!(bench.store.runs(9).await.expect("a look").is_empty(), "a refused request left a run");
    let right =
        RunRequest { environment: Some("dev".into()), only: vec!["CF-002".into()], ..RunRequest::default() };
    assert_eq!(bench.report(right).await.environment, "dev");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cancelled_in_the_middle_leaves_nothing_and_frees_the_place() {
    let bench = bench().await;
    let run = bench.start("agent-operations").await.expect("a run");
    let scratch = bench.home.path().join("scratch");
    let marks = || -> Vec<String> {
        let plots = std::fs::read_dir(&scratch).into_iter().flatten().flatten();
        plots.filter_map(|plot| std::fs::read_to_string(plot.path().join("fleet-id")).ok()).collect()
    };
    let alive = |marks: &[String]| -> usize {
        marks.iter().map(|mark| survivors::marked(mark.trim()).expect("a look").len()).sum()
    };
    // In the middle is when scratch agents live.
    let deadline = Instant::now() + Duration::from_secs(30);
    let seen = loop {
        let seen = marks();
        if alive(&seen) > 0 {
            break seen;
        }
        assert!(Instant::now() < deadline, "no scratch agent ever lived");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let follower = tokio::spawn({
        let readiness = bench.readiness.clone();
        async move {
            let mut cursor = 0;
            loop {
                match readiness.progress(run, cursor).await {
                    Ok(progress) => cursor = progress.cursor,
                    Err(fault) => return fault,
                }
            }
        }
    });
    let stranger = somebody(1001, Role::Operator);
    let fault = bench.readiness.cancel(run, &stranger, act()).await.expect_err("it is not theirs");
    assert!(fault.kind == FaultKind::Forbidden && fault.message.contains("uid 1000"), "{fault}");
    bench.readiness.cancel(run, &caller(), act()).await.expect("cancelled");
    assert_eq!(alive(&seen), 0, "scratch agents live on");
    assert!(!scratch.exists(), "scratch ground is left: {:?}", marks());
    let told = follower.await.expect("it ended");
    assert!(told.kind == FaultKind::Conflict && told.message.contains("was cancelled"), "{told}");
    assert_eq!(bench.store.runs(9).await.expect("a look")[0].state, RunState::Cancelled);
    assert_eq!(bench.store.report(run).await.expect("a look"), None);
    assert!(bench.readiness.cancel(run, &caller(), act()).await.is_err(), "it has ended");
    assert_eq!(
        bench.readiness.cancel(RunId(99), &caller(), act()).await.expect_err("none").kind,
        FaultKind::NotFound
    );

    let next = bench.start("CF-002").await.expect("the place is free");
    let stranger = somebody(1001, Role::Admin);
    bench.follow(next).await.expect("its report");
    let fault = bench.readiness.cancel(next, &stranger, act()).await.expect_err("it has ended");
    assert_eq!(fault.kind, FaultKind::Conflict);
    let fault = bench.readiness.progress(run, 0).await.expect_err("by now only the store knows");
    assert!(fault.message.contains("was cancelled"), "{fault}");
}
