//! `[backups]`: where copies of the state are kept, how often one is made, which stay, and what else is to be dumped
//! with them.
use crate::domain::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Copies of the daemon's own state, and of the databases named here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BackupSettings {
    /// Where they are kept. Default: `backups` in the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Make one this often; one that was missed is made at the start. Without it, none is made unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
    pub keep: BackupKeep,
    /// How old the newest sound one may be.
    pub max_age: Period,
    /// How long ago the last one may have been tried out.
    pub drill_max_age: Period,
    /// Encrypt them with this: "env:NAME", "file:PATH" or "exec:PROGRAM ARGS". Keep it where the backups are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
    /// Encrypt them with what this file holds instead: 32 random bytes or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Databases of the applications that are dumped into each backup.
    #[serde(rename = "database", skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<BackupDatabase>,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            dir: None,
            every: None,
            keep: BackupKeep::default(),
            max_age: Period::secs(26 * 3600),
            drill_max_age: Period::secs(30 * 86400),
            passphrase: None,
            key_file: None,
            databases: Vec::new(),
        }
    }
}

/// Which backups stay. The newest, the newest that was verified, and those that a release refers to stay in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BackupKeep {
    /// The newest of each of so many hours that have one.
    #[schemars(range(max = 1000))]
    pub hourly: u32,
    /// The newest of each of so many days (UTC).
    #[schemars(range(max = 1000))]
    pub daily: u32,
    /// The newest of each of so many weeks.
    #[schemars(range(max = 1000))]
    pub weekly: u32,
    /// So many of those that somebody asked for, whenever that was.
    #[schemars(range(max = 1000))]
    pub by_hand: u32,
}

impl Default for BackupKeep {
    fn default() -> Self {
        Self { hourly: 24, daily: 7, weekly: 4, by_hand: 20 }
    }
}

/// A database that agentd does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupDatabase {
    /// Its dump is called after it.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub name: String,
    pub kind: BackupDatabaseKind,
    /// Where it is: "env:NAME", "file:PATH", "exec:PROGRAM ARGS", or written out without a password. Commands find it in
    /// their environment as DATABASE_URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A database of its own for drills, whose content each drill replaces; without it, the dump is not tried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_url: Option<String>,
    /// kind = "command": program and arguments that write the dump to standard output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dump: Vec<String>,
    /// kind = "command": program and arguments that read a dump from standard input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore: Vec<String>,
    /// How long a dump, or a restore of it, may take.
    #[serde(default = "deadline")]
    pub deadline: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupDatabaseKind {
    /// By `pg_dump` and `pg_restore`, found on PATH.
    Postgres,
    /// By programs of yours.
    Command,
}

fn deadline() -> Period {
    Period::secs(600)
}
