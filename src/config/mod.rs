//! The one manifest, `agentd.toml`: what may stand in it, how it is read, where each value came from.
mod access;
mod appraise;
mod approvals;
mod backups;
mod check;
mod checklist;
mod credentials;
mod declared;
mod dependency;
mod errors;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod golden;
mod kinds;
mod load;
#[cfg(test)]
mod load_tests;
mod metrics;
mod paths;
mod policy;
mod problem;
mod quotas;
mod redact;
mod rehearsal;
mod releases;
mod rest;
mod restart;
mod retention;
mod roles;
mod rollout;
mod schema;
mod secret;
mod settings;
mod shape;
mod soak;
mod source;
mod strength;
mod suspect;
mod templates;
mod tree;
mod triggers;
mod variables;
mod verify;
mod view;

pub use access::AccessSettings;
pub use appraise::{Appraisal, Issued, appraise};
pub use approvals::{ApprovalSettings, ApprovedBy};
pub use backups::{BackupDatabase, BackupDatabaseKind, BackupKeep, BackupSettings};
pub use checklist::{ChecklistSettings, ItemSettings, Necessity};
pub use credentials::{KeySettings, SessionSettings};
pub use declared::CheckSettings;
pub use dependency::DependencySettings;
pub use errors::ErrorSettings;
pub use kinds::{Kind, Kinds, Measured, OptionProblem, read_options};
pub use load::{Loaded, load};
pub use metrics::MetricsSettings;
pub use paths::Paths;
pub use policy::{BackoffGrowth, BreakerSettings, DEFAULT_POLICY, PolicySettings, PolicyValues};
pub use problem::{Problem, Problems, Severity, SourceText};
pub use quotas::{FailureSettings, Quota, QuotaSettings, Quotas, Speed};
pub use redact::redact;
pub use rehearsal::RehearsalSettings;
pub use releases::{MigrationSettings, ReleaseSettings};
pub use restart::{BackoffRange, LatchRule, RestartSettings};
pub use retention::RetentionSettings;
pub use roles::{ClientsSettings, EveryClient, RoleSettings};
pub use rollout::RolloutSettings;
pub use schema::json_schema;
pub use secret::{check_reference, is_reference, resolve};
pub use settings::{
    AgentSettings, AgentSystem, Cgroups, Contact, DaemonSettings, Limits, LogSettings, ProbeSettings,
    ReadinessSettings, Settings, StoreSettings,
};
pub use soak::SoakSettings;
pub use source::{Sources, candidates};
pub use suspect::name_is_secret;
pub use templates::{TEMPLATES, Template};
pub use tree::Origin;
pub use triggers::{Limit, TriggerSettings, TriggersSettings};
pub use variables::variable;
