//! Where things are: one place decides, everything else asks.
use super::Settings;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Every path the daemon uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    pub state_dir: PathBuf,
    pub database: PathBuf,
    /// What the audit trail is chained with; never in the database.
    pub audit_key: PathBuf,
    /// What holds the audit trail from outside the database.
    pub audit_anchors: PathBuf,
    /// The switch over all agents, where it was thrown.
    pub agent_system: PathBuf,
    pub lock: PathBuf,
    pub backups: PathBuf,
    /// Journals of operations; never in the database, which may be put back to what it was.
    pub operations: PathBuf,
    /// Each release in a directory of its own; agents may enter it.
    pub releases: PathBuf,
    /// Which releases were set up on this machine; never in the database either.
    pub prepared: PathBuf,
    /// FIFOs of living agents.
    pub fifos: PathBuf,
    pub logs: PathBuf,
    pub agent_logs: PathBuf,
    /// Private directory of `socket`.
    pub runtime_dir: PathBuf,
    /// What operators talk to.
    pub socket: PathBuf,
    /// Where agents report: serves nothing but `agent.report`. In a directory that others may enter.
    pub report_socket: PathBuf,
}

impl Paths {
    pub fn new(settings: &Settings) -> Self {
        let state_dir = settings.daemon.state_dir.clone().unwrap_or_else(default_state_dir);
        let socket = settings.daemon.socket.clone().unwrap_or_else(Self::default_socket);
        let runtime_dir = socket.parent().unwrap_or(Path::new(".")).to_owned();
        let logs = settings.daemon.log.dir.clone().unwrap_or_else(|| state_dir.join("logs"));
        let mut report_dir = runtime_dir.clone().into_os_string();
        report_dir.push("-report");
        let database = state_dir.join("agentd.db");
        Self {
            audit_key: Self::audit_key_beside(&database),
            audit_anchors: Self::audit_anchors_beside(&database),
            database,
            agent_system: state_dir.join("agent-system.json"),
            lock: state_dir.join("agentd.lock"),
            backups: state_dir.join("backups"),
            operations: state_dir.join("operations"),
            releases: settings.releases.dir.clone().unwrap_or_else(|| default_releases(&state_dir)),
            prepared: state_dir.join("prepared.json"),
            fifos: state_dir.join("fifos"),
            agent_logs: logs.join("agents"),
            report_socket: PathBuf::from(report_dir).join("report.sock"),
            logs,
            runtime_dir,
            socket,
            state_dir,
        }
    }

    /// Where the key of the audit trail of this database is.
    pub fn audit_key_beside(database: &Path) -> PathBuf {
        database.with_file_name("audit.key")
    }

    pub fn audit_anchors_beside(database: &Path) -> PathBuf {
        database.with_file_name("audit.anchors")
    }

    /// Where a client looks when it is told nothing.
    pub fn default_socket() -> PathBuf {
        runtime_base().join("agentd").join("agentd.sock")
    }
}

/// Under root agents have users of their own, who may not enter the state directory.
fn default_releases(state_dir: &Path) -> PathBuf {
    if !is_root() {
        return state_dir.join("releases");
    }
    // Without a slash at its end.
    let mut beside = state_dir.components().collect::<PathBuf>().into_os_string();
    beside.push("-releases");
    beside.into()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn runtime_base() -> PathBuf {
    if is_root() {
        return "/run".into();
    }
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => dir.into(),
        None => env::temp_dir().join(format!("agentd-{}", rustix::process::getuid().as_raw())),
    }
}

fn default_state_dir() -> PathBuf {
    if is_root() {
        return "/var/lib/agentd".into();
    }
    let base = env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()).map_or_else(
        || env::var_os("HOME").map_or_else(env::temp_dir, PathBuf::from).join(".local/state"),
        PathBuf::from,
    );
    base.join("agentd")
}
