//! The only room with SQL: one SQLite file, one writer, many readers. Domain types in and out.
//! Nothing here is tried again: who waits has a place among readers or in the write queue and a deadline for it, SQLite
//! has waited for its own locks by then, and a file of our own is no other end that a breaker could spare.
mod agents;
mod audit;
mod backup;
mod breakers;
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
pub use proof::{
    BackupFacts, ConstraintFacts, Damage, Doomed, DurabilityFacts, IntegrityFacts, PoolFacts, RollbackFacts,
    VersionFacts, damage, prove_versions, write_until_killed,
};
#[cfg(test)]
pub(crate) use proof::{HASTY, PROGRAM, prove_flawed};
#[cfg(test)]
pub(crate) use scratch::{Flaw, open_flawed};
