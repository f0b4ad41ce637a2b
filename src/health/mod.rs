//! Asks whether agents and what they depend on are well, judges the answers over time, tells the supervisor.
mod monitor;

pub use monitor::{Monitor, MonitorParts};
