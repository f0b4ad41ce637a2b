//! A fleet for tests: a supervisor with a store in a directory of its own, and real children.
use super::{ApplyReport, Supervisor, SupervisorParts, procfs};
use crate::{
    config::{Paths, Settings},
    domain::{AgentName, AgentState, InstanceId, InstanceStatus},
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::time::timeout;

pub(super) const SOON: Duration = Duration::from_secs(30);
/// Answers every request line, a `ping` too.
pub(super) const ECHO: &str = r#"
import sys, json
for line in sys.stdin:
    request = json.loads(line)
    print("not json at all", flush=True)
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": request["params"]}), flush=True)
"#;

pub(super) struct Fleet {
    pub(super) supervisor: Supervisor,
    pub(super) dir: Arc<TempDir>,
}

pub(super) fn settings(dir: &Path, agents: &Value) -> Arc<Settings> {
    let mut settings: Settings = serde_json::from_value(json!({ "agent": agents })).expect("settings");
    settings.daemon.state_dir = Some(dir.join("state"));
    settings.daemon.socket = Some(dir.join("run/agentd.sock"));
    Arc::new(settings)
}

impl Fleet {
    pub(super) async fn launch(agents: Value) -> Self {
        Self::launch_in(Arc::new(tempfile::tempdir().expect("a directory")), agents).await
    }

    pub(super) async fn launch_in(dir: Arc<TempDir>, agents: Value) -> Self {
        let settings = settings(dir.path(), &agents);
        Self::launch_with(dir, settings).await
    }

    pub(super) async fn launch_with(dir: Arc<TempDir>, settings: Arc<Settings>) -> Self {
        let paths = Paths::new(&settings);
        std::fs::create_dir_all(&paths.state_dir).expect("a state directory");
        let clock = Clock::system();
        let store =
            Store::open(&paths.database, &paths.backups, &settings.store, clock.clone()).expect("a store");
        let errors = Errors::open(&settings.errors, store.clone(), clock.clone());
        let parts = SupervisorParts { settings, paths, store, clock, errors };
        Self { supervisor: Supervisor::launch(parts).await.expect("launched"), dir }
    }

    pub(super) async fn apply(&self, agents: Value) -> ApplyReport {
        self.supervisor.apply(settings(self.dir.path(), &agents)).await.expect("applied")
    }

    pub(super) fn instance(&self, id: &str) -> InstanceStatus {
        let id: InstanceId = id.parse().expect("an instance");
        let snapshot = self.supervisor.snapshot();
        snapshot.instances().find(|(_, instance)| instance.id == id).expect("present").1.clone()
    }

    /// Waits on the doorbell until the instance is as wanted.
    pub(super) async fn until(&self, id: &str, what: impl Fn(&InstanceStatus) -> bool) -> InstanceStatus {
        let mut bell = self.supervisor.changes();
        let seen = timeout(SOON, async {
            loop {
                bell.borrow_and_update();
                let id: InstanceId = id.parse().expect("an instance");
                let snapshot = self.supervisor.snapshot();
                let found = snapshot.instances().find(|(_, instance)| instance.id == id);
                if let Some((_, instance)) = found.filter(|(_, instance)| what(instance)) {
                    return instance.clone();
                }
                bell.changed().await.expect("a supervisor");
            }
        });
        seen.await.unwrap_or_else(|_| panic!("{id} stays {:#?}", self.supervisor.snapshot()))
    }

    pub(super) async fn until_state(&self, id: &str, state: AgentState) -> InstanceStatus {
        self.until(id, |instance| instance.state == state).await
    }

    pub(super) async fn end(self) {
        self.supervisor.shutdown(SOON).await;
        assert_eq!(procfs::marked(self.supervisor.fleet_id()), [], "something survived");
    }
}

pub(super) fn name(text: &str) -> AgentName {
    text.parse().expect("a name")
}

pub(super) fn alive(pid: i32) -> bool {
    procfs::read(pid).is_some_and(|process| !process.is_dead())
}

/// A process agent that counts as ready by itself.
pub(super) fn shell(name: &str, script: &str) -> Value {
    json!({
        "name": name, "kind": "process", "user": "inherit", "stop_timeout": "2s",
        "restart": { "backoff": "1ms..5ms" },
        "options": { "command": ["/bin/sh", "-c", script], "ping": false },
    })
}

pub(super) fn echo(name: &str) -> Value {
    json!({
        "name": name, "kind": "process", "user": "inherit", "stop_timeout": "2s",
        "restart": { "backoff": "1ms..5ms" },
        "options": { "command": ["python3", "-c", ECHO] },
    })
}

pub(super) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}
