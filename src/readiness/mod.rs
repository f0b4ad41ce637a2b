//! Proves controls by exercising them, scores what it saw, and says what it could not measure.
mod check;
mod checks;
mod engine;
mod evidence;
mod faults;
mod gate;
mod proof;
mod score;
mod select;
mod service;
mod survivors;

pub use check::{Check, CheckInfo, Found, Proof};
pub use evidence::Evidence;
pub use gate::{Gate, GateAnswer};
pub use proof::{Ground, Plot, ScratchFleet};
pub use score::{Scored, Terms, agrees, recompute, score};
pub use service::{Progress, Readiness, ReadinessParts, Reread, RunRequest, Started};
