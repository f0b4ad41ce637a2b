//! Somebody else's yes to one exact action: what was asked for, who decided, and how it stands.
use super::Principal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an operator may make depend on an approval, as the audit trail calls it. Whatever changes the fleet, its
/// policy or the daemon is here; what only reports, looks or decides on an approval cannot be.
pub const APPROVABLE: &[&str] = &[
    "agents/restart",
    "agents/scale",
    "agents/start",
    "agents/stop",
    "attestations/add",
    "attestations/revoke",
    "backups/create",
    "backups/delete",
    "backups/drill",
    "backups/restore",
    "backups/verify",
    "breakers/reset",
    "breakers/trip",
    "checklist/run",
    "config/reload",
    "daemon/stop",
    "errors/assign",
    "errors/ignore",
    "errors/reopen",
    "errors/resolve",
    "keys/create",
    "keys/revoke",
    "keys/rotate",
    "operations/cancel",
    "quotas/reset",
    "readiness/cancel",
    "readiness/run",
    "rehearsals/begin",
    "releases/bless",
    "releases/create",
    "releases/delete",
    "rollouts/abort",
    "rollouts/promote",
    "rollouts/start",
    "sessions/revoke",
    "system/limited",
    "system/off",
    "system/on",
    "triggers/hold",
    "triggers/release",
    "triggers/reset",
    "triggers/resume",
    "waivers/add",
    "waivers/revoke",
    "ways/begin",
];

/// One exact action. Two that differ in anything are two actions, and need two approvals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `waivers/add`
    pub action: String,
    /// What it is done to: `agent/orders`. Empty where that is the fleet as a whole.
    pub object: String,
    /// The request as its handler reads it: whatever else a client sent is not in it.
    pub request: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: u64,
    #[serde(flatten)]
    pub action: Action,
    /// SHA-256 of the action, in hexadecimal.
    pub digest: String,
    pub state: ApprovalState,
    pub asked_by: Principal,
    /// Of the process that asked, from the kernel.
    pub asked_uid: u32,
    pub asked_at: Timestamp,
    /// Until then it can be given; once given, until then it can be used.
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
}

/// Who gave, denied or withdrew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub by: Principal,
    pub uid: u32,
    pub at: Timestamp,
    /// Why it was denied; empty where it was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// Waits for somebody's word.
    Pending,
    /// Lets the action through, once.
    Given,
    Denied,
    /// By who asked.
    Withdrawn,
    /// The action went through.
    Used,
    /// Nobody decided, or nobody used it, in time.
    Expired,
}

/// What happens to an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalStep {
    Give,
    Deny,
    Withdraw,
    Use,
    Lapse,
}

impl ApprovalState {
    pub const ALL: &'static [Self] =
        &[Self::Pending, Self::Given, Self::Denied, Self::Withdrawn, Self::Used, Self::Expired];

    /// Something can still happen to it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Given)
    }

    /// Every move there is; what has ended stays as it ended.
    pub fn after(self, step: ApprovalStep) -> Option<Self> {
        match (self, step) {
            (Self::Pending, ApprovalStep::Give) => Some(Self::Given),
            // Who said yes may think again until it is used.
            (Self::Pending | Self::Given, ApprovalStep::Deny) => Some(Self::Denied),
            (Self::Pending | Self::Given, ApprovalStep::Withdraw) => Some(Self::Withdrawn),
            (Self::Given, ApprovalStep::Use) => Some(Self::Used),
            (Self::Pending | Self::Given, ApprovalStep::Lapse) => Some(Self::Expired),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Given => "given",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

impl Approval {
    /// How it stands: one that nobody touched lapses by the clock alone.
    pub fn state_at(&self, now: Timestamp) -> ApprovalState {
        if self.state.is_open() && now >= self.expires_at { ApprovalState::Expired } else { self.state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_given_one_is_used_and_what_has_ended_stays_so() {
        use ApprovalState as S;
        use ApprovalStep as P;
        for state in S::ALL {
            assert_eq!(state.after(P::Use).is_some(), *state == S::Given, "{state:?}");
            assert_eq!(state.after(P::Give).is_some(), *state == S::Pending, "{state:?}");
            for step in [P::Give, P::Deny, P::Withdraw, P::Use, P::Lapse] {
                assert!(state.is_open() || state.after(step).is_none(), "{state:?} {step:?}");
            }
            assert_eq!(serde_json::to_value(state).expect("a word"), state.as_str());
        }
    }

    #[test]
    fn what_may_be_required_is_named_once_and_in_order() {
        assert!(APPROVABLE.is_sorted_by(|one, next| one < next), "{APPROVABLE:?}");
    }
}
