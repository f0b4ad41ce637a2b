//! `restore.json`: what is to take the place of the live database, and how far that is. Written aside, synced and renamed,
//! so that it is always whole.
use crate::{domain::Digest, resilience::durable, store::Carried};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// More is none of ours.
const LONGEST: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    pub schema_version: u32,
    /// Of the step that wants it: `op-7/restore`. Run again, it knows its own by this.
    pub key: String,
    /// What the file was made from: the seal of a backup's manifest.
    pub of: Digest,
    /// Of the file as it was proposed.
    pub sha256: Digest,
    /// It was live before, until then; and takes its place back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_until: Option<Timestamp>,
    /// What was carried over into the file when it was proposed.
    pub tried: Carried,
    pub phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Phase {
    /// The next start sees to it.
    Pending,
    /// What takes the place is whole, with all that the live file knows; only files are moved from here on.
    Ready { at: Timestamp, carried: Carried },
    /// It is the live database.
    Placed { at: Timestamp, carried: Carried },
    /// The live database is what it was.
    Failed { why: String },
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub live: PathBuf,
    pub home: PathBuf,
    /// All but the marker.
    pub dir: PathBuf,
    pub marker: PathBuf,
}

impl Places {
    pub fn beside(database: &Path) -> Self {
        let home = database.parent().unwrap_or(Path::new(".")).to_owned();
        Self { live: database.to_owned(), dir: home.join("restore"), marker: home.join("restore.json"), home }
    }

    /// What was proposed, and is never changed after.
    pub fn source(&self, back: bool) -> PathBuf {
        self.dir.join(if back { "former.db" } else { "restored.db" })
    }

    /// Made anew from the source as often as it takes, and renamed over the live one.
    pub fn next(&self) -> PathBuf {
        self.dir.join("next.db")
    }

    /// Where the live one goes: the former one, or one that did not hold.
    pub fn aside(&self, back: bool) -> PathBuf {
        self.dir.join(if back { "given-up.db" } else { "former.db" })
    }

    /// None where there is none.
    pub fn read(&self) -> io::Result<Option<Replacement>> {
        let mut text = Vec::new();
        match File::open(&self.marker) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?.take(LONGEST).read_to_end(&mut text)?,
        };
        let read: Replacement = serde_json::from_slice(&text).map_err(io::Error::from)?;
        if read.schema_version == 1 {
            Ok(Some(read))
        } else {
            Err(io::Error::other("it is of another version"))
        }
    }

    /// On the disk when this returns.
    pub fn write(&self, marker: &Replacement) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(marker)?;
        text.push(b'\n');
        durable::replace(&self.marker, &text)
    }

    /// The marker first: without it, whatever else is there is of no use to anybody.
    pub fn clear(&self) -> io::Result<()> {
        remove(&self.marker)?;
        durable::sync_directory(&self.home)?;
        match fs::remove_dir_all(&self.dir) {
            // A file system of its own is emptied, and stays.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ResourceBusy) => {
                Ok(())
            }
            removed => removed,
        }
    }
}

pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
