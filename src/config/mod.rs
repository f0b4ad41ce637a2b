//! The one manifest, `agentd.toml`: what may stand in it, how it is read, where each value came from.
mod kinds;
mod paths;
mod settings;

pub use kinds::{Kind, Kinds, OptionProblem};
pub use paths::Paths;
pub use settings::{
    AccessSettings, AgentSettings, AgentSystem, BackoffRange, Cgroups, Contact, DaemonSettings,
    DependencySettings, LatchRule, Limits, LogSettings, ProbeSettings, ReadinessSettings, RestartSettings,
    RetentionSettings, Settings, StoreSettings,
};
