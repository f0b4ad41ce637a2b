//! From the first signal handler to the last byte of the log: starts in order, stops in reverse, within a deadline.
use super::{
    App, Control, Plan, Running, Voice,
    boot::{boot, make_private},
    core_dumps,
    logging::Logging,
    notify,
};
use crate::{
    config::Paths,
    domain::{Act, EventKind, Fault, FaultCategory, FaultKind, FaultSeverity},
    errors::{Errors, Failure, hear_panics},
    store::Store,
};
use std::{future::Future, io, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

/// What each of the small steps of a stop may take.
const STEP: Duration = Duration::from_secs(2);
/// The last commit may wait for a slow disk.
const CLOSE: Duration = Duration::from_secs(10);
const PRUNE_FIRST: Duration = Duration::from_secs(60);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How a life went on that ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// It wants to begin again.
    ToStartAnew,
}

/// A whole life: returns when the daemon has stopped, or why it could not start. With `leashed` it stops when its
/// standard input ends.
pub async fn run(plan: Plan, voice: Voice, leashed: bool) -> Result<Ended, Fault> {
    let mut signals =
        Signals::listen().map_err(|error| Fault::internal(format!("cannot listen for signals: {error}")))?;
    let paths = Paths::new(&plan.settings);
    make_private(&paths.state_dir)?;
    let log = Logging::start(&plan.settings.daemon.log, &paths.logs, voice)?;
    // Before the first secret is looked up.
    core_dumps::forbid();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        state_dir = %paths.state_dir.display(),
        socket = %paths.socket.display(),
        config = plan.config_file.as_ref().map(|file| tracing::field::display(file.display())),
        "starting"
    );
    if let Some(warnings) = &plan.warnings {
        tracing::warn!("the configuration is doubtful: {warnings}");
    }
    let running = boot(plan, Some(log.level())).await.inspect_err(|fault| tracing::error!("{fault}"))?;
    let app = running.app.clone();
    if leashed {
        stop_at_the_end_of_input(app.control.clone());
    }
    hear_panics(&app.errors);
    notify::ready();
    tracing::info!("ready");
    let watchdog = tokio::spawn(notify::keep_watchdog(app.store.clone(), app.errors.clone()));
    let recovering = tokio::spawn(recover_releases(app.clone()));
    let rollouts = tokio::spawn(app.rollouts.clone().recover());
    let pruning = tokio::spawn(prune_hourly(app.clone()));
    let triggering = tokio::spawn(app.triggers.clone().watch(app.metrics.looked()));
    let safekeeping = tokio::spawn(app.backups.clone().keep_schedule());
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => drop(app.trail.see_through(reload(app.clone()))),
                Wish::Stop => {
                    app.control.stop();
                    break;
                }
            },
            () = app.control.stop_asked() => break,
        }
    }
    // A rollback that it was about to begin is found again, or was never begun.
    triggering.abort();
    pruning.abort();
    app.backups.close();
    recovering.abort();
    let control = app.control.clone();
    let hasten = async {
        signals.second_stop().await;
        control.stop();
    };
    rollouts.abort();
    running.stop(hasten).await;
    watchdog.abort();
    safekeeping.abort();
    let ended = if control.wants_new_start() { Ended::ToStartAnew } else { Ended::Stopped };
    tracing::info!(anew = ended == Ended::ToStartAnew, "stopped");
    drop(log);
    Ok(ended)
}

impl Running {
    /// Everything in reverse: no new work, probes, agents, sockets, store. `hasten` kills what has not ended.
    pub async fn stop(self, hasten: impl Future<Output = ()>) {
        let Self { app, listeners, closing, _lock } = self;
        let deadline = app.settings.borrow().daemon.stop_deadline.0;
        tracing::info!(deadline_s = deadline.as_secs_f64(), "stopping");
        if app.control.wants_new_start() {
            notify::reloading();
        } else {
            notify::stopping();
            app.control.stop();
        }
        app.note(EventKind::DaemonStopping, format!("pid {}", std::process::id())).await;
        let errors = &app.errors;
        within(STEP * 2, errors, "the operations", app.operations.shutdown()).await;
        within(STEP * 2, errors, "the rollouts", app.rollouts.shutdown()).await;
        within(STEP * 6, errors, "the rehearsal", app.rehearsals.shutdown()).await;
        within(STEP * 2, errors, "the metrics", app.metrics.shutdown()).await;
        within(STEP, errors, "the monitor", app.monitor.shutdown()).await;
        stop_agents(&app, deadline, hasten).await;
        closing.cancel();
        within(STEP, errors, "the listeners", listeners.wait()).await;
        within(STEP, errors, "what is audited", app.trail.settled()).await;
        within(STEP * 2, errors, "the record of failures", errors.close()).await;
        within(STEP, errors, "the quotas", app.meter.close()).await;
        within(CLOSE, errors, "the store", app.store.close()).await;
    }
}

