//! The one place where rooms are introduced to each other, in order; each step undoes itself if a later one fails.
use super::{
    App, Control, Route,
    door::Door,
    listen::{Access, Admission, Bound, Bounds, Server},
    lock::Lock,
    logging::LevelSwitch,
    manifest::kept_from_agents,
    rehearsal::Rehearsal,
    rehearsing::LastRehearsed,
    reload::{Fresh, Reloader, Reread, releases_beside, resolve},
    roster::Roster,
    safekeeping::{self, LastMade, Safekeeper},
    server::Router,
    triggering::Judge,
    way_ends,
    ways::{self, Assembled, Beside, Configuration},
};
use crate::{
    agents::{Supervisor, SupervisorParts, child::raise_open_files},
    auth::{Approvals, Directory, Keyring, Meter, Names, Trail},
    backups::Backups,
    config::{self, Kinds, Paths, Problems, Settings, Sources},
    deploy::checklist::{self, ChecklistParts, Checklists},
    domain::{EventKind, Fault, FaultKind, Permission},
    errors::Errors,
    health::{Monitor, MonitorParts, keep_breakers, restore_breakers},
    metrics::{self, Metrics, MetricsParts},
    readiness::{self, Readiness, ReadinessParts, Started},
    resilience::{Clock, Policies},
    store::Store,
};
use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything a daemon is started with.
pub struct Plan {
    pub settings: Arc<Settings>,
    pub config_file: Option<PathBuf>,
    /// SHA-256 of the settings in force.
    pub config_digest: String,
    /// What is doubtful about the configuration, for the log.
    pub warnings: Option<String>,
    /// For a reload.
    pub reread: Reread,
    pub routes: Vec<Route>,
    /// When the daemon began, before it read its configuration.
    pub began: Instant,
}

impl Plan {
    /// From the sources of a configuration; a reload reads the same ones again.
    pub fn read(sources: Sources, routes: Vec<Route>) -> Result<Self, Fault> {
        let began = Instant::now();
        let loaded = config::load(&sources, &kinds()).map_err(|problems| unusable(&problems))?;
        if let Some(file) = &loaded.file {
            kept_from_agents(file, &loaded.settings)?;
        }
        let reread = move |instead: Option<&Path>| {
            let other = instead.map(|file| Sources { file: Some(file.to_owned()), ..sources.clone() });
            let loaded = config::load(other.as_ref().unwrap_or(&sources), &kinds())
                .map_err(|problems| unusable(&problems))?;
            Ok(Fresh { settings: loaded.settings, digest: loaded.digest })
        };
        Ok(Self {
            settings: loaded.settings,
            config_file: loaded.file.map(|file| std::path::absolute(&file).unwrap_or(file)),
            config_digest: loaded.digest,
            warnings: (!loaded.warnings.is_empty()).then(|| loaded.warnings.render(false)),
            reread: Arc::new(reread),
            routes,
            began,
        })
    }
}

/// Every kind of agent, probe, declared check and item that this daemon can run, for reading a configuration.
pub fn kinds() -> Kinds {
    Kinds { items: checklist::kinds(), metrics: metrics::kinds(), ..readiness::kinds() }
}

pub(super) fn unusable(problems: &Problems) -> Fault {
    Fault::new(FaultKind::Config, problems.to_string())
        .hint("`agentctl config check` reads it again; nothing has been started or changed")
}

/// A daemon that answers. Dropping it without `lifecycle` stops nothing in order.
pub struct Running {
    pub app: App,
    pub(super) listeners: TaskTracker,
    pub(super) closing: CancellationToken,
    pub(super) _lock: Lock,
}

