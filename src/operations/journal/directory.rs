//! The directory of journals: private, a file for each operation, named by its number.
use super::{PLAIN, Replay, replay};
use crate::{domain::OperationId, resilience::durable};
use jiff::Timestamp;
use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Of one journal, in bytes: a hundred steps that leave all they may.
const LARGEST: u64 = 64 << 20;
/// What is being written and does not count yet.
const ASIDE: &str = "new";

/// One journal, as it was found.
pub struct Found {
    pub id: OperationId,
    pub path: PathBuf,
    pub read: Replay,
    /// For one of which nothing else can be told.
    pub changed_at: Timestamp,
    pub owner: u32,
}

pub fn path(dir: &Path, id: OperationId) -> PathBuf {
    dir.join(format!("{id}.jsonl"))
}

/// Made, or narrowed, so that only we may enter.
pub fn open_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let about = fs::symlink_metadata(dir)?;
    let own = rustix::process::geteuid().as_raw();
    if !about.is_dir() || about.uid() != own {
        return Err(io::Error::other(format!("it is no directory of uid {own}")));
    }
    if about.mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    dir.parent().map_or(Ok(()), durable::sync_directory)
}

/// Every journal there is, by number. What was being written when agentd was cut off goes.
pub fn read_all(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        // Written with its prefix: one file for each.
        let id = stem.filter(|stem| stem.starts_with("op-")).and_then(|stem| stem.parse().ok());
        match (id, path.extension().and_then(|end| end.to_str())) {
            (Some(id), Some("jsonl")) => found.push(read(id, path)),
            (Some(_), Some(ASIDE)) => fs::remove_file(&path)?,
            _ => {
                tracing::warn!(path = %path.display(), "this is no journal of an operation; it is left alone");
            }
        }
    }
    found.sort_by_key(|found| found.id);
    Ok(found)
}

/// Whole under its name, or not there at all.
pub fn put_in_place(dir: &Path, place: &Path, text: &[u8]) -> io::Result<()> {
    if place.symlink_metadata().is_ok() {
        return Err(io::Error::other("there is one of that number already"));
    }
    let aside = place.with_extension(ASIDE);
    let put = || {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(PLAIN).open(&aside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&aside, place)?;
        durable::sync_directory(dir)
    };
    put().inspect_err(|_| {
        // Whoever asked is told that nothing was begun: then nothing may be found that was.
        for left in [aside.as_path(), place] {
            if let Err(error) = fs::remove_file(left)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(path = %left.display(), %error, "cannot remove what was not begun");
            }
        }
    })
}

/// Gone for good when this returns.
pub fn remove(dir: &Path, ids: &[OperationId]) -> io::Result<u64> {
    let mut gone = 0;
    for id in ids {
        match fs::remove_file(path(dir, *id)) {
            Ok(()) => gone += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    durable::sync_directory(dir)?;
    Ok(gone)
}

/// One that cannot be read is one that is damaged.
fn read(id: OperationId, path: PathBuf) -> Found {
    let about = fs::symlink_metadata(&path).ok();
    let changed = about.as_ref().and_then(|about| about.modified().ok());
    let changed_at = changed.and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_default();
    let owner = about.map_or(0, |about| about.uid());
    let read = match text(&path) {
        Ok(text) => replay(id, &text),
        Err(error) => Replay { damage: Some(error.to_string()), ..replay(id, b"") },
    };
    Found { id, path, read, changed_at, owner }
}

fn text(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(PLAIN).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(text)
}
