//! The one manifest, `agentd.toml`: what may stand in it, how it is read, where each value came from.
mod appraise;
mod check;
mod declared;
mod dependency;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod golden;
mod kinds;
mod load;
#[cfg(test)]
mod load_tests;
mod paths;
mod policy;
mod problem;
mod rest;
mod restart;
mod schema;
mod secret;
mod settings;
mod shape;
mod source;
mod strength;
mod suspect;
mod templates;
mod tree;
mod variables;
mod verify;
mod view;

pub use appraise::{Appraisal, Issued, appraise};
pub use declared::CheckSettings;
pub use dependency::DependencySettings;
pub use kinds::{Kind, Kinds, OptionProblem, read_options};
pub use load::{Loaded, load};
pub use paths::Paths;
pub use policy::{BackoffGrowth, BreakerSettings, DEFAULT_POLICY, PolicySettings, PolicyValues};
pub use problem::{Problem, Problems, Severity, SourceText};
pub use restart::{BackoffRange, LatchRule, RestartSettings};
pub use schema::json_schema;
pub use secret::{check_reference, is_reference, resolve};
pub use settings::{
    AccessSettings, AgentSettings, AgentSystem, Cgroups, Contact, DaemonSettings, Limits, LogSettings,
    ProbeSettings, ReadinessSettings, RetentionSettings, Settings, StoreSettings,
};
pub use source::{Sources, candidates};
pub use suspect::name_is_secret;
pub use templates::{TEMPLATES, Template};
pub use tree::Origin;
pub use variables::variable;
