//! What the end-to-end tests stand on: a real daemon of their own, the real client, real servers to depend on, and
//! words without times in them.
mod ctl;
mod daemon;
mod look;
mod orders;
mod patience;
mod postgres;
mod redact;
mod redis;

pub use ctl::{Answer, agentctl, agentctl_bin};
pub use daemon::Daemon;
pub use look::{agent, becomes, free_port, instance, probe, probes, saw, state, transitions};
pub use orders::{ORDERS, orders};
pub use patience::{PATIENCE, ends, eventually};
pub use postgres::{PASSWORD, Postgres};
pub use redact::redact;
pub use redis::Redis;
