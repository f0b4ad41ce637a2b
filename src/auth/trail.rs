//! The audit trail as the gate writes it: what was intended, done, refused or failed outside the store.
use crate::{
    config::redact,
    domain::{Act, AuditOutcome, Fault, FaultKind},
    store::Store,
};

#[derive(Clone)]
pub struct Trail {
    store: Store,
}

impl Trail {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Before an effect outside the store. If it cannot be written, the effect must not happen.
    pub async fn intend(&self, act: Act) -> Result<(), Fault> {
        self.store.record_act(act, AuditOutcome::Intended, String::new()).await?;
        Ok(())
    }

    /// After it.
    pub async fn done(&self, act: Act) -> Result<(), Fault> {
        self.store.record_act(act, AuditOutcome::Done, String::new()).await?;
        Ok(())
    }

    /// It was let through and did not succeed, or a rule behind the gate refused it.
    pub async fn failed(&self, act: Act, fault: &Fault) {
        let refused =
            matches!(fault.kind, FaultKind::Refused | FaultKind::Forbidden | FaultKind::Unauthenticated);
        self.told(act, if refused { AuditOutcome::Refused } else { AuditOutcome::Failed }, fault).await;
    }

    pub async fn refused(&self, act: Act, fault: &Fault) {
        self.told(act, AuditOutcome::Refused, fault).await;
    }

    /// Nothing was done, so nothing is undone for want of a row; the log says that it is missing.
    async fn told(&self, act: Act, outcome: AuditOutcome, fault: &Fault) {
        let told = self.store.record_act(act, outcome, redact(&fault.message).into_owned()).await;
        if let Err(error) = told {
            tracing::error!("a refusal is missing from the audit trail: {error}");
        }
    }
}
