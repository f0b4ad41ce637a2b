//! What `make-release` and `make-backup` share: what they were asked for, by whom, and how they tell of their progress.
use super::hands::Hands;
use crate::{
    domain::{Act, AuditOutcome, CorrelationId, Fault, OnFailure, Principal, StepName},
    operations::{Blueprint, Site},
};
use serde::{Deserialize, Serialize};
use std::future::Future;
use tokio::sync::watch;

/// What somebody wants made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Making {
    pub by: Principal,
    pub note: String,
    /// A release also where one with the same content is there already.
    #[serde(default)]
    pub force: bool,
    /// Of the request: what is done is recorded with it.
    pub correlation: CorrelationId,
}

impl Making {
    pub fn of(at: &Site) -> Result<Self, Fault> {
        serde_json::from_value(at.arguments().clone()).map_err(|error| {
            Fault::internal(format!("cannot read what {} is to make: {error}", at.operation()))
        })
    }

    /// An operation of one step. It completes "cannot …".
    pub fn blueprint(
        &self,
        kind: &'static str,
        title: &str,
        resource: &str,
        step: &'static str,
    ) -> Result<Blueprint, Fault> {
        Ok(Blueprint {
            kind,
            title: title.to_owned(),
            resource: resource.to_owned(),
            steps: vec![StepName::from(step)],
            arguments: serde_json::to_value(self)
                .map_err(|error| Fault::internal(format!("cannot write down what is to be made: {error}")))?,
            on_failure: OnFailure::Unwind,
            budget: None,
        })
    }

    /// What was made bears it: run again after a crash, the step finds its own. No two requests share one.
    pub fn key(&self, at: &Site) -> String {
        format!("{} {}", at.operation(), self.correlation)
    }

    /// Whoever asked answers for it.
    pub fn act(&self, at: &Site, action: &'static str) -> Act {
        let uid = rustix::process::geteuid().as_raw();
        let act = Act::of_daemon(uid, format!("operation {}", at.operation()), action);
        Act { principal: self.by.clone(), correlation: self.correlation, ..act }
    }
}

/// Work, and what it says meanwhile shown to who follows it.
pub async fn telling<T>(at: &Site, mut told: watch::Receiver<String>, work: impl Future<Output = T>) -> T {
    let mut work = Box::pin(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            Ok(()) = told.changed() => at.note(&told.borrow_and_update().clone()),
        }
    }
}

/// It did not succeed, and that is worth a row; where that cannot be written, the journal has it.
pub async fn failed(hands: &Hands, act: Act, fault: &Fault) {
    if let Err(error) = hands.store.record_act(act, AuditOutcome::Failed, fault.message.clone()).await {
        tracing::error!(%error, "a row is missing from the audit trail");
    }
}
