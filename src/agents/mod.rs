//! Runs the fleet: children, their limits and their ends, restarts, adoption after a daemon's death.
pub mod cgroup;
pub mod child;
pub mod crash;
pub mod log_file;
#[allow(dead_code)]
mod machine;
#[allow(dead_code)]
mod order;
pub mod output;
pub mod ports;
pub mod procfs;
#[allow(dead_code)]
mod restart;
#[allow(dead_code)]
mod rpc;
#[allow(dead_code, unused_imports)]
mod runtime;
mod supervisor;

pub use supervisor::{ApplyReport, LogQuery, Supervisor, SupervisorParts};
