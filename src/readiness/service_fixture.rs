//! What the tests of the service share: the service over a real store, supervisor and monitor of an empty fleet.
use super::{Readiness, ReadinessParts, RunRequest};
use crate::{
    agents::{Supervisor, SupervisorParts},
    config::{Paths, Settings, StoreSettings},
    domain::{AgentName, Caller, Fault, Finding, Identity, Report, Role, RunId},
    errors::Errors,
    health::{Monitor, MonitorParts},
    resilience::{Clock, Policies},
    store::{Store, act},
};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::watch;

pub struct Bench {
    pub readiness: Readiness,
    pub store: Store,
    pub home: TempDir,
    /// Digest of the manifest on disk; `abc` is that of what runs.
    pub on_disk: Arc<Mutex<&'static str>>,
}

pub fn open(home: &TempDir) -> Store {
    let backups = home.path().join("backups");
    Store::open(&home.path().join("agentd.db"), &backups, &StoreSettings::default(), Clock::system())
        .expect("a store")
}

pub async fn bench_in(home: TempDir) -> Bench {
    let (store, clock) = (open(&home), Clock::system());
    let on_disk = Arc::new(Mutex::new("abc"));
    // As `daemon::boot` does.
    store.interrupt_runs().await.expect("asked");
    let mut settings = Settings::default();
    settings.daemon.state_dir = Some(home.path().to_owned());
    settings.daemon.socket = Some(home.path().join("run/agentd.sock"));
    let settings = Arc::new(settings);
    let paths = Paths::new(&settings);
    let errors = Errors::open(&settings.errors, store.clone(), clock.clone());
    let supervisor = Supervisor::launch(SupervisorParts {
        settings: settings.clone(),
        paths: paths.clone(),
        store: store.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
    })
    .await
    .expect("a supervisor");
    let monitor = Monitor::launch(MonitorParts {
        settings: settings.clone(),
        supervisor: supervisor.clone(),
        store: store.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
        policies: Policies::new(clock.clone()),
    });
    let parts = ReadinessParts {
        kinds: crate::readiness::kinds,
        settings: watch::channel(settings).1,
        config_file: None,
        config_digest: watch::channel("abc".to_owned()).1,
        reread: {
            let on_disk = on_disk.clone();
            Arc::new(move || Ok((*on_disk.lock().expect("whole")).to_owned()))
        },
        paths,
        store: store.clone(),
        supervisor,
        monitor,
        clock,
        errors,
        gate: None,
        reload: None,
        serve: None,
        safekeeping: None,
        triggering: None,
        rehearsing: None,
        started: Arc::default(),
    };
    Bench { readiness: Readiness::new(parts), store, home, on_disk }
}

pub async fn bench() -> Bench {
    bench_in(tempfile::tempdir().expect("a directory")).await
}

/// An operator, uid 1000.
pub fn caller() -> Caller {
    somebody(1000, Role::Operator)
}

pub fn somebody(uid: u32, role: Role) -> Caller {
    let agent: Option<AgentName> = (role == Role::Agent).then(|| "orders".parse().expect("a name"));
    Caller::by_socket(Identity { uid, gid: uid, pid: None }, role, agent)
}

impl Bench {
    pub async fn start(&self, only: &str) -> Result<RunId, Fault> {
        let request = RunRequest { only: vec![only.into()], ..RunRequest::default() };
        self.readiness.start(request, &caller(), act()).await
    }

    /// A whole run of what is asked.
    pub async fn report(&self, request: RunRequest) -> Report {
        let run = self.readiness.start(request, &caller(), act()).await.expect("a run");
        self.follow(run).await.expect("its report").0
    }

    /// Follows as a client does, to the end.
    pub async fn follow(&self, run: RunId) -> Result<(Report, Vec<Finding>), Fault> {
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
}
