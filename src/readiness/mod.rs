//! Proves controls by exercising them, scores what it saw, and says what it could not measure.
mod check;
mod checks;
mod claim;
mod compare;
mod conduct;
mod demands;
mod engine;
mod evidence;
mod faults;
mod gate;
mod proof;
mod report;
mod request;
mod score;
mod select;
mod service;
#[cfg(test)]
mod service_fixture;
mod survivors;
mod verify;
mod waiver;
mod waiving;

pub use check::{Check, CheckInfo, Found, Proof};
pub use claim::{Claim, claim};
pub use compare::{Change, Move, State, changes, compare};
pub use evidence::Evidence;
pub use gate::{Gate, GateAnswer};
pub use proof::{Ground, Plot, ScratchFleet};
pub use report::{REPORTERS, Reporter, parse, schema};
pub use request::{Baseline, RunRequest};
pub use score::{Scored, Terms, agrees, recompute, score};
pub use service::{Progress, Readiness, ReadinessParts, Reread};
pub use verify::{Disagreement, verify};
pub use waiving::{WaiverEntry, WaiverRequest};
