//! Long work that survives a crash: a straight list of steps, each intent written before and each result after, to a
//! journal that is a file of its own, so that putting the database back cannot erase it.
//!
//! A step is run, or undone, as often as it takes until its result is written, and never after that.
mod blueprint;
mod board;
#[cfg(test)]
mod crash_tests;
mod engine;
mod journal;
#[cfg(test)]
mod kill_tests;
mod recover;
mod registry;
mod runner;
#[cfg(test)]
mod scene;
mod seam;
mod site;
mod step;
#[cfg(test)]
mod tests;

pub use blueprint::Blueprint;
pub use engine::Operations;
pub use recover::Recovered;
pub use registry::Registry;
pub use site::Site;
pub use step::{Interrupted, Step};
