//! What went wrong with an instance, as a failure to be recorded. Once each:
//! * an end by itself, with its class; one that a liveness probe condemned is recorded as that probe's turn;
//! * a start that came to nothing; a port that is held, once per holder and not at each attempt;
//! * the latch, since from there nobody tries any more;
//! * what survives a stop, and what the store did not take of it.
//!
//! Waiting for what it depends on is no failure of the one that waits.
use super::actor::Actor;
use crate::{
    domain::{CrashClass, Fault, FaultCategory, FaultKind, FaultSeverity, InstanceId},
    errors::Failure,
    store::StoreError,
};

impl Actor {
    pub(super) fn crashed(&self, class: CrashClass, reason: &str) {
        // The probe has turned, and was recorded then.
        if class == CrashClass::Unhealthy {
            return;
        }
        let operation = if class == CrashClass::StartTimeout { "agent.start" } else { "agent.crash" };
        let fault = fault_of(class, format!("cannot keep {} running: {reason}", self.id()));
        self.fails(
            operation,
            fault.hint(format!("`agentctl agent logs {}` shows what it printed", self.id())),
        );
    }

    pub(super) fn did_not_start(&self, class: CrashClass, fault: &Fault) {
        let about = category_of(class);
        let fault = Fault { category: fault.category.or(Some(about)), ..fault.clone() };
        self.fails("agent.start", fault.severity(FaultSeverity::High));
    }

    pub(super) fn port_is_held(&self, holder: &str) {
        let message = format!("cannot start {}: {holder}", self.id());
        self.fails("agent.start", fault_of(CrashClass::PortInUse, message));
    }

    pub(super) fn latched(&self, reason: &str) {
        let fault =
            Fault::new(FaultKind::Unavailable, format!("cannot go on restarting {}: {reason}", self.id()))
                .category(FaultCategory::Agent)
                .severity(FaultSeverity::Critical)
                .retryable(false)
                .hint(if self.id().is_candidate() {
                    "what is stable is not touched; `agentctl rollout show` has the end of it".to_owned()
                } else {
                    format!("mend the cause, then `agentctl agent start {}`", self.id().agent)
                });
        self.fails("agent.latch", fault);
    }

    pub(super) fn survived(&self, survivors: u32) {
        let fault = Fault::internal(format!(
            "cannot end all of {}: {survivors} processes survived its stop",
            self.id()
        ))
        .category(FaultCategory::Resource);
        self.fails("agent.stop", fault);
    }

    pub(super) fn not_kept(&self, error: Option<StoreError>) {
        let fault = error.map_or_else(
            || {
                Fault::new(
                    FaultKind::Timeout,
                    "cannot keep the record of an instance: the store takes too long",
                )
                .category(FaultCategory::Database)
            },
            Fault::from,
        );
        self.fails("agent.record", fault);
    }

    /// A candidate is there to be found wanting: it costs nobody anything.
    fn fails(&self, operation: &str, fault: Fault) {
        let fault = if self.id().is_candidate() { fault.severity(FaultSeverity::Low) } else { fault };
        self.errors().record(Failure::new(operation, fault).of(self.id()));
    }
}

/// It runs and does not answer.
pub(super) fn silent(id: &InstanceId, why: &str) -> Failure {
    let fault = fault_of(CrashClass::Unhealthy, format!("cannot hear {id}: {why}"));
    Failure::new("agent.adopt", fault).of(id)
}

fn fault_of(class: CrashClass, message: String) -> Fault {
    let kind = match class {
        CrashClass::Configuration | CrashClass::NotExecutable => FaultKind::Config,
        CrashClass::StartTimeout => FaultKind::Timeout,
        _ => FaultKind::Unavailable,
    };
    Fault::new(kind, message)
        .category(category_of(class))
        .severity(FaultSeverity::High)
        .retryable(super::crash::may_succeed(class))
}

fn category_of(class: CrashClass) -> FaultCategory {
    match class {
        CrashClass::Database => FaultCategory::Database,
        CrashClass::PortInUse | CrashClass::OutOfMemory => FaultCategory::Resource,
        CrashClass::Configuration | CrashClass::NotExecutable => FaultCategory::Configuration,
        CrashClass::StartTimeout => FaultCategory::Timeout,
        CrashClass::Import | CrashClass::Unhealthy | CrashClass::Unknown => FaultCategory::Agent,
    }
}
