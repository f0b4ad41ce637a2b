//! A backup: what it is called, what it says that it holds, and how it was tried out.
use super::{Digest, Period};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// `bk-20261121T152230Z-1`: when it was begun, and which of that second. It stands in paths, so nothing else is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    pub fn new(at: Timestamp, number: u32) -> Self {
        Self(format!("bk-{}-{number}", at.strftime("%Y%m%dT%H%M%SZ")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a backup is called like bk-20261121T152230Z-1".to_owned();
        let (time, number) =
            text.strip_prefix("bk-").and_then(|rest| rest.split_once('-')).ok_or_else(wrong)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let shape = |time: &str| {
            let (day, rest) = time.split_at_checked(8)?;
            let clock = rest.strip_prefix('T')?.strip_suffix('Z')?;
            Some(digits(day) && clock.len() == 6 && digits(clock))
        };
        let whole = shape(time) == Some(true) && digits(number) && number.len() <= 6;
        if whole { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for BackupId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> String {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a database says, whatever its pages: two files with the same rows have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its schema's version.
    pub version: i64,
    /// Of the statements that made its tables and indexes.
    pub schema: Digest,
    pub tables: BTreeMap<String, TableContent>,
    /// Of all of the above.
    pub digest: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableContent {
    pub rows: u64,
    /// Of its rows, in the order of their key.
    pub digest: Digest,
}

impl Content {
    /// Where `other` says something else; empty when they are the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.version != other.version {
            found.push(format!("version {} instead of {}", other.version, self.version));
        }
        if self.schema != other.schema {
            found.push("the tables were made by other statements".into());
        }
        for (name, table) in &self.tables {
            match other.tables.get(name) {
                None => found.push(format!("table {name} is missing")),
                Some(seen) if seen.rows != table.rows => {
                    found.push(format!("table {name} has {} rows instead of {}", seen.rows, table.rows));
                }
                Some(seen) if seen.digest != table.digest => {
                    found.push(format!("table {name} has other rows"));
                }
                Some(_) => {}
            }
        }
        let more = other.tables.keys().filter(|name| !self.tables.contains_key(*name));
        found.extend(more.map(|name| format!("table {name} is new")));
        if found.is_empty() && self.digest != other.digest {
            found.push("the digest of all does not follow from the tables".into());
        }
        found
    }
}

/// What a file of a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The daemon's own database.
    Database,
    /// What the audit trail is chained with.
    AuditKey,
    /// What holds the audit trail from outside the database.
    AuditAnchors,
    /// The manifest of the fleet.
    Configuration,
    /// What an outside database was dumped as.
    Dump,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// As it is called once unpacked. Encrypted, it has `.sealed` at its end.
    pub name: String,
    pub part: Part,
    /// As it lies there.
    pub bytes: u64,
    pub sha256: Digest,
}

/// How a backup is encrypted: AES-256-GCM in pieces, by a key from a passphrase (PBKDF2) or a file of a key (HKDF).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    pub by: EncryptedBy,
    pub salt: Digest,
    /// Of PBKDF2; 0 where the key comes from a file.
    pub iterations: u32,
    /// Tells a wrong passphrase from a damaged file.
    pub check: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncryptedBy {
    Passphrase,
    KeyFile,
}

/// What a backup says of itself, in its `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    pub schema_version: u32,
    pub id: BackupId,
    /// What was written until then is in it; nothing that was written later is.
    pub at: Timestamp,
    /// Who asked for it; `schedule` where nobody did.
    pub by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Of the step that made it: by this it knows its own after a crash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The version of the agentd that made it.
    pub agentd: String,
    pub fleet_id: String,
    /// Of the daemon's own database.
    pub content: Content,
    /// The audit trail in it verified when it was made.
    pub trail_whole: bool,
    /// Its configuration file could be read when it was made, or there was none.
    pub configuration_sound: bool,
    pub files: Vec<BackupFile>,
    pub not_included: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Over all the rest: a MAC by its key where it is encrypted, else a digest, which tells damage but no forger.
    pub seal: Digest,
}

impl BackupManifest {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub fn scheduled(&self) -> bool {
        self.by == SCHEDULE
    }
}

/// Who a backup was made by that nobody asked for.
pub const SCHEDULE: &str = "schedule";

/// How a backup was found when it was read from end to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub at: Timestamp,
    pub by: String,
    /// What is wrong with it; nothing, if it is as it was made.
    pub problems: Vec<String>,
}

/// One as it stands on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEntry {
    pub id: BackupId,
    /// None where it cannot be read; `damage` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<BackupManifest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// The last time that it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

impl BackupEntry {
    pub fn is_sound(&self) -> bool {
        self.manifest.is_some() && self.verified.as_ref().is_none_or(|verified| verified.problems.is_empty())
    }

    /// Fleets may share a shelf; what cannot be read is nobody's.
    pub fn is_of(&self, fleet_id: &str) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.fleet_id == fleet_id)
    }

    /// It was verified, and nothing was wrong.
    pub fn is_verified(&self) -> bool {
        self.manifest.is_some() && self.verified.as_ref().is_some_and(|verified| verified.problems.is_empty())
    }
}

/// One backup, restored to scratch and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    pub id: u64,
    pub backup: BackupId,
    pub at: Timestamp,
    pub by: String,
    /// What would be lost: the age of what it holds, when the drill began.
    pub rpo: Period,
    /// How long it took until a daemon could have started on it.
    pub rto: Period,
    /// What did not hold; nothing, if it passed.
    pub problems: Vec<String>,
}

impl Drill {
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// How the backups stand as a whole, for whoever judges whether there is a way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStanding {
    pub newest: Option<BackupEntry>,
    pub last_drill: Option<Drill>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_ours_or_nothing_that_could_lead_elsewhere() {
        let id = BackupId::new("2026-11-21T15:22:30.9Z".parse().expect("a time"), 1);
        assert_eq!(id.as_str(), "bk-20261121T152230Z-1");
        assert_eq!(id.as_str().parse(), Ok(id));
        for wrong in [
            "",
            "bk-",
            "bk-20261121T152230Z",
            "bk-20261121T152230Z-",
            "bk-20261121T152230Z-1/..",
            "../x",
            "bk-20261121T152230Z-1.part",
            "bk-20261121T152230Z-1234567",
            "bk-é0261121T15223Z-1",
            "bk-20261121T15223éZ-1",
        ] {
            assert!(wrong.parse::<BackupId>().is_err(), "{wrong}");
        }
    }
}
