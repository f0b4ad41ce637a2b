//! Replies → lines for people. Nothing here asks or decides, but for the exit code that a verdict amounts to.
mod age;
pub mod chart;
mod operation;
mod report;
pub mod sparkline;
mod states;
mod status;

pub use age::age;
pub use operation::{OperationWatcher, exit_of_operation, loud, operation, operations};
pub use report::{CheckRow, Watcher, checks, exit_of, report, runs};
pub use states::{probe_style, state_style};
pub use status::{MOST, join, status, why};
