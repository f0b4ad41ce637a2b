//! Asks whether agents and what they depend on are well, judges the answers over time, tells the supervisor.
mod board;
mod expect;
mod identity;
mod journal;
mod jsonpath;
mod judge;
mod look;
mod miss;
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

pub use expect::ExpectSettings;
pub use look::{Eye, Prepared, look};
pub use miss::Miss;
pub use monitor::{Monitor, MonitorParts};
pub use net::connect;
pub use target::Target;
pub use want::{TextWant, Want};
