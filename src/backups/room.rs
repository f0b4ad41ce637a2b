//! Is there room for a backup? Asked before the first byte is written.
use super::shelf::Shelf;
use crate::domain::{ByteSize, Fault, FaultCategory, FaultKind};
use std::{io, os::unix::fs::MetadataExt, path::Path};

/// Beside what is copied: files that go with it, and a file system that is never filled to the last block.
const SPARE: u64 = 1 << 20;

/// `size` is about what will be copied. Encrypted, it stands there twice for a moment.
pub(super) fn enough(shelf: &Shelf, size: u64, encrypted: bool) -> Result<(), Fault> {
    let needed = (size + size / 5).saturating_add(SPARE);
    let same = device(shelf.dir()).is_ok_and(|dir| device(shelf.bench()).is_ok_and(|bench| dir == bench));
    let once = if same && encrypted { needed.saturating_mul(2) } else { needed };
    for dir in [shelf.dir(), shelf.bench()] {
        let free = free(dir).map_err(|error| super::shelf::cannot("ask for the room in", dir, &error))?;
        if free < once {
            let dir = dir.display();
            return Err(Fault::new(
                FaultKind::Refused,
                format!("cannot make a backup: {dir} has {} free, and it may take {}", ByteSize(free), ByteSize(once)),
            )
            .category(FaultCategory::Resource)
            .hint("make room there, delete backups (`agentctl backup delete ID`), or name another `dir` under [backups]"));
        }
    }
    Ok(())
}

fn free(dir: &Path) -> io::Result<u64> {
    let seen = rustix::fs::statvfs(dir)?;
    Ok(seen.f_bavail.saturating_mul(seen.f_frsize))
}

fn device(dir: &Path) -> io::Result<u64> {
    Ok(std::fs::metadata(dir)?.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_fit_is_refused_before_it_is_begun() {
        let home = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::at(home.path().to_owned());
        enough(&shelf, 1 << 20, true).expect("there is room for a megabyte");
        let fault = enough(&shelf, 1 << 60, false).expect_err("there is no room for an exabyte");
        assert!(fault.kind == FaultKind::Refused && fault.hint.is_some(), "{fault:?}");
        // A file system that has no room for anybody.
        assert!(enough(&Shelf::at("/proc".into()), 1, false).is_err());
    }
}
