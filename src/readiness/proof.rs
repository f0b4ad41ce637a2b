//! Scratch ground: private copies in which controls are exercised. Nothing of it outlives the run: not a file, not a
//! process, whether a check ends well, panics, is cut off, or the daemon dies under it.
use super::survivors;
use crate::{
    agents::{Supervisor, SupervisorParts},
    config::{Paths, Settings, StoreSettings},
    domain::{AgentStatus, Fault, FleetSnapshot, InstanceStatus, Period, ProbeStatus},
    errors::Errors,
    health::{Monitor, MonitorParts},
    resilience::{Clock, Policies},
    store::Store,
};
use serde_json::{Value, json};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// In each plot that may have processes: what marks them.
const MARK: &str = "fleet-id";
/// How often a plot that does not go is removed again, and how far apart.
const REMOVALS: u32 = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(10);
/// How long the end of a scratch fleet may take before what is left is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where scratch copies are made, and who waits until the last is gone.
#[derive(Clone)]
pub struct Ground {
    base: PathBuf,
    clock: Clock,
    open: TaskTracker,
}

/// One private directory, removed when dropped.
pub struct Plot {
    dir: TempDir,
}

/// A real supervisor and monitor over a scratch store, with real children.
pub struct ScratchFleet {
    live: Option<Live>,
    open: TaskTracker,
}

struct Live {
    supervisor: Supervisor,
    monitor: Option<Monitor>,
    errors: Errors,
    store: Store,
    settings: Arc<Settings>,
    paths: Paths,
    plot: Plot,
    clock: Clock,
}

impl Ground {
    pub fn new(base: impl Into<PathBuf>, clock: Clock) -> Self {
        Self { base: base.into(), clock, open: TaskTracker::new() }
    }

    /// Removes what a daemon that was killed in mid-run left behind, its processes first. Returns how many plots.
    pub fn sweep(&self) -> io::Result<usize> {
        let plots = match fs::read_dir(&self.base) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            plots => plots?,
        };
        let mut swept = 0;
        for plot in plots {
            let plot = plot?.path();
            if let Ok(mark) = fs::read_to_string(plot.join(MARK)) {
                survivors::kill_all(mark.trim())?;
            }
            fs::remove_dir_all(&plot)?;
            swept += 1;
        }
        Ok(swept)
    }

    pub fn plot(&self) -> Result<Plot, Fault> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.base).and_then(|()| {
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir_in(&self.base)
        });
        made.map(|dir| Plot { dir }).map_err(|error| {
            Fault::internal(format!("cannot make scratch ground in {}: {error}", self.base.display()))
        })
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// A store of its own in a plot, opened as the daemon opens its own.
    pub async fn store(&self, plot: &Plot, settings: &StoreSettings) -> Result<Store, Fault> {
        let (path, backups) = (plot.path().join("scratch.db"), plot.path().join("backups"));
        let (settings, clock) = (settings.clone(), self.clock());
        blocking(move || Store::open(&path, &backups, &settings, clock).map_err(Fault::from)).await
    }

    /// Starts a scratch fleet. `agents` are entries as the manifest has them; limits, stop times and probes count as
    /// they do there. With `watched`, a real monitor probes it.
    pub async fn fleet(&self, overlay: Value, watched: bool) -> Result<ScratchFleet, Fault> {
        let plot = self.plot()?;
        let settings = scratch_settings(plot.path(), overlay)?;
        let paths = Paths::new(&settings);
        for dir in [&paths.state_dir, &paths.backups, &paths.fifos, &paths.agent_logs, &paths.runtime_dir] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|error| Fault::internal(format!("cannot make {}: {error}", dir.display())))?;
        }
        let store = {
            let (paths, settings, clock) = (paths.clone(), settings.clone(), self.clock());
            blocking(move || {
                Store::open(&paths.database, &paths.backups, &settings.store, clock).map_err(Fault::from)
            })
            .await?
        };
        // Before the first child: whoever sweeps after a crash must know what to look for.
        fs::write(plot.path().join(MARK), store.fleet_id())
            .map_err(|error| Fault::internal(format!("cannot mark {}: {error}", plot.path().display())))?;
        let live = Live::launch(settings, paths, store, plot, self.clock(), watched).await?;
        Ok(ScratchFleet { live: Some(live), open: self.open.clone() })
    }

    /// Until it is dropped, the ground is not clear: for whoever may still start something on it.
    pub fn presence(&self) -> TaskTrackerToken {
        self.open.token()
    }

    /// Waits until everything scratch is gone; false if something still is not at the deadline.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.open.close();
        let gone = timeout(deadline, self.open.wait()).await.is_ok();
        // Only when it is empty: another ground may still stand on it.
        let _ = fs::remove_dir(&self.base);
        gone
    }
}

