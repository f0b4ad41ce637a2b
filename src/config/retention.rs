//! How long each of the tables that grow keeps its rows.
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long what grows is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetentionSettings {
    pub events: Period,
    pub probe_transitions: Period,
    /// How many validation reports are kept, and as many of deploy-checks.
    pub reports: u32,
    /// How many backups made before migrations are kept.
    pub migration_backups: u32,
    /// How long a waiver is kept after it expired or was revoked.
    pub waivers: Period,
    /// How long an attestation and its evidence are kept after it expired or was revoked.
    pub attestations: Period,
    /// How long a key is kept after it expired or was revoked.
    pub keys: Period,
    /// How long a session is kept after it was over.
    pub sessions: Period,
    /// How long an approval is kept after it could last be given or used.
    pub approvals: Period,
    /// How long an error group is kept that is not seen any more, whatever its state, and its occurrences.
    pub errors: Period,
    /// How long it is kept what each principal used of an hour.
    pub quotas: Period,
    /// How many operations that ended are kept; one that stopped, and waits for somebody to look, always is.
    #[schemars(range(min = 1, max = 100_000))]
    pub operations: u32,
    /// How long rows of the audit trail are kept; the newest stays in any case.
    pub audit: Period,
    /// How long it is kept how a backup was tried out; the last of all stays in any case.
    pub drills: Period,
    /// How long it is kept what triggers did, and when they were held; what still stands stays in any case.
    pub triggers: Period,
    /// How long a rollout is kept after it ended.
    pub rollouts: Period,
    /// How long it is kept what came of rehearsals of a return; the last of each release's content stays in any case.
    pub rehearsals: Period,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            events: Period::secs(30 * 86400),
            probe_transitions: Period::secs(30 * 86400),
            reports: 200,
            migration_backups: 3,
            waivers: Period::secs(365 * 86400),
            attestations: Period::secs(365 * 86400),
            keys: Period::secs(365 * 86400),
            sessions: Period::secs(30 * 86400),
            approvals: Period::secs(365 * 86400),
            errors: Period::secs(90 * 86400),
            quotas: Period::secs(7 * 86400),
            operations: 200,
            audit: Period::secs(365 * 86400),
            drills: Period::secs(365 * 86400),
            triggers: Period::secs(365 * 86400),
            rollouts: Period::secs(365 * 86400),
            rehearsals: Period::secs(365 * 86400),
        }
    }
}
