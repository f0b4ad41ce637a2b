//! What the gate writes when a client hangs up, a handler fails or panics, or the trail itself cannot be written.
use super::*;
use crate::{
    domain::{AuditEntry, AuditFilter, AuditStanding, CorrelationId, Identity, Permission, Role},
    health::{Monitor, MonitorParts},
    protocol::{Endpoint, Verb},
    readiness::{Ground, ScratchFleet, Stage},
    resilience::Clock,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::Semaphore;

#[derive(Serialize, Deserialize)]
struct Nothing {}

macro_rules! endpoints {
    ($($name:ident $path:literal $audited:ident),*) => {$(
        struct $name;
        impl Endpoint for $name {
            const NAME: &'static str = $path;
            const VERB: Verb = Verb::Write;
            const NEEDS: Permission = Permission::AgentControl;
            const AUDITED: Audited = Audited::$audited;
            type Request = Nothing;
            type Reply = Nothing;

            fn object(_: &Nothing) -> String {
                "agent/x".into()
            }
        }
    )*};
}
endpoints!(
    Slow "slow" Around, Panics "panics" Around, PanicsInside "panics-inside" WithEffect,
    Fails "fails" WithEffect, FailsLooking "fails-looking" Not, Data "data" Read,
    Acts "acts" Around, Shuts "shuts" Around, Later "later" Around
);

static GO: Semaphore = Semaphore::const_new(0);
static GO_LATER: Semaphore = Semaphore::const_new(0);
static ACTED: AtomicBool = AtomicBool::new(false);

async fn slow(_: App, _: Caller, _: Nothing) -> Result<Nothing, Fault> {
    GO.acquire().await.expect("open").forget();
    Ok(Nothing {})
}

async fn panics(_: App, _: Caller, _: Nothing) -> Result<Nothing, Fault> {
    std::panic::resume_unwind(Box::new("on purpose"))
}

async fn fails(_: App, _: Caller, _: Nothing) -> Result<Nothing, Fault> {
    Err(Fault::not_found("cannot find it"))
}

async fn acts(_: App, _: Caller, _: Nothing) -> Result<Nothing, Fault> {
    ACTED.store(true, Ordering::SeqCst);
    Ok(Nothing {})
}

async fn shuts(app: App, _: Caller, _: Nothing) -> Result<Nothing, Fault> {
    app.store.close().await;
    Ok(Nothing {})
}

async fn later(app: App, caller: Caller, _: Nothing) -> Result<Nothing, Fault> {
    app.trail.take_over(Act::new(&caller, "later", "agent/x"), async {
        GO_LATER.acquire().await.expect("open").forget();
        Ok(())
    });
    Ok(Nothing {})
}

struct Bench {
    app: App,
    fleet: ScratchFleet,
    _base: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        let fleet = ground.fleet(serde_json::json!({}), false).await.expect("a fleet");
        let settings = Arc::new(fleet.settings().clone());
        let (store, supervisor, clock) = (fleet.store().clone(), fleet.supervisor().clone(), ground.clock());
        let monitor = Monitor::launch(MonitorParts {
            settings: settings.clone(),
            supervisor: supervisor.clone(),
            store: store.clone(),
            clock: clock.clone(),
        });
        let (manifest, paths) = (fleet.path().join("agentd.toml"), fleet.paths().clone());
        let stage = Stage { manifest, settings, paths, store, supervisor, clock };
        Self { app: crate::daemon::rehearsal::app(stage, monitor), fleet, _base: base }
    }

    fn asked(route: Route) -> Asked {
        let identity = Identity { uid: 1000, gid: 1000, pid: Some(7) };
        let mut caller = Caller::by_socket(identity, Role::Operator, None);
        caller.correlation = CorrelationId(fastrand::u64(1..));
        Asked { route, caller, bearer: None, raw: Bytes::from_static(b"{}") }
    }

    async fn pass(&self, route: Route) -> Result<Body, Fault> {
        pass(&self.app, Self::asked(route)).await.0
    }

    async fn rows(&self) -> Vec<AuditEntry> {
        self.fleet
            .store()
            .audit_entries(AuditFilter { limit: 99, ..AuditFilter::default() })
            .await
            .expect("read")
    }

    async fn standing(&self) -> Vec<(String, AuditStanding)> {
        self.rows().await.into_iter().map(|row| (row.event.action, row.standing)).collect()
    }

    async fn become_rows(&self, wanted: &[(&str, AuditStanding)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(action, standing)| ((*action).to_owned(), *standing)).collect();
        let since = Instant::now();
        while self.standing().await != wanted {
            assert!(since.elapsed() < Duration::from_secs(10), "{wanted:?}, not {:?}", self.standing().await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_leaves_an_outcome() {
    let bench = Bench::new().await;
    let app = bench.app.clone();
    let client =
        tokio::spawn(async move { pass(&app, Bench::asked(Route::to::<Slow, _, _>(slow))).await.0.is_ok() });
    bench.become_rows(&[("slow", AuditStanding::Unknown)]).await;
    client.abort();
    assert!(client.await.expect_err("gone").is_cancelled());
    GO.add_permits(1);
    bench.become_rows(&[("slow", AuditStanding::Intended), ("slow", AuditStanding::Done)]).await;
    bench.app.trail.settled().await;
}

#[tokio::test]
async fn a_panic_and_a_failure_are_outcomes_and_a_look_that_finds_nothing_is_none() {
    let bench = Bench::new().await;
    assert!(bench.pass(Route::to::<Panics, _, _>(panics)).await.is_err());
    assert!(bench.pass(Route::to::<PanicsInside, _, _>(panics)).await.is_err());
    assert!(bench.pass(Route::to::<Fails, _, _>(fails)).await.is_err());
    assert!(bench.pass(Route::to::<FailsLooking, _, _>(fails)).await.is_err());
    let rows = bench.rows().await;
    let seen: Vec<_> = rows.iter().map(|row| (row.event.action.as_str(), row.standing)).collect();
    assert_eq!(
        seen,
        [
            ("panics", AuditStanding::Intended),
            ("panics", AuditStanding::Failed),
            ("panics-inside", AuditStanding::Failed),
            ("fails", AuditStanding::Failed)
        ]
    );
    assert_eq!((rows[3].event.object.as_str(), rows[3].event.reason.as_str()), ("agent/x", "cannot find it"));
}

#[tokio::test]
async fn what_cannot_be_written_before_is_not_done_and_what_cannot_be_written_after_is_unknown() {
    let bench = Bench::new().await;
    assert!(bench.pass(Route::to::<Data, _, _>(acts)).await.is_ok());
    assert!(ACTED.swap(false, Ordering::SeqCst));
    // It happened, and the client is told so.
    assert!(bench.pass(Route::to::<Shuts, _, _>(shuts)).await.is_ok());
    assert!(bench.pass(Route::to::<Acts, _, _>(acts)).await.is_err());
    assert!(!ACTED.load(Ordering::SeqCst), "it was done although its intent could not be written");
    assert!(bench.pass(Route::to::<Data, _, _>(acts)).await.is_err(), "data was handed out without a row");
    let paths = bench.fleet.paths();
    let settings = &bench.fleet.settings().store;
    let again = crate::store::Store::open(&paths.database, &paths.backups, settings, Clock::system());
    let again = again.expect("opens");
    let filter = AuditFilter { limit: 9, ..AuditFilter::default() };
    let rows = again.audit_entries(filter).await.expect("read");
    let seen: Vec<_> = rows.iter().map(|row| (row.event.action.as_str(), row.standing)).collect();
    assert_eq!(seen, [("data", AuditStanding::Done), ("shuts", AuditStanding::Unknown)]);
}

#[tokio::test]
async fn what_goes_on_after_the_answer_gets_its_outcome_when_it_ends() {
    let bench = Bench::new().await;
    assert!(bench.pass(Route::to::<Later, _, _>(later)).await.is_ok());
    assert_eq!(bench.standing().await, [("later".to_owned(), AuditStanding::Unknown)]);
    GO_LATER.add_permits(1);
    bench.become_rows(&[("later", AuditStanding::Intended), ("later", AuditStanding::Done)]).await;
}
