//! Which contents were set up on this machine. A file of its own: a database that is put back does not make a set-up run
//! twice. What cannot be read is refused, and never taken for "not yet".
use super::{service::Releases, tree::trouble};
use crate::{
    domain::{Digest, Fault, FaultKind, ReleaseId},
    resilience::durable,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// The oldest beyond these are forgotten.
const MOST: usize = 10_000;

#[derive(Default, Serialize, Deserialize)]
struct Record {
    schema_version: u32,
    /// The oldest first.
    prepared: Vec<Prepared>,
}

/// A set-up that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Of all that ships: another release of the same content is set up as well.
    pub content: Digest,
    pub release: ReleaseId,
    pub at: Timestamp,
    /// `op-7/prepare`: of the step that ran it.
    pub key: String,
}

impl Releases {
    /// None: it was never set up here.
    pub async fn prepared(&self, content: Digest) -> Result<Option<Prepared>, Fault> {
        let path = self.inner.parts.paths.prepared.clone();
        self.on_disk(move |_| Ok(read(&path)?.prepared.into_iter().find(|one| one.content == content))).await
    }

    /// On the disk before this returns.
    pub async fn keep_prepared(&self, content: Digest, release: ReleaseId, key: String) -> Result<(), Fault> {
        let (path, at) = (self.inner.parts.paths.prepared.clone(), self.inner.parts.clock.now());
        let fresh = Prepared { content, release, at, key };
        self.on_disk(move |_| {
            change(&path, |prepared| {
                prepared.retain(|one| one.content != content);
                prepared.push(fresh);
                prepared.drain(..prepared.len().saturating_sub(MOST));
            })
        })
        .await
    }

    pub async fn forget_prepared(&self, content: Digest) -> Result<(), Fault> {
        let path = self.inner.parts.paths.prepared.clone();
        self.on_disk(move |_| change(&path, |prepared| prepared.retain(|one| one.content != content))).await
    }
}

fn read(path: &Path) -> Result<Record, Fault> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::default()),
        read => read.map_err(|error| trouble("read", path, &error))?,
    };
    serde_json::from_slice(&text).map_err(|error| {
        let path = path.display();
        Fault::new(FaultKind::Conflict, format!("cannot tell what was set up on this machine: {path}: {error}"))
            .hint("put the file back from a copy; without it, every set-up would run again: remove it if that is meant")
    })
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<Prepared>)) -> Result<(), Fault> {
    let mut record = read(path)?;
    let before = record.prepared.clone();
    change(&mut record.prepared);
    if record.prepared == before {
        return Ok(());
    }
    record.schema_version = 1;
    let text = serde_json::to_vec(&record)
        .map_err(|error| Fault::internal(format!("cannot write down what was set up: {error}")))?;
    durable::replace(path, &text).map_err(|error| trouble("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(content: u8) -> Prepared {
        let (content, key) = (Digest([content; 32]), format!("op-{content}/prepare"));
        Prepared { content, release: ReleaseId(1), at: Timestamp::UNIX_EPOCH, key }
    }

    #[test]
    fn it_is_kept_and_forgotten_and_a_torn_one_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("prepared.json");
        assert!(read(&path).expect("none yet").prepared.is_empty());
        change(&path, |prepared| prepared.extend([one(1), one(2)])).expect("written");
        assert_eq!(read(&path).expect("read").prepared, [one(1), one(2)]);
        change(&path, |prepared| prepared.retain(|known| known.content != one(1).content)).expect("written");
        assert_eq!(read(&path).expect("read").prepared, [one(2)]);
        for torn in ["", "{", "{\"prepared\":1}", "[]"] {
            fs::write(&path, torn).expect("written");
            let fault = read(&path).map(drop).expect_err(torn);
            assert!(fault.kind == FaultKind::Conflict && fault.hint.is_some(), "{torn}: {fault:?}");
            assert!(change(&path, Vec::clear).is_err(), "{torn} was written over");
        }
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let home = tempfile::tempdir().expect("a directory");
        let gone = home.path().join("gone/prepared.json");
        assert!(change(&gone, |prepared| prepared.push(one(1))).is_err());
        change(&gone, Vec::clear).expect("nothing to change");
    }
}
