//! The only room with SQL: one SQLite file, one writer, many readers. Domain types in and out.
//! Nothing here is tried again: who waits has a place among readers or in the write queue and a deadline for it, SQLite
//! has waited for its own locks by then, and a file of our own is no other end that a breaker could spare.
mod agents;
mod approvals;
mod attestations;
mod audit;
mod backup;
mod breakers;
mod carry;
mod clients;
mod columns;
mod content;
mod copy;
mod drills;
mod error;
mod errors;
mod events;
pub mod foreign;
mod handle;
mod health;
mod keys;
mod latency;
mod metrics;
mod migrate;
mod open;
mod proof;
mod prune;
mod quotas;
mod readers;
mod readiness;
mod rehearsals;
mod releases;
mod replace;
mod rollouts;
#[cfg(test)]
mod scratch;
mod sessions;
mod set_apart;
mod since;
mod triggers;
mod waivers;
mod writer;

pub use agents::KeptOfAgents;
pub use approvals::{Asking, Decision};
pub use audit::{AuditFiles, AuditPage, ExportLine, ExportRow, verify_audit_export, verify_audit_files};
pub use carry::{Carried, carry_back, carry_over};
pub use copy::{Copied, CopyFacts, Sliced, inspect_copy};
pub use error::{StoreError, StoreErrorKind};
pub use errors::ErrorBounds;
pub use handle::Store;
pub use keys::{Hash, HashedKey};
pub use metrics::{Encoded, FoldedMetrics, KeptSeries, LatencySince, MetricTier};
pub use open::ConnectionFacts;
pub use proof::{
    BackupFacts, ConstraintFacts, Damage, Doomed, DurabilityFacts, IntegrityFacts, PoolFacts, RollbackFacts,
    SightFacts, Tampering, VersionFacts, damage, prove_versions, tamper, write_until_killed,
};
#[cfg(test)]
pub(crate) use proof::{HASTY, PROGRAM, prove_flawed};
pub use quotas::{QuotaHour, Reserved};
pub use replace::{Phase as ReplacePhase, Replacement, Replacing, needed as needed_to_replace};
pub use rollouts::RolloutMove;
#[cfg(test)]
pub(crate) use scratch::{Flaw, act, lose_event, open_flawed};
pub use sessions::HashedSession;
pub use set_apart::{FORMER, set_apart};
pub use since::Since;
pub use triggers::FiringEnd;