impl Drop for Plot {
    /// What still closes a file in it may leave one more behind just then, so it is tried again for a moment.
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(self.dir.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(BETWEEN_REMOVALS),
                _ => return,
            }
        }
    }
}

impl Plot {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl ScratchFleet {
    fn live(&self) -> &Live {
        // `live` is taken by `finish` and `drop` alone, and both consume the fleet.
        self.live.as_ref().expect("a scratch fleet lives until it is finished")
    }

    pub fn supervisor(&self) -> &Supervisor {
        &self.live().supervisor
    }

    pub fn store(&self) -> &Store {
        &self.live().store
    }

    /// None where it is not watched.
    pub fn monitor(&self) -> Option<&Monitor> {
        self.live().monitor.as_ref()
    }

    /// What failed in it.
    pub fn errors(&self) -> &Errors {
        &self.live().errors
    }

    pub fn settings(&self) -> &Settings {
        &self.live().settings
    }

    pub fn paths(&self) -> &Paths {
        &self.live().paths
    }

    pub fn path(&self) -> &Path {
        self.live().plot.path()
    }

    /// What marks its processes in their environment.
    pub fn mark(&self) -> &str {
        self.live().store.fleet_id()
    }

    pub fn probes(&self) -> Vec<ProbeStatus> {
        self.live().monitor.as_ref().map(Monitor::snapshot).unwrap_or_default()
    }

    /// Polls the fleet until `wanted` finds what it looks for; None at the deadline.
    pub async fn until<T>(
        &self,
        deadline: Duration,
        wanted: impl Fn(&FleetSnapshot) -> Option<T>,
    ) -> Option<T> {
        poll(deadline, || wanted(&self.supervisor().snapshot())).await
    }

    /// Waits for the first instance of an agent to be as `wanted` says.
    pub async fn instance(
        &self,
        agent: &str,
        deadline: Duration,
        wanted: impl Fn(&AgentStatus, &InstanceStatus) -> bool,
    ) -> Option<InstanceStatus> {
        self.until(deadline, |fleet| {
            let agent = fleet.agent(agent)?;
            let instance = agent.instances.first()?;
            wanted(agent, instance).then(|| instance.clone())
        })
        .await
    }

    /// Its supervisor goes without a goodbye, as in a crash of the daemon, and the next takes its place, by settings of
    /// its own over the same store.
    pub async fn crash_and_relaunch(mut self, overlay: Value) -> Result<Self, Fault> {
        let Some(live) = self.live.take() else { return Ok(self) };
        let settings = scratch_settings(live.plot.path(), overlay)?;
        let Live { supervisor, monitor, store, paths, plot, clock, .. } = live;
        drop((supervisor, monitor));
        self.live = Some(Live::launch(settings, paths, store, plot, clock, false).await?);
        Ok(self)
    }