/// Paths, lock, sockets, store, supervisor, monitor, readiness, and then answers. The sockets are bound before the
/// slow rooms, so that who asks early waits for an answer instead of being refused.
pub async fn boot(plan: Plan, level: Option<LevelSwitch>) -> Result<Running, Fault> {
    let clock = Clock::system();
    let started_at = clock.now();
    let paths = Arc::new(Paths::new(&plan.settings));
    make_private(&paths.state_dir)?;
    let lock = Lock::take(&paths.lock).await?;
    make_private(&paths.operations)?;
    let descriptors = raise_open_files();
    let sockets = bind(&paths, &plan.settings)?;

    let replaced = ways::replace_database(&paths, &clock).await;
    let store = open_store(&paths, &plan.settings, &clock).await?;
    let errors = Errors::open(&plan.settings.errors, store.clone(), clock.clone());
    let (policy, _unknown) = resolve(&plan.settings.access);
    let settings = plan.settings;
    let supervisor = launch(&settings, &paths, &store, &clock, &errors).await?;
    let monitor = watch_over(&settings, &supervisor, &store, &clock, &errors).await?;
    let (settings_tx, settings) = watch::channel(settings);
    let (digest_tx, config_digest) = watch::channel(plan.config_digest);
    let (policy_tx, policy) = watch::channel(Arc::new(policy));
    let started = Arc::new(OnceLock::new());
    let rehearsal = Arc::new(Rehearsal { routes: plan.routes.clone() });
    let backups = safekeeping::of(&settings, plan.config_file.clone(), &paths, &store, &clock, &errors);
    let parts = ReadinessParts {
        kinds,
        settings: settings.clone(),
        config_file: plan.config_file.clone(),
        config_digest: config_digest.clone(),
        reread: digest_of(&plan.reread),
        paths: (*paths).clone(),
        store: store.clone(),
        supervisor: supervisor.clone(),
        monitor: monitor.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
        gate: Some(Arc::new(Door::new(&plan.routes))),
        started: Arc::clone(&started),
        reload: Some(Arc::clone(&rehearsal) as _),
        serve: Some(rehearsal),
        safekeeping: Some(Arc::new(Safekeeper::new(backups.clone()))),
        triggering: Some(Arc::new(Judge::of(&store))),
        rehearsing: Some(Arc::new(LastRehearsed::of(&settings, &store, &paths))),
    };
    let releases = releases_beside(&parts, &plan.reread);
    let hands = ways::hands(&parts, &releases, &backups, replaced);
    let readiness = Readiness::new(parts);
    let metrics = measured(&settings, &clock, (&store, &supervisor, &monitor, &errors));
    let checklist = checklist_of((&readiness, &backups, &metrics), &settings, &config_digest, &store, &clock);
    let keyring = Keyring::new(settings.clone(), policy.clone(), store.clone(), clock.clone());
    let meter = Meter::new(settings.clone(), store.clone(), clock.clone());
    let trail = Trail::new(store.clone());
    let approvals = Approvals::new(settings.clone(), store.clone(), clock.clone());
    let beside =
        Beside { paths: &paths, errors: &errors, trail: &trail, checklist: &checklist, reread: &plan.reread };
    let Assembled { hands, operations, ways, triggers, rollouts, rehearsals } =
        ways::assemble(hands, &beside);
    let app = App {
        settings,
        config_digest,
        config_file: plan.config_file.map(Arc::new),
        policy,
        paths,
        clock,
        store,
        supervisor: supervisor.clone(),
        monitor,
        readiness,
        releases,
        checklist,
        keyring,
        meter,
        trail,
        approvals,
        errors,
        operations,
        ways,
        triggers,
        rollouts,
        rehearsals,
        backups,
        metrics,
        started_at,
        control: Control::default(),
        reloader: Arc::new(Reloader {
            reread: plan.reread,
            settings: settings_tx,
            digest: digest_tx,
            policy: policy_tx,
            level,
            turn: Semaphore::new(1),
        }),
    };

    // Nobody else sets it. The two hold each other from here on, for as long as the process lives.
    let _ = hands.reload.set(Arc::new(Configuration::of(&app)));
    // Everything that a step may reach is there, and nobody can begin another before these are known.
    go_on(&app).await?;
    let closing = CancellationToken::new();
    let listeners = answer(&app, &plan.routes, sockets, descriptors, &closing);
    announce(&app, &started, plan.began.elapsed()).await;
    Ok(Running { app, listeners, closing, _lock: lock })
}

/// Operators' and reporters'.
fn bind(paths: &Paths, settings: &Settings) -> Result<(Bound, Bound), Fault> {
    let operators = Access::Operators { group: socket_group(settings)? };
    Ok((Bound::bind(&paths.socket, operators)?, Bound::bind(&paths.report_socket, Access::Everyone)?))
}

/// Of the configuration as it is on the disk.
fn digest_of(reread: &Reread) -> readiness::Reread {
    let reread = Arc::clone(reread);
    Arc::new(move || reread(None).map(|fresh| fresh.digest))
}

/// The supervisor; and whatever the last daemon left running of its own is called interrupted.
async fn launch(
    settings: &Arc<Settings>,
    paths: &Paths,
    store: &Store,
    clock: &Clock,
    errors: &Errors,
) -> Result<Supervisor, Fault> {
    let launch = Supervisor::launch(SupervisorParts {
        settings: Arc::clone(settings),
        paths: paths.clone(),
        store: store.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
    });
    let interrupt = async { store.interrupt_runs().await.map_err(Fault::from) };
    Ok(tokio::try_join!(interrupt, launch)?.1)
}

/// With operations that were open; what one of them had started beside the fleet is ended first.
async fn go_on(app: &App) -> Result<(), Fault> {
    if let Err(fault) = app.rehearsals.clear().await {
        tracing::error!(%fault, "what is left of a rehearsal was not cleared away");
    }
    app.operations.recover().await?;
    way_ends::see_to_the_last(app).await;
    Ok(())
}

async fn announce(app: &App, started: &OnceLock<Started>, took: Duration) {
    // Nobody else sets it.
    let _ = started.set(Started { at: app.started_at, took });
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let said = format!("agentd {version} as pid {pid}, serving after {} ms", took.as_millis());
    app.note(EventKind::DaemonStarted, said).await;
}

