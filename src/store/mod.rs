//! The only room with SQL: one SQLite file, one writer, many readers. Domain types in and out.
mod agents;
mod audit;
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
pub use audit::{AuditFiles, AuditPage, ExportLine, ExportRow, verify_audit_export, verify_audit_files};
pub use error::{StoreError, StoreErrorKind};
pub use handle::Store;
pub use open::ConnectionFacts;
pub use proof::{
    BackupFacts, ConstraintFacts, Damage, Doomed, DurabilityFacts, IntegrityFacts, PoolFacts, RollbackFacts,
    Tampering, VersionFacts, damage, prove_versions, tamper, write_until_killed,
};
#[cfg(test)]
pub(crate) use proof::{HASTY, PROGRAM, prove_flawed};
#[cfg(test)]
pub(crate) use scratch::{Flaw, act, open_flawed};
