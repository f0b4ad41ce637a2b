//! The service over a real store, supervisor and monitor of an empty fleet.
use super::*;
use crate::{
    agents::SupervisorParts,
    config::StoreSettings,
    domain::{Category, Identity, Outcome, Role, Severity},
    health::MonitorParts,
};
use tempfile::TempDir;

struct Bench {
    readiness: Readiness,
    store: Store,
    home: TempDir,
}

fn open(home: &TempDir) -> Store {
    let backups = home.path().join("backups");
    Store::open(&home.path().join("agentd.db"), &backups, &StoreSettings::default(), Clock::system())
        .expect("a store")
}

async fn bench_in(home: TempDir) -> Bench {
    let (store, clock) = (open(&home), Clock::system());
    // As `daemon::boot` does.
    store.interrupt_runs().await.expect("asked");
    let mut settings = Settings::default();
    settings.daemon.state_dir = Some(home.path().to_owned());
    settings.daemon.socket = Some(home.path().join("run/agentd.sock"));
    let settings = Arc::new(settings);
    let paths = Paths::new(&settings);
    let supervisor = Supervisor::launch(SupervisorParts {
        settings: settings.clone(),
        paths: paths.clone(),
        store: store.clone(),
        clock: clock.clone(),
    })
    .await
    .expect("a supervisor");
    let monitor = Monitor::launch(MonitorParts {
        settings: settings.clone(),
        supervisor: supervisor.clone(),
        store: store.clone(),
        clock: clock.clone(),
    });
    let parts = ReadinessParts {
        settings: watch::channel(settings).1,
        config_file: None,
        config_digest: watch::channel("abc".to_owned()).1,
        reread: Arc::new(|| Ok("abc".into())),
        paths,
        store: store.clone(),
        supervisor,
        monitor,
        clock,
        gate: None,
        started: Arc::default(),
    };
    Bench { readiness: Readiness::new(parts), store, home }
}

async fn bench() -> Bench {
    bench_in(tempfile::tempdir().expect("a directory")).await
}

fn caller() -> Caller {
    Caller { identity: Identity { uid: 1000, gid: 1000, pid: None }, role: Role::Operator, agent: None }
}

impl Bench {
    async fn start(&self, only: &str) -> Result<RunId, Fault> {
        let request = RunRequest { only: vec![only.into()], ..RunRequest::default() };
        self.readiness.start(request, &caller()).await
    }

    /// Follows as a client does, to the end.
    async fn follow(&self, run: RunId) -> Result<(Report, Vec<Finding>), Fault> {
        let (mut cursor, mut findings) = (0, Vec::new());
        loop {
            let progress = self.readiness.progress(run, cursor).await?;
            cursor = progress.cursor;
            findings.extend(progress.findings);
            if let Some(report) = progress.report {
                return Ok((report, findings));
            }
        }
    }

    /// A run under way that no check belongs to: the test says what happens in it.
    fn stage(&self, id: u64) -> Arc<Run> {
        let run =
            Arc::new(Run { id: RunId(id), total: 2, as_of: None, log: watch::Sender::new(Log::default()) });
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
    let run = before.begin_run("dev".into(), false).await.expect("a run");
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
    assert_eq!(Readiness::explain("db-003").expect("a check").id, "DB-003");
    assert_eq!(Readiness::explain("DB-999").expect_err("no such check").kind, FaultKind::NotFound);
    assert!(bench.store.runs(10).await.expect("a look").is_empty(), "a refused request left a run");
}
