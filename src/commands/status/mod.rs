//! What is running, and how it fares.
mod serve;
mod show;
mod verdict;

pub use serve::{Request, Status, handle, routes};
pub use show::{Args, run};
