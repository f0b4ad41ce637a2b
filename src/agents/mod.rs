//! Runs the fleet: children, their limits and their ends, restarts, adoption after a daemon's death.
#[allow(dead_code, unused_imports)]
mod child;
pub mod ports;
mod supervisor;

pub use supervisor::{ApplyReport, LogQuery, Supervisor, SupervisorParts};
