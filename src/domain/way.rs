//! A way from one release to another, as it is planned: the steps, what they are expected to take, what would be lost and
//! what stands against it.
use super::{BackupId, CorrelationId, Digest, Period, Principal, Rehearsal, ReleaseId, StepName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayKind {
    /// To a release that is to run.
    Deploy,
    /// Off, at once: the fleet stops and stays off.
    Immediate,
    /// Back to a release that was good.
    Full,
    /// The daemon's database, and those of the applications, back to a backup.
    Database,
}

impl WayKind {
    pub const ROLLBACKS: [Self; 3] = [Self::Immediate, Self::Full, Self::Database];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Immediate => "immediate",
            Self::Full => "full",
            Self::Database => "database",
        }
    }

    /// How long it may take. Document 001: five minutes to be off, fifteen to be back; the others are given as long.
    pub fn budget(self) -> Period {
        match self {
            Self::Immediate => Period::secs(5 * 60),
            Self::Full | Self::Database | Self::Deploy => Period::secs(15 * 60),
        }
    }
}

impl fmt::Display for WayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for WayKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let modes = Self::ROLLBACKS;
        modes.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
            format!(
                "`{}` is no way back: immediate, full or database",
                text.chars().take(40).collect::<String>().escape_debug()
            )
        })
    }
}

/// What every step of it is handed, and what the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    pub kind: WayKind,
    /// What runs; none before the first release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseId>,
    /// None where the fleet is to be off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseId>,
    /// The fleet was off before, and is to be so again if this fails.
    pub was_off: bool,
    /// There is no way back once the data was brought forward.
    pub irreversible: bool,
    /// What the database is put back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<CourseBackup>,
    pub by: Principal,
    pub reason: String,
    /// The request that began it, which the audit trail is told the end of; none where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// The backup that was looked at, and no other that may come to bear its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourseBackup {
    pub id: BackupId,
    /// Of its manifest, which has the hash of each of its files.
    pub seal: Digest,
    /// Databases of the applications that are put back with it.
    pub databases: Vec<String>,
}

/// A request as the audit trail knows it, for whoever is there when what it began ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub from: String,
    pub object: String,
    pub correlation: CorrelationId,
}

/// A course with its steps, before anything is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayPlan {
    pub schema_version: u32,
    pub kind: WayKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<WayBackup>,
    pub steps: Vec<WayStep>,
    pub budget: Period,
    /// What is not as it was afterwards, a sentence each.
    pub lost: Vec<String>,
    /// Why it would be refused, a sentence each. Empty: it would be begun.
    pub against: Vec<String>,
    /// What is doubtful and stops nobody.
    pub doubts: Vec<String>,
    /// The last rehearsal of a return to what that release ships.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Rehearsal>,
    /// SHA-256 of all that is to be done. Another fleet, another release or another step is another digest.
    pub digest: Digest,
}

/// What the database would be put back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBackup {
    pub id: BackupId,
    /// Nothing that was written later is in it.
    pub at: Timestamp,
    /// When it was last read from end to end and found whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Databases of the applications that are put back with it.
    pub databases: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayStep {
    pub name: StepName,
    pub title: String,
    /// The median of what it took before, in milliseconds; none where it never ran here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
}

impl WayPlan {
    /// What the whole is expected to take; none while one step never ran here.
    pub fn expected_ms(&self) -> Option<u64> {
        self.steps.iter().map(|step| step.expected_ms).sum()
    }
}
