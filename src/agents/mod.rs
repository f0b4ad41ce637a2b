//! Runs the fleet: children, their limits and their ends, restarts, adoption after a daemon's death.
mod actor;
mod adopt;
mod apply;
mod artifact;
mod candidate;
pub mod cgroup;
pub mod child;
pub mod crash;
mod desk;
mod ending;
mod failing;
#[cfg(test)]
mod fleet_fixture;
#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod hardship_tests;
mod identify;
mod journal;
mod listening;
pub mod log_file;
mod machine;
#[cfg(test)]
mod machine_tests;
mod needs;
mod order;
pub mod output;
mod plan;
pub mod ports;
pub mod procfs;
mod reaper;
mod reload;
mod restart;
mod roster;
mod rpc;
mod runtime;
mod separation;
mod shared;
mod snapshot;
mod start;
mod streams;
mod supervisor;
mod switch;
mod system;
mod usage;
mod users;

pub use artifact::{CURRENT, current_release};
pub use candidate::{Candidate, Channels};
pub use order::layers;
pub use supervisor::{ApplyReport, LogQuery, Supervisor, SupervisorParts};
pub use switch::Switch;
pub use usage::{Usage, used_by, used_by_fleet};
pub use users::{AgentUsers, is_distinctive};
