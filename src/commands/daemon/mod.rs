//! The daemon itself: start, stop, status, logs.
mod args;
mod logs;
mod serve;
mod start;
mod stop;

pub use args::{Args, run};
pub use serve::{ask, routes};
