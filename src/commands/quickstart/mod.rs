//! From nothing to a judged fleet in one command, with nothing left behind.
mod fleet;
mod tour;
mod traces;

pub use tour::{Args, routes, run};
