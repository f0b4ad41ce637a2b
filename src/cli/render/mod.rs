//! Replies → lines for people. Nothing here asks or decides, but for the exit code that a verdict amounts to.
mod report;

pub use report::{CheckRow, Watcher, checks, exit_of, report, runs};
