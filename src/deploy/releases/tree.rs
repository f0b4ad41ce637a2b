//! Walks an artifact by open directories, so that nothing that is renamed or linked meanwhile leads out of it, and
//! hashes every file once; what it meets it may hand on to be copied.
use super::listing::{Entry, Kind, Listing, sha256, shown};
use crate::domain::{ByteSize, Digest, Fault, FaultKind};
use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RawMode, fstat, openat, readlinkat, statat};
use std::{
    ffi::{CStr, OsStr},
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

/// Directories in directories; each is open while what is in it is read.
const DEEPEST: usize = 64;
const AT_ONCE: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries: u64,
    pub bytes: u64,
}

/// How modes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// As the copy will have them: readable by all who get that far, writable by nobody.
    Frozen,
    /// A copy must have them so already.
    AsTheyAre,
}

/// What is done with what is met; paths are relative to the artifact.
pub trait Sink {
    fn directory(&mut self, path: &Path) -> io::Result<()>;
    /// Where its bytes go, if anywhere.
    fn file(&mut self, path: &Path, mode: u32) -> io::Result<Option<File>>;
    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()>;
    /// So many bytes of one more file.
    fn told(&mut self, _bytes: u64) {}
}

/// Nothing but a look.
pub struct Look;

impl Sink for Look {
    fn directory(&mut self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &Path, _: u32) -> io::Result<Option<File>> {
        Ok(None)
    }

    fn link(&mut self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

pub fn walk(root: &Path, bounds: Bounds, modes: Modes, sink: &mut dyn Sink) -> Result<Listing, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top =
        openat(CWD, root, flags, Mode::empty()).map_err(|error| trouble("read", root, &error.into()))?;
    let mut walk = Walk { root, bounds, modes, sink, found: Listing::default(), bytes: 0 };
    walk.directory(&top, &mut Vec::new(), 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    bounds: Bounds,
    modes: Modes,
    sink: &'a mut dyn Sink,
    found: Listing,
    bytes: u64,
}

impl Walk<'_> {
    fn directory(&mut self, dir: &OwnedFd, at: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(self.refused(at, &format!("it is more than {DEEPEST} directories deep")));
        }
        let cannot = |walk: &Self, at: &[u8], error: io::Error| trouble("read", &walk.path(at), &error);
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(|error| cannot(self, at, error.into()))? {
            let entry = entry.map_err(|error| cannot(self, at, error.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
            // Before all names of a directory without end are held.
            if self.found.0.len() as u64 + names.len() as u64 > self.bounds.entries {
                let most = self.bounds.entries;
                return Err(self
                    .refused(&[], &format!("it has more than {most} files and directories"))
                    .hint("leave out what is not needed to run, or raise `max_files` under [releases]"));
            }
        }
        names.sort();
        let length = at.len();
        for name in names {
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(name.to_bytes());
            self.entry(dir, &name, at, depth)?;
            at.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, name: &CStr, at: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
        let cannot =
            |what: &str, walk: &Self, at: &[u8], error: io::Error| trouble(what, &walk.path(at), &error);
        let about = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| cannot("read", self, at, error.into()))?;
        let mode = self.mode(about.st_mode);
        let path = Path::new(OsStr::from_bytes(at)).to_owned();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (kind, content, mode) = match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => {
                let inner = openat(dir, name, flags | OFlags::DIRECTORY, Mode::empty())
                    .map_err(|error| cannot("read", self, at, error.into()))?;
                self.sink.directory(&path).map_err(|error| cannot("copy", self, at, error))?;
                let entry = Entry { kind: Kind::Directory, mode, content: Digest::default() };
                self.found.0.insert(at.clone(), entry);
                return self.directory(&inner, at, depth + 1);
            }
            FileType::RegularFile => {
                // Not waiting, should it have become a pipe.
                let file = openat(dir, name, flags | OFlags::NONBLOCK, Mode::empty())
                    .map_err(|error| cannot("read", self, at, error.into()))?;
                let opened = fstat(&file).map_err(|error| cannot("read", self, at, error.into()))?;
                if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
                    return Err(self.refused(at, "it changed while it was read"));
                }
                if self.modes == Modes::Frozen && opened.st_mode & 0o6000 != 0 {
                    return Err(self
                        .refused(at, "it runs as its owner or group (setuid, setgid)")
                        .hint("chmod ug-s it: a copy would belong to agentd's user"));
                }
                let target = self.sink.file(&path, mode).map_err(|error| cannot("copy", self, at, error))?;
                let (size, content) = self.through(at, File::from(file), target)?;
                self.sink.told(size);
                (Kind::File { size }, content, mode)
            }
            FileType::Symlink => {
                let target = readlinkat(dir, name, Vec::new())
                    .map_err(|error| cannot("read", self, at, error.into()))?
                    .into_bytes();
                self.sink
                    .link(&path, Path::new(OsStr::from_bytes(&target)))
                    .map_err(|error| cannot("copy", self, at, error))?;
                let content = sha256(&target);
                (Kind::Link { target }, content, 0o777)
            }
            FileType::Fifo => return Err(self.refused(at, "it is a pipe")),
            FileType::Socket => return Err(self.refused(at, "it is a socket")),
            FileType::BlockDevice | FileType::CharacterDevice => {
                return Err(self.refused(at, "it is a device"));
            }
            FileType::Unknown => return Err(self.refused(at, "it is no file, directory or link")),
        };
        self.found.0.insert(at.clone(), Entry { kind, mode, content });
        Ok(())
    }

