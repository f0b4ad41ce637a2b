//! From the first signal handler to the last byte of the log: starts in order, stops in reverse, within a deadline.
use super::{
    App, Plan, Running, Voice,
    boot::{boot, make_private},
    core_dumps,
    logging::Logging,
    notify,
};
use crate::{
    config::Paths,
    domain::{EventKind, Fault},
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

/// A whole life: returns when the daemon has stopped, or why it could not start.
pub async fn run(plan: Plan, voice: Voice) -> Result<(), Fault> {
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
    notify::ready();
    tracing::info!("ready");
    let watchdog = tokio::spawn(notify::keep_watchdog(app.store.clone()));
    let pruning = tokio::spawn(prune_hourly(app.clone()));
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => drop(tokio::spawn(reload(app.clone()))),
                Wish::Stop => break,
            },
            () = app.control.stop_asked() => break,
        }
    }
    pruning.abort();
    running.stop(signals.second_stop()).await;
    watchdog.abort();
    tracing::info!("stopped");
    drop(log);
    Ok(())
}

impl Running {
    /// Everything in reverse: no new work, probes, agents, sockets, store. `hasten` kills what has not ended.
    pub async fn stop(self, hasten: impl Future<Output = ()>) {
        let Self { app, listeners, closing, _lock } = self;
        let deadline = app.settings.borrow().daemon.stop_deadline.0;
        tracing::info!(deadline_s = deadline.as_secs_f64(), "stopping");
        notify::stopping();
        app.control.stop();
        app.note(EventKind::DaemonStopping, format!("pid {}", std::process::id())).await;
        within(STEP, "the monitor", app.monitor.shutdown()).await;
        stop_agents(&app, deadline, hasten).await;
        closing.cancel();
        within(STEP, "the listeners", listeners.wait()).await;
        within(STEP, "the quotas", app.meter.close()).await;
        within(CLOSE, "the store", app.store.close()).await;
    }
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
        within(STEP * 2, "the agents", at_once).await;
    }
}

async fn within(limit: Duration, what: &str, step: impl Future<Output = ()>) {
    if timeout(limit, step).await.is_err() {
        tracing::error!(limit_s = limit.as_secs_f64(), "gave up on {what}");
    }
}

async fn reload(app: App) {
    // It logs its own outcome.
    let _ = app.reload().await;
}

async fn prune_hourly(app: App) {
    tokio::time::sleep(PRUNE_FIRST).await;
    loop {
        prune(&app.store, &app).await;
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

async fn prune(store: &Store, app: &App) {
    let retention = app.settings.borrow().retention.clone();
    match store.prune(retention).await {
        Ok(rows) => tracing::debug!(rows, "pruned"),
        Err(error) => tracing::warn!(%error, "cannot prune"),
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
