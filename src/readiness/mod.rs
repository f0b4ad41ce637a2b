//! Proves controls by exercising them, scores what it saw, and says what it could not measure.
mod aside;
mod asked;
mod check;
mod checks;
mod claim;
mod compare;
mod conduct;
mod declared;
mod demands;
mod engine;
mod evidence;
mod faults;
mod gate;
pub mod leaks;
mod proof;
mod references;
mod rehearsed;
mod reload;
mod report;
mod request;
mod safekeeping;
mod score;
mod scratch_fleet;
mod select;
mod serve;
mod service;
#[cfg(test)]
mod service_fixture;
mod survivors;
#[cfg(test)]
mod tls_fixture;
mod triggering;
mod trust;
mod undisturbed;
mod verify;
mod waiver;
mod waiving;

pub use aside::Aside;
pub use asked::{Declared, Run};
pub use check::{Check, CheckInfo, Found, Proof};
pub use checks::way_to;
pub use claim::{Claim, claim};
pub use compare::{Change, Move, State, changes, compare};
pub use declared::declare;
pub use evidence::Evidence;
pub use gate::{Gate, GateAnswer};
pub use proof::{Ground, Plot};
pub use rehearsed::Rehearsing;
pub use reload::{Reload, Reloaded, Stage};
pub use report::{REPORTERS, Reporter, parse, schema};
pub use request::{Baseline, RunRequest};
pub use safekeeping::Safekeeping;
pub use score::{Scored, Terms, agrees, recompute, score};
pub use scratch_fleet::ScratchFleet;
pub use serve::{Answered, Question, Serve, Served};
pub use service::{Progress, Readiness, ReadinessParts, Reread, Started};
pub use triggering::{Hindrance, Triggering};
pub use verify::{Disagreement, verify};
pub use waiving::{WaiverEntry, WaiverRequest};

/// Every kind of agent, probe and declared check, for reading a configuration.
pub fn kinds() -> crate::config::Kinds {
    crate::config::Kinds {
        agents: crate::agents::Supervisor::kinds(),
        probes: crate::health::Monitor::kinds(),
        checks: declared::DECLARED.iter().map(|entry| entry.kind).collect(),
        items: Vec::new(),
        metrics: Vec::new(),
    }
}
