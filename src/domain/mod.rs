//! Plain data and pure rules that every room may speak of: no I/O, no clap, no SQL.
mod access;
mod agent;
mod allowance;
mod audit;
mod breaker;
mod event;
mod fault;
mod health;
mod name;
mod principal;
mod quantity;
mod readiness;
mod reading;
#[cfg(test)]
pub mod sample;
mod status;
mod store;
mod text;
mod waiver;

pub use access::{Caller, Clients, Identity, Permission, Role, Separation};
pub use agent::{
    AgentState, AgentStatus, CrashClass, Desire, ExitReport, FleetSnapshot, InstanceRecord, InstanceStatus,
    RestartMode, UidGrant,
};
pub use allowance::Allowance;
pub use audit::{Act, AuditEvent, AuditOutcome, Audited};
pub use breaker::{BreakerRecord, BreakerState, BreakerStatus, BreakerTrip, PolicyTerms};
pub use event::{Event, EventKind};
pub use fault::{Fault, FaultKind};
pub use health::{Observation, ProbeResult, ProbeRole, ProbeState, ProbeStatus, ProbeTransition};
pub use name::{AgentName, InstanceId, RunId};
pub use principal::{CorrelationId, Means, Principal, PrincipalKind};
pub use quantity::{ByteSize, Period};
pub use readiness::{
    Category, CategoryScore, Finding, Interval, Outcome, Report, RunState, RunSummary, Severity, Verdict,
};
pub use reading::{moment, percent};
pub use status::{DaemonStatus, FleetVerdict, LastValidation, StatusReport, TierStatus};
pub use store::{Percentiles, StoreStats};
pub use text::{one_line, visible};
pub use waiver::{Affected, Comparison, Demands, FailOn, Standing, Waived, Waiver};
