//! Backups of the daemon's state: made, listed, verified, tried out, unpacked, deleted. Both ends, and what can be done
//! without a daemon.
mod args;
mod offline;
mod serve;
mod show;

pub use args::Args;
pub use serve::routes;
pub use show::run;