    /// Ends it and says how many of its processes were alive after the supervisor said that it was done. They are
    /// killed then.
    pub async fn finish(mut self) -> usize {
        match self.live.take() {
            Some(live) => live.end().await,
            None => 0,
        }
    }
}

impl Live {
    async fn launch(
        settings: Settings,
        paths: Paths,
        store: Store,
        plot: Plot,
        clock: Clock,
        watched: bool,
    ) -> Result<Self, Fault> {
        let settings = Arc::new(settings);
        let errors = Errors::open(&settings.errors, store.clone(), clock.clone());
        let parts = SupervisorParts {
            settings: settings.clone(),
            paths: paths.clone(),
            store: store.clone(),
            clock: clock.clone(),
            errors: errors.clone(),
        };
        let supervisor = Supervisor::launch(parts).await?;
        let monitor = watched.then(|| {
            Monitor::launch(MonitorParts {
                settings: settings.clone(),
                supervisor: supervisor.clone(),
                store: store.clone(),
                clock: clock.clone(),
                errors: errors.clone(),
                policies: Policies::new(clock.clone()),
            })
        });
        Ok(Self { supervisor, monitor, errors, store, settings, paths, plot, clock })
    }

    async fn end(self) -> usize {
        let mark = self.store.fleet_id().to_owned();
        if let Some(monitor) = &self.monitor {
            let _ = timeout(FAREWELL, monitor.shutdown()).await;
        }
        let _ = timeout(FAREWELL * 2, self.supervisor.shutdown(FAREWELL)).await;
        let left = survivors::marked(&mark).map_or(0, |pids| pids.len());
        // Nothing can be done about a process that cannot be killed; the next sweep tries again.
        let _ = survivors::kill_all(&mark);
        self.errors.close().await;
        let _ = timeout(FAREWELL, self.store.close()).await;
        drop(self.plot);
        left
    }
}

impl Drop for ScratchFleet {
    /// A check that panicked or was cut off ends here; the ground waits for it.
    fn drop(&mut self) {
        if let (Some(live), Ok(runtime)) = (self.live.take(), tokio::runtime::Handle::try_current()) {
            self.open.spawn_on(live.end(), &runtime);
        }
    }
}

/// Asks again until there is an answer; None at the deadline.
pub async fn poll<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Work that blocks, off the runtime's threads. A panic in it is a fault.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::internal(format!("cannot finish a look: {error}"))),
    }
}

/// Settings of a scratch daemon: everything in `root`, a small store, and what `overlay` says.
fn scratch_settings(root: &Path, overlay: Value) -> Result<Settings, Fault> {
    let mut settings: Settings = serde_json::from_value(overlay)
        .map_err(|error| Fault::internal(format!("cannot read scratch settings: {error}")))?;
    settings.daemon.state_dir = Some(root.join("state"));
    settings.daemon.socket = Some(root.join("run/agentd.sock"));
    settings.store.readers_min = 1;
    settings.store.readers_max = 2;
    Ok(settings)
}

/// A `process` agent that runs a shell script, stopped fast. Scratch intervals are shorter than real ones.
pub fn script_agent(name: &str, kind: &str, script: &str) -> Value {
    json!({
        "name": name,
        "kind": kind,
        "tier": "scratch",
        "start_timeout": Period::secs(30).to_string(),
        "stop_timeout": Period::millis(400).to_string(),
        "user": "inherit",
        "options": { "command": ["/bin/sh", "-c", script] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_private_and_goes_with_its_holder_even_in_a_panic() {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        let plot = ground.plot().expect("a plot");
        let path = plot.path().to_owned();
        assert_eq!(fs::metadata(&path).expect("the plot").permissions().mode() & 0o777, 0o700);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = plot;
            panic!("a check with a bug");
        }));
        assert!(panicked.is_err() && !path.exists(), "{} is left", path.display());
    }

    #[test]
    fn a_sweep_kills_what_a_dead_daemon_left_and_removes_its_files() {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path(), Clock::system());
        let mark = format!("sweep-test-{}", std::process::id());
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .env(survivors::VARIABLE, &mark)
            .spawn()
            .expect("a child");
        let plot = base.path().join("left");
        fs::create_dir(&plot).expect("a plot");
        fs::write(plot.join(MARK), &mark).expect("a mark");
        let seen = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            survivors::marked(&mark).expect("a look").len() == 1
        });
        assert!(seen, "the child is not seen by its mark");
        assert_eq!(ground.sweep().expect("a sweep"), 1);
        let status = child.wait().expect("its end");
        assert!(!status.success() && !plot.exists());
    }
}
