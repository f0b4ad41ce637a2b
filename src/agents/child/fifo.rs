//! The FIFOs between an agent and whichever daemon lives. Every end is opened read-write, so that the death of one
//! side never breaks the other: no EPIPE, no end of file, and what was written waits for the next daemon.
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
};
use std::{io, os::fd::OwnedFd, path::Path};

/// Makes the FIFO (mode 0600), or keeps the one that is there. Anything else in its place is replaced.
pub fn ensure_fifo(path: &Path) -> io::Result<()> {
    for _ in 0..2 {
        // A look first: an attempt to make what is there would lock the directory against every other start.
        match rustix::fs::lstat(path) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Fifo => return Ok(()),
            Ok(_) => std::fs::remove_file(path)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            Err(Errno::EXIST) => {}
            made => return made.map_err(Into::into),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The daemon's end: never blocks.
pub fn open_reader(path: &Path) -> io::Result<OwnedFd> {
    open(path, OFlags::NONBLOCK)
}

/// The agent's end: an open file of its own, because "does not block" belongs to the open file, and a program that
/// prints must be made to wait, not be told EAGAIN.
pub fn open_writer(path: &Path) -> io::Result<OwnedFd> {
    open(path, OFlags::empty())
}

fn open(path: &Path, more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    // A regular file put in its place would grow without end.
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::Fifo {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a FIFO"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_outlives_its_reader_and_the_next_reader_finds_what_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("out");
        ensure_fifo(&path).expect("made");
        ensure_fifo(&path).expect("kept");
        let first = open_reader(&path).expect("a reader");
        let writer = open_writer(&path).expect("a writer");
        drop(first);
        assert_eq!(rustix::io::write(&writer, b"late words").expect("no EPIPE"), 10);
        let second = open_reader(&path).expect("a reader");
        let mut buffer = [0; 32];
        assert_eq!(rustix::io::read(&second, &mut buffer).expect("what waited"), 10);
        assert_eq!(
            rustix::io::read(&second, &mut buffer),
            Err(Errno::AGAIN),
            "the daemon's end must not block"
        );
    }

    #[test]
    fn a_file_or_a_link_in_its_place_is_not_written_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, target) = (dir.path().join("out"), dir.path().join("target"));
        std::fs::write(&target, "").expect("a file");
        std::os::unix::fs::symlink(&target, &path).expect("a link");
        assert!(open_reader(&path).is_err(), "followed a link");
        assert!(open_writer(&target).is_err(), "took a regular file");
        ensure_fifo(&path).expect("replaced");
        open_writer(&path).expect("a FIFO now");
        assert!(target.exists());
    }
}
