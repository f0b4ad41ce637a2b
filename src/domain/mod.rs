//! Plain data and pure rules that every room may speak of: no I/O, no clap, no SQL.
mod access;
mod admission;
mod agent;
mod allowance;
mod application;
mod approval;
mod audit;
mod backup;
mod breaker;
mod checklist;
mod credential;
mod distribution;
mod error_group;
mod event;
mod fault;
mod figure;
mod health;
mod metric;
mod name;
mod network;
mod operation;
mod principal;
mod quantity;
mod readiness;
mod reading;
mod rehearsal;
mod release;
mod rollout;
#[cfg(test)]
pub mod sample;
mod spike;
mod status;
mod store;
mod text;
mod trigger;
mod waiver;
mod way;

pub use access::{Caller, Clients, Identity, Permission, Role, Separation};
pub use admission::{Admission, Limited};
pub use agent::{
    AgentState, AgentStatus, CrashClass, Desire, ExitReport, FleetSnapshot, InstanceRecord, InstanceStatus,
    RestartMode, SwitchedOff, UidGrant,
};
pub use allowance::Allowance;
pub use application::{ApplicationPermission, KEPT_FOR_SYSTEM, ShippedRole, check_client};
pub use approval::{APPROVABLE, Action, Approval, ApprovalState, ApprovalStep, Decided};
pub use audit::{
    Act, AuditBreak, AuditEntry, AuditEvent, AuditFilter, AuditOutcome, AuditStanding, AuditVerdict, Audited,
    BreakKind, Digest,
};
pub use backup::{
    BackupEntry, BackupFile, BackupId, BackupManifest, BackupStanding, Content, Drill, EncryptedBy,
    Encryption, Part, SCHEDULE, TableContent, Verified,
};
pub use breaker::{BreakerRecord, BreakerState, BreakerStatus, BreakerTrip, PolicyTerms};
pub use checklist::{Attestation, Checklist, EvidenceFile, Phase, SOAK_WINDOW, Soak};
pub use credential::{ApiKey, Holds, Session};
pub use distribution::Distribution;
pub use error_group::{
    Alike, ErrorAlarm, ErrorFilter, ErrorGroup, ErrorPattern, ErrorState, HOURS_SHOWN, Ignored, Occurrence,
    PatternBy, Resolution, Tally, hour_of,
};
pub use event::{Event, EventKind};
pub use fault::{Fault, FaultCategory, FaultKind, FaultSeverity, Fingerprint, Nature, pattern};
pub use figure::{few_digits, in_bytes};
pub use health::{Observation, ProbeResult, ProbeRole, ProbeState, ProbeStatus, ProbeTransition};
pub use metric::{
    Labels, Measure, MetricKind, MetricSeries, MetricUnit, Numbers, Point, Stat, Summary, rounded,
};
pub use name::{AgentName, InstanceId, RunId};
pub use network::Network;
pub use operation::{
    CancelWish, Due, OnFailure, Operation, OperationEvent, OperationId, OperationPlan, OperationState,
    OperationStep, OperationSummary, PlannedStep, Reason, StepName, StepState,
};
pub use principal::{CorrelationId, Means, Principal, PrincipalKind};
pub use quantity::{ByteSize, Period};
pub use readiness::{
    Category, CategoryScore, Finding, Interval, Outcome, Report, RunState, RunSummary, Severity, Verdict,
};
pub use reading::{moment, percent};
pub use rehearsal::{LeftOut, Rehearsal, RehearsalStanding, Rehearsed, RehearsedAgent};
pub use release::{
    Artifact, Migration, PlannedMove, Release, ReleaseId, ReleaseMove, ReleaseRank, ReleaseStanding,
    ReleaseState, ReleasedAgent, ReleasedConfig, ReleasedReadiness, Revision, expendable, plan_move,
    previous_stable,
};
pub use rollout::{Rollout, RolloutBrief, RolloutComparison, RolloutLine, RolloutState, Share, Worth};
pub use spike::{LEAST_HISTORY, MOST_HISTORY, Spike, SpikeRule, spike};
pub use status::{DaemonStatus, FleetVerdict, LastValidation, StatusReport, TierStatus};
pub use store::{Percentiles, StoreStats};
pub use text::{nearest, one_line, visible};
pub use trigger::{
    FiringState, NoData, Reading, Sight, TriggerAction, TriggerFiring, TriggerHold, TriggerStanding,
    TriggerState, measured,
};
pub use waiver::{Affected, Comparison, Demands, FailOn, Standing, Waived, Waiver};
pub use way::{Asked, Course, CourseBackup, WayBackup, WayKind, WayPlan, WayStep};
