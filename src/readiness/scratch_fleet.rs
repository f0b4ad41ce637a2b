//! A fleet on scratch ground: the real supervisor, monitor and record of failures, with real children, that ends with
//! its holder and says what it left.
use super::{
    proof::{Ground, MARK, Plot, blocking, poll},
    survivors,
};
use crate::{
    agents::{Supervisor, SupervisorParts},
    config::{Paths, Settings},
    domain::{AgentStatus, Fault, FleetSnapshot, InstanceStatus, Period, ProbeStatus},
    errors::Errors,
    health::{Monitor, MonitorParts},
    resilience::{Clock, Policies},
    store::Store,
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// How long the end of a scratch fleet may take before what is left is killed.
const FAREWELL: Duration = Duration::from_secs(5);

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
    /// Starts a scratch fleet. `agents` are entries as the manifest has them; limits, stop times and probes count as
    /// they do there. With `watched`, a real monitor probes it.
    pub async fn fleet(&self, overlay: Value, watched: bool) -> Result<ScratchFleet, Fault> {
        self.fleet_on(self.plot()?, overlay, watched).await
    }

    /// The same on a plot that may have a database already: `agentd.db` in `state`.
    pub async fn fleet_on(&self, plot: Plot, overlay: Value, watched: bool) -> Result<ScratchFleet, Fault> {
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
