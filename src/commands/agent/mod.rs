//! The fleet one agent at a time: list, show, start, stop, restart, scale, logs.
mod args;
mod control;
mod logs;
mod look;
mod wait;

pub use args::{Args, run};

use crate::daemon::Route;

pub fn routes() -> Vec<Route> {
    [look::routes(), control::routes(), wait::routes(), logs::routes()].into_iter().flatten().collect()
}
