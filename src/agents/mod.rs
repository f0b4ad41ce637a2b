//! Runs the fleet: children, their limits and their ends, restarts, adoption after a daemon's death.
#[allow(dead_code, unused_imports)]
mod child;
#[allow(dead_code)]
mod machine;
#[allow(dead_code)]
mod order;
pub mod ports;
#[allow(dead_code)]
mod restart;
#[allow(dead_code)]
mod rpc;
#[allow(dead_code, unused_imports)]
mod runtime;
mod supervisor;

pub use supervisor::{ApplyReport, LogQuery, Supervisor, SupervisorParts};
