//! What the audit trail says of one thing that somebody did, tried to do, or was refused.
use super::{Caller, CorrelationId, Principal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How an endpoint is audited. Every endpoint names one, so that none is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// A look that is nobody's personal matter: not recorded. Its refusals are.
    Not,
    /// A look at clients' data: one row when it was answered.
    Read,
    /// Its effect is in the store: the handler hands the store an `Act`, and the row is in the effect's transaction.
    WithEffect,
    /// Its effect is outside the store: the gate writes the intent before and the outcome after.
    Around,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// It is done.
    Done,
    /// It was not allowed; nothing happened.
    Refused,
    /// It was allowed and did not succeed.
    Failed,
    /// About to happen outside the store. Without a later row of the same correlation id, what came of it is unknown.
    Intended,
}

/// Who does what to what, before it is known how it ends. Handed down to the store with an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub principal: Principal,
    /// `uid 1000 pid 4242 by key 7f3a…`: where it came from, never a secret.
    pub from: String,
    /// `waivers/add`: the endpoint's name.
    pub action: &'static str,
    /// `waiver/7`, `agent/orders`: what it is done to; empty where that is the fleet as a whole.
    pub object: String,
    pub correlation: CorrelationId,
}

impl Act {
    pub fn new(caller: &Caller, action: &'static str, object: impl Into<String>) -> Self {
        let Caller { identity, means, .. } = caller;
        let pid = identity.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
        Self {
            principal: caller.principal.clone(),
            from: format!("uid {}{pid} by {means}", identity.uid),
            action,
            object: object.into(),
            correlation: caller.correlation,
        }
    }

    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }
}

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Rises by one, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    /// As text: a row may speak of a principal that could not be read.
    pub principal: String,
    pub from: String,
    pub action: String,
    pub object: String,
    pub outcome: AuditOutcome,
    /// Why it was refused or failed; empty where it was done.
    pub reason: String,
    pub correlation: CorrelationId,
}
