//! Proves controls by exercising them, scores what it saw, and says what it could not measure.
mod check;
mod gate;
mod service;

pub use check::CheckInfo;
pub use gate::{Gate, GateAnswer};
pub use service::{Progress, Readiness, ReadinessParts, RunRequest};
