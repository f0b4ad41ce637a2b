//! The only room with SQL: one SQLite file, one writer, many readers. Domain types in and out.
mod agents;
mod backup;
mod columns;
mod error;
mod events;
pub mod foreign;
mod handle;
mod health;
mod latency;
mod migrate;
mod open;
mod proof;
mod prune;
mod readers;
mod readiness;
#[cfg(test)]
mod scratch;
mod waivers;
mod writer;

pub use agents::KeptOfAgents;
pub use error::{StoreError, StoreErrorKind};
pub use handle::Store;
pub use open::ConnectionFacts;
pub use proof::{ConstraintFacts, DurabilityFacts, IntegrityFacts, PoolFacts, RollbackFacts};
#[cfg(test)]
pub(crate) use scratch::{Flaw, open_flawed};
