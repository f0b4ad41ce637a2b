//! A backup back into plain files: each is held against its hash while it is read, so that nothing that was changed is
//! ever handed out.
use super::{
    inspect::opened,
    lock::Lock,
    make::SEALED,
    manifest,
    seal::Opened,
    shelf::{self, Shelf, private},
};
use crate::{
    domain::{BackupId, BackupManifest, Fault, FaultKind},
    resilience::durable,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

/// Makes the directory `to`, for its owner alone; it must not be there. All or nothing. Blocks.
pub fn unpack(shelf: &Shelf, id: &BackupId, lock: &Lock, to: &Path) -> Result<BackupManifest, Fault> {
    let refused = |why: String| Fault::usage(format!("cannot unpack to {}: {why}", to.display()));
    let name = to.file_name().filter(|_| to.is_absolute());
    let (Some(name), Some(parent)) = (name, to.parent()) else {
        return Err(
            refused("it is no absolute path of a directory".into()).hint("write the whole path, from /")
        );
    };
    let parent = fs::canonicalize(parent).map_err(|error| {
        refused(format!("{}: {error}", parent.display())).hint("make the directory above it")
    })?;
    let to = parent.join(name);
    if let Some(step) = open_way(&parent) {
        let why =
            format!("cannot unpack to {}: others may replace what is in {}", to.display(), step.display());
        return Err(Fault::new(FaultKind::Refused, why)
            .hint("name a place that only root or the user of agentd may change; or unpack it yourself, with --from"));
    }
    if fs::symlink_metadata(&to).is_ok() {
        let fault =
            Fault::new(FaultKind::Conflict, format!("cannot unpack to {}: it is there", to.display()));
        return Err(fault.hint("name a directory that is not there yet; nothing is ever overwritten"));
    }
    let (manifest, key) = opened(shelf, id, lock)?;
    let mut part = name.to_owned();
    part.push(".part");
    let part = Part(parent.join(part));
    let make = || DirBuilder::new().mode(0o700).create(&part.0);
    make().map_err(|error| shelf::cannot("make", &part.0, &error))?;
    extract(shelf, &manifest, key.as_ref(), &part.0)?;
    let place = || -> io::Result<()> {
        durable::sync_directory(&part.0)?;
        // Never in the place of something that has come to be there meanwhile.
        renameat_with(CWD, &part.0, CWD, &to, RenameFlags::NOREPLACE)?;
        durable::sync_directory(&parent)
    };
    place().map_err(|error| shelf::cannot("unpack to", &to, &error))?;
    Ok(manifest)
}

/// The first directory on the way there where somebody else could put another in its place while it is written to.
fn open_way(dir: &Path) -> Option<&Path> {
    let own = rustix::process::geteuid().as_raw();
    dir.ancestors().find(|step| {
        fs::metadata(step).is_ok_and(|about| {
            let (uid, mode) = (about.uid(), about.mode());
            let sticky = mode & 0o1000 != 0;
            (uid != 0 && uid != own) || (mode & 0o022 != 0 && !sticky)
        })
    })
}

/// Into a directory that is empty.
pub(super) fn extract(
    shelf: &Shelf,
    manifest: &BackupManifest,
    key: Option<&Opened>,
    to: &Path,
) -> Result<(), Fault> {
    let id = &manifest.id;
    let dir = shelf.path(id);
    for file in &manifest.files {
        let spoilt = |why: &str| {
            Fault::new(FaultKind::Refused, format!("cannot unpack backup {id}: {} {why}", file.name))
                .hint(format!("`agentctl backup verify {id}` says all that is wrong; restore another one"))
        };
        let from = dir.join(&file.name);
        let plain = if key.is_some() { file.name.trim_end_matches(SEALED) } else { &file.name };
        let target = to.join(plain);
        let read = || -> io::Result<(u64, crate::domain::Digest)> {
            let mut out = io::BufWriter::new(private(&target)?);
            let mut hashed =
                Hashing(File::open(&from)?, ring::digest::Context::new(&ring::digest::SHA256), 0);
            match key {
                Some(key) => key.unseal(id.as_str(), plain, &mut hashed, &mut out)?,
                None => drop(io::copy(&mut hashed, &mut out)?),
            }
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            let Hashing(_, context, bytes) = hashed;
            let mut digest = crate::domain::Digest::default();
            digest.0.copy_from_slice(context.finish().as_ref());
            Ok((bytes, digest))
        };
        match read() {
            Ok(seen) if seen == (file.bytes, file.sha256) => {}
            Ok(_) => return Err(spoilt("is not as it was made")),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(spoilt(&format!("cannot be decrypted: {error}")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(spoilt("is missing")),
            Err(error) => return Err(shelf::cannot("unpack to", &target, &error)),
        }
    }
    Ok(())
}

/// Its file on the shelf, as it lies there.
pub(super) fn differs(dir: &Path, file: &crate::domain::BackupFile) -> Option<String> {
    let name = &file.name;
    match File::open(dir.join(name)).and_then(manifest::hash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("{name} is missing")),
        Err(error) => Some(format!("{name} cannot be read: {error}")),
        Ok((bytes, _)) if bytes != file.bytes => {
            Some(format!("{name} has {bytes} bytes instead of {}", file.bytes))
        }
        Ok((_, digest)) if digest != file.sha256 => Some(format!("{name} is not as it was made")),
        Ok(_) => None,
    }
}

/// Goes when it is dropped; what was renamed is no more there.
struct Part(std::path::PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Hashes what is read from it.
struct Hashing(File, ring::digest::Context, u64);

impl io::Read for Hashing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.update(&into[..count]);
        self.2 += count as u64;
        Ok(count)
    }
}
