//! Readiness for people: the report, the list of runs and their trend, the list of checks, progress while a run lasts.
mod checklist;
mod checks;
mod findings;
mod head;
mod lines;
mod page;
mod runs;
#[cfg(test)]
mod tests;
mod verdict;
mod waivers;
mod watcher;

pub use checks::{CheckRow, checks};
pub use page::report;
pub use runs::runs;
pub use verdict::exit_of;
pub use watcher::Watcher;
