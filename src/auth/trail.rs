//! The audit trail as the gate writes it: what was intended, done, refused or failed outside the store. What is begun
//! here is written to its end, whether or not whoever asked still listens.
use super::flood::Flood;
use crate::{
    config::redact,
    domain::{Act, AuditOutcome, CorrelationId, Fault, FaultKind},
    store::Store,
};
use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

#[derive(Clone)]
pub struct Trail {
    store: Store,
    /// Whose outcome is written by somebody else than the gate.
    taken: Arc<Mutex<HashSet<CorrelationId>>>,
    flood: Arc<Flood>,
    under_way: TaskTracker,
}

impl Trail {
    pub fn new(store: Store) -> Self {
        Self { store, taken: Arc::default(), flood: Arc::default(), under_way: TaskTracker::new() }
    }

    /// Runs to its end whatever becomes of who asked, and before the store is closed.
    pub fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.under_way.spawn(work)
    }

    /// Until nothing that is audited is under way. Nothing new must come.
    pub async fn settled(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// Before an effect outside the store. If it cannot be written, the effect must not happen.
    pub async fn intend(&self, act: Act) -> Result<(), Fault> {
        self.store.record_act(act, AuditOutcome::Intended, String::new()).await?;
        Ok(())
    }

    /// A look at clients' data, before it is handed out. If it cannot be written, nothing is.
    pub async fn looked(&self, act: Act) -> Result<(), Fault> {
        self.store.record_act(act, AuditOutcome::Done, String::new()).await?;
        Ok(())
    }

    /// How an effect outside the store ended. It has happened: where this cannot be written, it stays unknown.
    pub async fn ended(&self, act: Act, end: Result<(), &Fault>) {
        let (outcome, reason) = match end {
            Ok(()) => (AuditOutcome::Done, String::new()),
            Err(fault) => (outcome_of(fault), fault.message.clone()),
        };
        self.told(act, outcome, reason).await;
    }

    /// The handler answers before its effect has ended: whoever knows how it ends writes the outcome, and not the gate.
    pub fn take_over(&self, act: Act, end: impl Future<Output = Result<(), Fault>> + Send + 'static) {
        self.taken().insert(act.correlation);
        let trail = self.clone();
        self.see_through(async move {
            let end = end.await;
            trail.ended(act, end.as_ref().copied()).await;
        });
    }

    /// As `take_over`, for an end that may come in another life of the daemon: whoever is there then tells `concluded`.
    pub fn leave(&self, correlation: CorrelationId) {
        self.taken().insert(correlation);
    }

    /// How something ended that was left for later.
    pub async fn concluded(&self, act: Act, outcome: AuditOutcome, reason: String) {
        self.told(act, outcome, reason).await;
    }

    /// Asked once, by the gate, when the handler has answered.
    pub fn was_taken_over(&self, correlation: CorrelationId) -> bool {
        self.taken().remove(&correlation)
    }

    /// It was let through and did not succeed, or a rule behind the gate refused it.
    pub async fn failed(&self, act: Act, fault: &Fault) {
        match outcome_of(fault) {
            AuditOutcome::Refused => self.refused(act, fault).await,
            outcome => self.told(act, outcome, fault.message.clone()).await,
        }
    }

    /// Of a source that is refused again and again, most are only counted: who floods the trail must not push out what
    /// it holds.
    pub async fn refused(&self, act: Act, fault: &Fault) {
        let Some(unsaid) = self.flood.admits(&act.principal, tokio::time::Instant::now()) else { return };
        let reason = match unsaid {
            0 => fault.message.clone(),
            more => format!("{} (and {more} more refusals of this caller before it)", fault.message),
        };
        self.told(act, AuditOutcome::Refused, reason).await;
    }

    async fn told(&self, act: Act, outcome: AuditOutcome, reason: String) {
        let (action, correlation) = (act.action, act.correlation);
        if let Err(error) = self.store.record_act(act, outcome, redact(&reason).into_owned()).await {
            tracing::error!(action, %correlation, ?outcome, %error, "a row is missing from the audit trail");
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<CorrelationId>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Was it refused by a rule, or did it not succeed?
pub fn outcome_of(fault: &Fault) -> AuditOutcome {
    match fault.kind {
        FaultKind::Refused | FaultKind::Forbidden | FaultKind::Unauthenticated => AuditOutcome::Refused,
        FaultKind::Usage
        | FaultKind::Config
        | FaultKind::NotFound
        | FaultKind::Conflict
        | FaultKind::Busy
        | FaultKind::Timeout
        | FaultKind::Unavailable
        | FaultKind::Internal => AuditOutcome::Failed,
    }
}