    /// Reads to the end, once: what is hashed is what is copied.
    fn through(&mut self, at: &[u8], mut file: File, mut to: Option<File>) -> Result<(u64, Digest), Fault> {
        let (mut hash, mut size, mut part) = (Context::new(&SHA256), 0_u64, vec![0; AT_ONCE]);
        loop {
            let read = match file.read(&mut part) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(trouble("read", &self.path(at), &error)),
            };
            size += read as u64;
            self.bytes += read as u64;
            if self.bytes > self.bounds.bytes {
                let most = ByteSize(self.bounds.bytes);
                return Err(self
                    .refused(&[], &format!("it is larger than {most}"))
                    .hint("leave out what is not needed to run, or raise `max_size` under [releases]"));
            }
            hash.update(&part[..read]);
            if let Some(to) = &mut to {
                to.write_all(&part[..read]).map_err(|error| trouble("copy", &self.path(at), &error))?;
            }
        }
        let mut content = Digest::default();
        content.0.copy_from_slice(hash.finish().as_ref());
        Ok((size, content))
    }

    /// An owner's right to read and execute becomes everybody's, for the copy belongs to agentd and the agent is
    /// another; how far others get is decided by the directory above.
    fn mode(&self, raw: RawMode) -> u32 {
        let own = raw & 0o700;
        match self.modes {
            Modes::AsTheyAre => raw & 0o7777,
            Modes::Frozen if own & 0o100 != 0 => 0o555,
            Modes::Frozen => 0o444,
        }
    }

    fn path(&self, at: &[u8]) -> std::path::PathBuf {
        if at.is_empty() { self.root.to_owned() } else { self.root.join(OsStr::from_bytes(at)) }
    }

    fn refused(&self, at: &[u8], why: &str) -> Fault {
        Fault::usage(format!("cannot take {} into a release: {why}", shown(&self.path(at))))
    }
}

/// A failure of the file system, by what can be done about it.
pub fn trouble(what: &str, path: &Path, error: &io::Error) -> Fault {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::NotFound => (FaultKind::NotFound, "`ls -la` shows what is there"),
        io::ErrorKind::PermissionDenied => (FaultKind::Config, "let the user of agentd get there: `ls -la`"),
        io::ErrorKind::NotADirectory => (FaultKind::Config, "an artifact is a directory"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (FaultKind::Unavailable, "free some space: `df -h`; nothing was changed")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (FaultKind::Unavailable, "mount it writable, or name another place in `dir` under [releases]")
        }
        _ => (FaultKind::Internal, "`agentctl doctor` looks at the machine"),
    };
    Fault::new(kind, format!("cannot {what} {}: {error}", shown(path))).hint(hint)
}
