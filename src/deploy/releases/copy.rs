//! Copies an artifact so that nothing changes it afterwards: no link to the original, nothing writable, and refused if
//! the original changed meanwhile.
use super::{
    listing::{Listing, shown},
    tree::{Bounds, Modes, Sink, trouble, walk},
};
use crate::{
    domain::{AgentName, Fault, FaultKind},
    resilience::durable,
};
use rustix::fs::{CWD, Mode, OFlags, openat, statvfs, syncfs};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// How far copying is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub agent: AgentName,
    pub files: u64,
    pub bytes: u64,
}

/// Is told of each file, and says whether to go on.
pub type Progress<'a> = &'a (dyn Fn(Copied) -> bool + Sync);

/// Into a new directory. `seen` is what the original was found to be before; while it is the same again as it is read
/// for the copy, there was a moment at which it was all of that at once.
pub fn copy(
    agent: &AgentName,
    source: &Path,
    seen: &Listing,
    bounds: Bounds,
    target: &Path,
    progress: Progress,
) -> Result<(), Fault> {
    make_directory(target)?;
    let mut copying = Copying { target, agent, progress, files: 0, bytes: 0, stopped: false };
    let copied = walk(source, bounds, Modes::Frozen, &mut copying)?;
    if let Some((path, how)) = seen.differences(&copied).first() {
        let path = shown(&source.join(path));
        return Err(Fault::new(
            FaultKind::Conflict,
            format!("cannot copy the artifact of {agent}: {path} {how} since it was first read"),
        )
        .hint("let whatever writes there finish, then try again; nothing was recorded"));
    }
    freeze(target, &copied)
}

/// Refused before anything is written where it can be known that it would not fit.
pub fn check_room(at: &Path, bytes: u64) -> Result<(), Fault> {
    let Ok(about) = statvfs(at) else { return Ok(()) };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if free >= bytes {
        return Ok(());
    }
    let message =
        format!("cannot copy the artifacts: they have {bytes} bytes, and {} has room for {free}", shown(at));
    Err(Fault::new(FaultKind::Unavailable, message).hint("free some space: `df -h`; nothing was changed"))
}

/// All that was written below is on the disk: one call for ten thousand files.
pub fn sync_below(directory: &Path) -> Result<(), Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let synced = openat(CWD, directory, flags, Mode::empty()).and_then(syncfs);
    synced.map_err(|error| trouble("write", directory, &error.into()))
}

pub fn sync_directory(directory: &Path) -> Result<(), Fault> {
    durable::sync_directory(directory).map_err(|error| trouble("write", directory, &error))
}

/// A tree of ours, read-only or not.
pub fn remove(directory: &Path) -> io::Result<()> {
    make_writable(directory)?;
    fs::remove_dir_all(directory)
}

pub fn make_directory(path: &Path) -> Result<(), Fault> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| trouble("make", path, &error))
}

struct Copying<'a> {
    target: &'a Path,
    agent: &'a AgentName,
    progress: Progress<'a>,
    files: u64,
    bytes: u64,
    stopped: bool,
}

impl Sink for Copying<'_> {
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        // Still writable: what is in it follows.
        DirBuilder::new().mode(0o700).create(self.target.join(path))
    }

    fn file(&mut self, path: &Path, mode: u32) -> io::Result<Option<File>> {
        if self.stopped {
            return Err(io::Error::other("it was called off"));
        }
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.target.join(path))?;
        // Whoever holds it open may write all the same.
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(Some(file))
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        symlink(target, self.target.join(path))
    }

    fn told(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        let (files, bytes) = (self.files, self.bytes);
        self.stopped = !(self.progress)(Copied { agent: self.agent.clone(), files, bytes });
    }
}

/// The deepest first. The top is for the agent's own group alone, which is given when the agent is started.
fn freeze(target: &Path, copied: &Listing) -> Result<(), Fault> {
    use super::listing::Kind;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    for (path, entry) in copied.0.iter().rev().filter(|(_, entry)| entry.kind == Kind::Directory) {
        let path = target.join(OsStr::from_bytes(path));
        fs::set_permissions(&path, Permissions::from_mode(entry.mode))
            .map_err(|error| trouble("close", &path, &error))?;
    }
    fs::set_permissions(target, Permissions::from_mode(0o550))
        .map_err(|error| trouble("close", target, &error))
}

fn make_writable(directory: &Path) -> io::Result<()> {
    let mut ahead: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = ahead.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    Ok(())
}
