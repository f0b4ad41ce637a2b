//! Asks whether agents and what they depend on are well, judges the answers over time, tells the supervisor.
mod board;
mod expect;
mod identity;
mod journal;
mod jsonpath;
mod judge;
mod look;
mod monitor;
mod net;
mod plan;
mod probe;
mod reference;
mod roll;
mod schedule;
mod subject;
mod target;
mod tls;
mod want;
mod words;

pub use look::{Prepared, look};
pub use monitor::{Monitor, MonitorParts};
pub use probe::inspect_postgres;
pub use target::Target;
