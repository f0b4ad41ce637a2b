//! Where releases are kept, how many of them, how large an artifact may be, and what a release does to the data.
use crate::domain::{ByteSize, Migration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Releases: what ships together, recorded by `agentctl release create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReleaseSettings {
    /// Where they are. Default: `releases` in the state directory; for root, whose agents have users of their own that
    /// may not enter it, the state directory's path with `-releases` at its end.
    pub dir: Option<PathBuf>,
    /// How many are kept beside the one that runs, the stable one, the one on trial and the one to return to.
    #[schemars(range(min = 0, max = 1000))]
    pub keep: u32,
    /// Files, directories and links that one artifact may have.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_files: u32,
    /// How large one artifact may be.
    pub max_size: ByteSize,
    pub migration: MigrationSettings,
}

impl Default for ReleaseSettings {
    fn default() -> Self {
        Self {
            dir: None,
            keep: 10,
            max_files: 100_000,
            max_size: ByteSize(4 << 30),
            migration: MigrationSettings::default(),
        }
    }
}

/// What this release does to the data of the agents, and the way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MigrationSettings {
    /// Program and arguments, no shell: brings the data to what this release needs.
    pub up: Vec<String>,
    /// Program and arguments: takes back what `up` did.
    pub down: Vec<String>,
    /// There is no way back from `up`.
    pub irreversible: bool,
    /// Program and arguments: sets up what this release needs (tables, first rows) before its first start on a machine,
    /// and once for its content. It finds a key of its own in AGENTD_OPERATION_KEY: the same one, if a crash cut it off
    /// and it is run again.
    pub prepare: Vec<String>,
    /// Program and arguments: takes away what `prepare` set up, if the release does not come up. Without it, that stays.
    pub unprepare: Vec<String>,
}

impl MigrationSettings {
    pub fn declared(&self) -> Migration {
        let Self { up, down, irreversible, prepare, unprepare } = self.clone();
        Migration { up, down, irreversible, prepare, unprepare }
    }
}
