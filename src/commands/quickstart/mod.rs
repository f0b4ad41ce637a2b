//! From nothing to a judged fleet in one command, with nothing left behind.
mod tour;

pub use tour::{Args, routes, run};