pub(super) fn checklist_of(
    (readiness, backups, metrics): (&Readiness, &Backups, &Metrics),
    settings: &watch::Receiver<Arc<Settings>>,
    config_digest: &watch::Receiver<String>,
    store: &Store,
    clock: &Clock,
) -> Checklists {
    Checklists::new(ChecklistParts {
        readiness: readiness.clone(),
        settings: settings.clone(),
        store: store.clone(),
        clock: clock.clone(),
        backups: Some(Arc::new(LastMade::of(backups))),
        config_digest: config_digest.clone(),
        metrics: Some(metrics.clone()),
    })
}

/// Looks from now on; the first look is at the next full ten seconds.
fn measured(
    settings: &watch::Receiver<Arc<Settings>>,
    clock: &Clock,
    (store, supervisor, monitor, errors): (&Store, &Supervisor, &Monitor, &Errors),
) -> Metrics {
    let parts = MetricsParts { settings: settings.clone(), store: store.clone(), clock: clock.clone() };
    let metrics = Metrics::new(parts);
    metrics.record(supervisor.clone(), monitor.clone(), errors.clone());
    metrics
}

/// Serves both sockets, and keeps what breakers come to, until `closing`.
fn answer(
    app: &App,
    routes: &[Route],
    (operators, reporters): (Bound, Bound),
    descriptors: u64,
    closing: &CancellationToken,
) -> TaskTracker {
    let ours = vec![0, rustix::process::geteuid().as_raw()];
    let admission = Admission::new(Bounds::for_descriptors(descriptors), ours);
    let listeners = TaskTracker::new();
    let directory: Arc<dyn Directory> = Arc::new(Roster::new(app.supervisor.clone()));
    let reports = routes.iter().filter(|route| route.needs == Permission::AgentReport).cloned();
    let reports = Router::new(reports, app.clone(), Arc::clone(&directory));
    let all = Router::new(routes.iter().cloned(), app.clone(), directory);
    for (bound, router) in [(operators, all), (reporters, reports)] {
        let server = Server { bound, admission: Arc::clone(&admission), answer: Arc::new(router) };
        listeners.spawn(server.serve(closing.clone()));
    }
    let policies = app.monitor.policies().clone();
    listeners.spawn(keep_breakers(policies, app.store.clone(), closing.clone()));
    listeners.close();
    listeners
}

/// Breakers stand as they stood before the first look is made.
async fn watch_over(
    settings: &Arc<Settings>,
    supervisor: &Supervisor,
    store: &Store,
    clock: &Clock,
    errors: &Errors,
) -> Result<Monitor, Fault> {
    let policies = Policies::new(clock.clone());
    restore_breakers(&policies, store).await?;
    Ok(Monitor::launch(MonitorParts {
        settings: Arc::clone(settings),
        supervisor: supervisor.clone(),
        store: store.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
        policies,
    }))
}

/// Opening may migrate, and so take long: not on a runtime thread.
async fn open_store(paths: &Arc<Paths>, settings: &Settings, clock: &Clock) -> Result<Store, Fault> {
    let (paths, settings, clock) = (Arc::clone(paths), settings.store.clone(), clock.clone());
    tokio::task::spawn_blocking(move || Store::open(&paths.database, &paths.backups, &settings, clock))
        .await
        .map_err(|panic| Fault::internal(format!("cannot open the store: {panic}")))?
        .map_err(Fault::from)
}

/// Makes a directory that only we may enter, or narrows an existing one of ours to that.
pub(super) fn make_private(directory: &Path) -> Result<(), Fault> {
    let failed = |error: std::io::Error| {
        Fault::new(
            FaultKind::Config,
            format!("cannot use {} as state directory: {error}", directory.display()),
        )
        .hint("name another with --state-dir or `state_dir` under [daemon]")
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let metadata = fs::metadata(directory).map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        let owner = metadata.uid();
        return Err(failed(std::io::Error::other(format!(
            "it belongs to uid {owner}, and this is uid {own}"
        ))));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

fn socket_group(settings: &Settings) -> Result<Option<u32>, Fault> {
    let Some(name) = &settings.access.socket_group else { return Ok(None) };
    let found = Names::of_this_machine().ok().and_then(|names| names.group(name));
    found.map(Some).ok_or_else(|| {
        Fault::new(
            FaultKind::Config,
            format!("cannot give the socket to group `{}`: there is none", name.escape_debug()),
        )
        .hint("`socket_group` under [access] takes a name from /etc/group or a number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_is_made_private_or_narrowed() {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("deep/state");
        make_private(&state).expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("it exists").mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        fs::set_permissions(&state, Permissions::from_mode(0o755)).expect("opened");
        make_private(&state).expect("narrowed");
        assert_eq!(mode(&state), 0o700);
        fs::write(home.path().join("file"), "").expect("written");
        assert_eq!(make_private(&home.path().join("file")).expect_err("a file").kind, FaultKind::Config);
    }
}