/// On a thread of its own, which a read that never returns does not keep from ending with the process.
fn stop_at_the_end_of_input(control: Control) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tracing::info!("standard input ended");
        control.stop();
    });
}

async fn stop_agents(app: &App, deadline: Duration, hasten: impl Future<Output = ()>) {
    let in_order = app.supervisor.shutdown(deadline);
    tokio::pin!(in_order);
    let hastened = tokio::select! {
        () = &mut in_order => false,
        () = hasten => true,
        // It keeps its own deadline; this one is for a defect in it.
        () = tokio::time::sleep(deadline + STEP) => true,
    };
    if hastened {
        tracing::warn!("killing what has not ended");
        let at_once = async {
            tokio::join!(in_order, app.supervisor.shutdown(Duration::ZERO));
        };
        within(STEP * 2, &app.errors, "the agents", at_once).await;
    }
}

async fn within(limit: Duration, errors: &Errors, what: &str, step: impl Future<Output = ()>) {
    if timeout(limit, step).await.is_err() {
        tracing::error!(limit_s = limit.as_secs_f64(), "gave up on {what}");
        let fault = Fault::new(FaultKind::Timeout, format!("cannot stop {what} in {}s", limit.as_secs()))
            .category(FaultCategory::Resource)
            .severity(FaultSeverity::High);
        errors.record(Failure::new("daemon.stop", fault));
    }
}

/// The kernel does not say who sent the signal; it lets nobody but root and the daemon's own user.
async fn reload(app: App) {
    // A signal says nothing of who sends it, so nobody's approval can be asked for.
    if app.approvals.needed("config/reload") {
        tracing::error!("not reloaded: config/reload needs an approval; use `agentctl config reload`");
        return;
    }
    let act = Act::of_daemon(rustix::process::geteuid().as_raw(), "SIGHUP", "config/reload");
    if let Err(fault) = app.trail.intend(act.clone()).await {
        tracing::error!("configuration not reloaded, since that cannot be audited: {fault}");
        return;
    }
    // It logs its own outcome. One that a request asked for is recorded with that request.
    let outcome = app.reload().await;
    app.trail.ended(act, outcome.as_ref().map(drop)).await;
    if let Err(fault) = outcome {
        app.errors.record(Failure::new("config/reload", fault).context("by SIGHUP"));
    }
}

/// Beside what is served: what is taken in again is hashed, which may take long.
async fn recover_releases(app: App) {
    if let Err(fault) = app.releases.recover().await {
        tracing::warn!(%fault, "cannot look for releases");
        app.errors.record(Failure::new("releases", fault));
    }
}

async fn prune_hourly(app: App) {
    tokio::time::sleep(PRUNE_FIRST).await;
    loop {
        prune(&app.store, &app).await;
        if let Err(fault) = app.releases.prune().await {
            app.errors.record(Failure::new("prune", fault));
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

async fn prune(store: &Store, app: &App) {
    let retention = app.settings.borrow().retention.clone();
    if let Err(fault) = app.operations.prune(retention.operations).await {
        tracing::warn!(%fault, "cannot prune operations");
        app.errors.record(Failure::new("prune", fault));
    }
    match store.prune(retention).await {
        Ok(rows) => tracing::debug!(rows, "pruned"),
        Err(error) => {
            tracing::warn!(%error, "cannot prune");
            app.errors.record(Failure::new("prune", error.into()));
        }
    }
}

enum Wish {
    Reload,
    Stop,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// The next wish to stop; reloads are too late by now.
    async fn second_stop(&mut self) {
        while matches!(self.next().await, Wish::Reload) {}
    }
}
