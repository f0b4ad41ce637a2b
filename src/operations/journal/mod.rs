//! The journal of one operation: a file that only grows, a line for each entry, on the disk before anything follows.
mod directory;
mod line;
mod replay;

pub use directory::{Found, open_directory, read_all, remove};
pub use replay::{Replay, replay};

use super::seam::{Moment, Seam};
use crate::domain::{
    Digest, Fault, FaultCategory, FaultKind, FaultSeverity, OperationEvent, OperationId, OperationPlan,
};
use jiff::Timestamp;
use rustix::fs::OFlags;
use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// A link is not followed, and a FIFO not waited for.
const PLAIN: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// Written to by one, and opened anew for each entry, so that a file that was moved away is missed at once.
pub struct Journal {
    id: OperationId,
    path: PathBuf,
    /// What of it is on the disk for certain. Anything beyond was never acknowledged.
    length: u64,
    entries: u64,
    sum: Digest,
    seam: Seam,
}

impl Journal {
    /// With its first entry, under its name and on the disk when this returns.
    pub async fn create(dir: &Path, plan: OperationPlan, at: Timestamp, seam: Seam) -> Result<Self, Fault> {
        let (id, path) = (plan.id, directory::path(dir, plan.id));
        let event = OperationEvent::Begun(plan);
        let written = line::encode(&Digest::default(), 1, &event, at).map_err(|why| too_long(id, &why))?;
        let (text, sum) = written;
        let length = text.len() as u64;
        let failed = |error: &io::Error| {
            failure(format!("cannot begin {id}: its journal cannot be written: {error}"))
                .hint(format!("nothing was begun; {ROOM} `df -h {}`", dir.display()))
        };
        seam.reach(Moment::Before, &event).await.map_err(|error| failed(&error))?;
        let (place, home) = (path.clone(), dir.to_owned());
        let put = spawn_blocking(move || directory::put_in_place(&home, &place, text.as_bytes())).await;
        put.map_err(io::Error::other).flatten().map_err(|error| failed(&error))?;
        seam.reach(Moment::After, &event).await.map_err(|error| failed(&error))?;
        Ok(Self { id, path, length, entries: 1, sum, seam })
    }

    /// One that was read, to be gone on with. A line that was cut off is overwritten by the next.
    pub fn resume(id: OperationId, path: PathBuf, read: &Replay, seam: Seam) -> Self {
        Self { id, path, length: read.length, entries: read.entries, sum: read.sum, seam }
    }

    /// On the disk when this returns; where it fails nothing was acknowledged, and the same may be tried again.
    pub async fn append(&mut self, event: &OperationEvent, at: Timestamp) -> Result<(), Fault> {
        let written = line::encode(&self.sum, self.entries + 1, event, at);
        let (text, sum) = written.map_err(|why| too_long(self.id, &why))?;
        let length = self.length + text.len() as u64;
        self.put(event, text).await.map_err(|error| self.failed(event, &error))?;
        (self.length, self.entries, self.sum) = (length, self.entries + 1, sum);
        self.seam.reach(Moment::After, event).await.map_err(|error| self.failed(event, &error))
    }

    async fn put(&self, event: &OperationEvent, text: String) -> io::Result<()> {
        self.seam.reach(Moment::Before, event).await?;
        let (path, from) = (self.path.clone(), self.length);
        spawn_blocking(move || put(&path, from, text.as_bytes())).await.map_err(io::Error::other)?
    }

    fn failed(&self, event: &OperationEvent, error: &io::Error) -> Fault {
        let (id, path) = (self.id, self.path.display());
        failure(format!("cannot write `{}` to the journal of {id}: {error}", event.word()))
            .hint(format!("{ROOM} `df -h {path}`; it is not gone on with before that"))
    }
}

const ROOM: &str = "free some space and let the user of agentd own the file:";

/// What a failed or torn write left beyond `from` goes first.
fn put(path: &Path, from: u64, text: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(PLAIN).open(path)?;
    match file.metadata()?.len() {
        length if length < from => return Err(io::Error::other("it is shorter than it was left")),
        length if length > from => file.set_len(from)?,
        _ => {}
    }
    file.write_all_at(text, from)?;
    file.sync_data()
}

fn failure(message: String) -> Fault {
    Fault::new(FaultKind::Internal, message).category(FaultCategory::Resource).severity(FaultSeverity::High)
}

fn too_long(id: OperationId, why: &str) -> Fault {
    Fault::internal(format!("cannot write to the journal of {id}: {why}"))
}

#[cfg(test)]
mod tests;
