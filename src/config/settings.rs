//! The file as one struct. The JSON Schema derived from it is what the file is checked against, so a key that is
//! not here cannot be set, and a key that is here is documented.
use super::{
    AccessSettings, ApprovalSettings, BackupSettings, CheckSettings, ChecklistSettings, ClientsSettings,
    DependencySettings, ErrorSettings, KeySettings, MetricsSettings, PolicySettings, Quotas,
    RehearsalSettings, ReleaseSettings, RestartSettings, RetentionSettings, RoleSettings, RolloutSettings,
    SessionSettings, TriggerSettings, TriggersSettings,
};
use crate::domain::{AgentName, ByteSize, Category, Period, ProbeRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The whole of `agentd.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Version of this format; 1.
    pub schema: u32,
    /// Which environment this is: dev, staging, production or a name of yours. Selects `[environment.NAME]`.
    pub environment: String,
    /// The switch over all agents: off starts none.
    pub agent_system: AgentSystem,
    /// People and teams that agents name as owner.
    pub contacts: BTreeMap<String, Contact>,
    pub daemon: DaemonSettings,
    pub access: AccessSettings,
    pub sessions: SessionSettings,
    pub keys: KeySettings,
    /// Roles of yours in the applications, beside system, conversation, analytics, support and readonly.
    #[serde(rename = "role", skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleSettings>,
    pub approvals: ApprovalSettings,
    pub quotas: Quotas,
    pub store: StoreSettings,
    pub retention: RetentionSettings,
    pub releases: ReleaseSettings,
    pub rollout: RolloutSettings,
    pub rehearsal: RehearsalSettings,
    pub backups: BackupSettings,
    pub errors: ErrorSettings,
    pub metrics: MetricsSettings,
    pub triggers: TriggersSettings,
    /// What acts by itself on what is measured.
    #[serde(rename = "trigger", skip_serializing_if = "Vec::is_empty")]
    pub triggers_declared: Vec<TriggerSettings>,
    pub readiness: ReadinessSettings,
    #[serde(rename = "agent")]
    pub agents: Vec<AgentSettings>,
    /// What agents need that agentd does not run: databases, brokers, APIs.
    #[serde(rename = "dependency")]
    pub dependencies: Vec<DependencySettings>,
    /// What `validate` asks of the application, beside its own checks.
    #[serde(rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckSettings>,
    pub checklist: ChecklistSettings,
    /// How dependencies are called, by name: default, database, llm, email, sms, webhook, or a name of yours.
    #[serde(rename = "policy", skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, PolicySettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: 1,
            environment: "dev".into(),
            agent_system: AgentSystem::On,
            contacts: BTreeMap::new(),
            daemon: DaemonSettings::default(),
            access: AccessSettings::default(),
            sessions: SessionSettings::default(),
            keys: KeySettings::default(),
            roles: Vec::new(),
            approvals: ApprovalSettings::default(),
            quotas: Quotas::default(),
            store: StoreSettings::default(),
            retention: RetentionSettings::default(),
            releases: ReleaseSettings::default(),
            rollout: RolloutSettings::default(),
            rehearsal: RehearsalSettings::default(),
            backups: BackupSettings::default(),
            errors: ErrorSettings::default(),
            metrics: MetricsSettings::default(),
            triggers: TriggersSettings::default(),
            triggers_declared: Vec::new(),
            readiness: ReadinessSettings::default(),
            agents: Vec::new(),
            dependencies: Vec::new(),
            checks: Vec::new(),
            checklist: ChecklistSettings::default(),
            policies: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// A look never takes longer than the time to the next one.
    pub(super) fn fit_deadlines(&mut self) {
        for probe in self.agents.iter_mut().flat_map(|agent| &mut agent.probes) {
            probe.deadline = probe.deadline.min(probe.every);
        }
        for dependency in &mut self.dependencies {
            dependency.deadline = dependency.deadline.min(dependency.every);
        }
    }

    /// An artifact's path is meant from where the manifest is.
    pub(super) fn place_artifacts(&mut self, manifest: &Path) {
        let manifest = std::path::absolute(manifest).unwrap_or_else(|_| manifest.to_owned());
        let Some(here) = manifest.parent() else { return };
        for artifact in self.agents.iter_mut().filter_map(|agent| agent.artifact.as_mut()) {
            *artifact = here.join(&*artifact);
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgentSystem {
    Off,
    #[default]
    On,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    /// How people call it.
    pub name: String,
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DaemonSettings {
    /// Database, FIFOs and backups. Default: /var/lib/agentd for root, else $XDG_STATE_HOME/agentd.
    pub state_dir: Option<PathBuf>,
    /// The socket. Default: /run/agentd/agentd.sock for root, else $XDG_RUNTIME_DIR/agentd/agentd.sock.
    pub socket: Option<PathBuf>,
    pub log: LogSettings,
    /// How many agents may be starting at the same time; 0 lifts the bound.
    pub start_concurrency: u32,
    /// How long a stop of the whole fleet may take before what is left is killed.
    pub stop_deadline: Period,
    /// Put each instance in a cgroup of its own where the machine allows it.
    pub cgroups: Cgroups,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            state_dir: None,
            socket: None,
            log: LogSettings::default(),
            start_concurrency: 8,
            stop_deadline: Period::secs(60),
            cgroups: Cgroups::Auto,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cgroups {
    #[default]
    Auto,
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogSettings {
    /// error, warn, info, debug or trace, or a tracing filter such as `info,agentctl::health=debug`.
    pub level: String,
    /// Where the daemon's and the agents' logs go. Default: `logs` in the state directory.
    pub dir: Option<PathBuf>,
    /// How many rotated files of the daemon's log are kept, a day each.
    pub keep: u32,
    /// An agent's log is rotated at this size.
    pub agent_max_size: ByteSize,
    /// How many rotated files of each agent are kept.
    pub agent_keep: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".into(), dir: None, keep: 7, agent_max_size: ByteSize(10 << 20), agent_keep: 3 }
    }
}

/// The SQLite store. Defaults of document 000: 10 to 50 connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoreSettings {
    /// Readers kept open.
    pub readers_min: u32,
    pub readers_max: u32,
    /// How long a query waits for a reader before it is refused.
    pub checkout_timeout: Period,
    pub idle_timeout: Period,
    pub max_age: Period,
    /// Writes that may wait; one more is refused as busy.
    pub write_queue: u32,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            readers_min: 10,
            readers_max: 50,
            checkout_timeout: Period::secs(5),
            idle_timeout: Period::secs(300),
            max_age: Period::secs(3600),
            write_queue: 4096,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReadinessSettings {
    /// The score, 0 to 100, under which a fleet is not ready.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub bar: f64,
    /// Weight of each category; those not named keep their default.
    pub weights: BTreeMap<Category, f64>,
    /// How long one check may take.
    pub check_deadline: Period,
    /// How many waivers may be in force before that is a finding itself.
    pub max_waivers: u32,
    /// How far ahead a waiver may expire.
    pub waiver_max: Period,
    /// How old the last validation of everything may be.
    pub max_age: Period,
    /// Leave out what .gitignore and .ignore files name when agents' directories are searched for secrets.
    pub honor_ignore_files: bool,
}

impl Default for ReadinessSettings {
    fn default() -> Self {
        Self {
            bar: 85.0,
            weights: BTreeMap::new(),
            check_deadline: Period::secs(20),
            max_waivers: 5,
            waiver_max: Period::secs(365 * 86400),
            max_age: Period::secs(7 * 86400),
            honor_ignore_files: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentSettings {
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9][a-z0-9_.-]{0,62}$"))]
    pub name: AgentName,
    /// process, service or http.
    pub kind: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// A group for the status page: core, essential, revenue …
    #[serde(default = "default_tier")]
    pub tier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it can do, for allocation and for readers.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// A key of [contacts].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it may do in the applications: system, conversation, analytics, support, readonly, or a [[role]] of yours.
    /// Without one, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whose data it may see there: "all", or a list of clients' ids. Without it, nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientsSettings>,
    /// Agents and dependencies that must be ready first.
    #[serde(default)]
    pub depends_on: Vec<String>,
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: u32,
    #[serde(default)]
    pub restart: RestartSettings,
    /// How long it may take to become ready.
    #[serde(default = "start_timeout")]
    pub start_timeout: Period,
    /// How long TERM may take before KILL; TERM is repeated half way.
    #[serde(default = "stop_timeout")]
    pub stop_timeout: Period,
    #[serde(default)]
    pub limits: Limits,
    /// Unix user: a name, a number, `auto` (a uid of its own; the default under root) or `inherit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Directory with its code, meant from where this file is. Releases hold a copy of it; `{artifact}` in the options is
    /// that copy in the release that runs, or the directory itself while no release does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<PathBuf>,
    /// Ports on which it may listen beyond this machine; 0 is the one that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposes: Vec<u16>,
    #[serde(default, rename = "probe")]
    pub probes: Vec<ProbeSettings>,
    /// Depends on the kind.
    #[serde(default = "empty_table")]
    pub options: Value,
}

/// Kernel limits of each process of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Private memory (RLIMIT_DATA; and memory.max where it has a cgroup with the controller).
    pub memory: Option<ByteSize>,
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC, counted by the kernel over all processes of its user.
    pub processes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSettings {
    pub name: String,
    #[serde(default)]
    pub role: ProbeRole,
    /// http, tcp, exec, process, heartbeat, sqlite, postgres or redis.
    pub kind: String,
    /// Between looks, jittered by a tenth.
    #[serde(default = "every")]
    pub every: Period,
    /// How long one look may take. Default: 5s, or `every` where that is shorter.
    #[serde(default = "deadline")]
    pub deadline: Period,
    /// Failures in a row before it counts as failing.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: u32,
    /// Successes in a row before it counts as passing again.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub success_threshold: u32,
    /// Depends on the kind.
    #[serde(default = "empty_table")]
    pub options: Value,
}

impl ProbeSettings {
    /// One that nobody declared, with the defaults of one that somebody did.
    pub fn readiness(name: impl Into<String>, kind: impl Into<String>, options: Value) -> Self {
        Self {
            name: name.into(),
            role: ProbeRole::Readiness,
            kind: kind.into(),
            every: every(),
            deadline: deadline(),
            failure_threshold: three(),
            success_threshold: one(),
            options,
        }
    }
}

fn yes() -> bool {
    true
}
fn default_tier() -> String {
    "default".into()
}
fn one() -> u32 {
    1
}
fn three() -> u32 {
    3
}
fn every() -> Period {
    Period::secs(30)
}
fn deadline() -> Period {
    Period::secs(5)
}
fn start_timeout() -> Period {
    Period::secs(60)
}
fn stop_timeout() -> Period {
    Period::secs(10)
}
fn empty_table() -> Value {
    Value::Object(serde_json::Map::new())
}
