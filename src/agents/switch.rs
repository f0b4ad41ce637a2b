//! The switch over all agents that is thrown by hand or by a rollback. It is a file of its own, so that no restart, no
//! reload and no database that is put back turns the fleet on again.
use crate::domain::{Fault, FaultKind, SwitchedOff};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tempfile::NamedTempFile;

pub struct Switch {
    path: PathBuf,
    off: Mutex<Option<SwitchedOff>>,
}

impl Switch {
    /// A file that cannot be understood holds the fleet off: nothing is started on a guess.
    pub fn open(path: &Path) -> Self {
        let off = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(
                read.ok()
                    .and_then(|text| serde_json::from_slice(&text).ok())
                    .unwrap_or_else(|| SwitchedOff::unreadable(path)),
            ),
        };
        Self { path: path.to_owned(), off: Mutex::new(off) }
    }

    pub fn off(&self) -> Option<SwitchedOff> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// On the disk before it is so. Blocks.
    pub fn set(&self, off: Option<SwitchedOff>) -> Result<(), Fault> {
        self.keep(off.as_ref()).map_err(|error| {
            Fault::new(FaultKind::Unavailable, format!("cannot write {}: {error}", self.path.display()))
                .hint("the switch stands as it stood; make room there, or give the directory back to agentd")
        })?;
        *self.off.lock().unwrap_or_else(PoisonError::into_inner) = off;
        Ok(())
    }

    fn keep(&self, off: Option<&SwitchedOff>) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        match off {
            Some(off) => {
                let mut aside = NamedTempFile::new_in(directory)?;
                aside.write_all(&serde_json::to_vec(off)?)?;
                aside.as_file().sync_all()?;
                aside.persist(&self.path).map_err(|error| error.error)?;
            }
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            },
        }
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn off() -> SwitchedOff {
        let by = "user:0".parse().expect("a principal");
        SwitchedOff { at: Timestamp::UNIX_EPOCH, by: Some(by), reason: "bad release".into() }
    }

    #[test]
    fn it_stands_as_it_was_left_and_what_cannot_be_read_is_off() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agent-system.json");
        let switch = Switch::open(&path);
        assert_eq!(switch.off(), None);
        switch.set(None).expect("nothing to do");
        switch.set(Some(off())).expect("written");
        assert_eq!((switch.off(), Switch::open(&path).off()), (Some(off()), Some(off())));
        switch.set(None).expect("removed");
        assert_eq!((switch.off(), Switch::open(&path).off()), (None, None));
        for torn in ["", "{", "{\"at\":1}"] {
            fs::write(&path, torn).expect("written");
            let held = Switch::open(&path).off().expect("off");
            assert!(held.reason.contains("agent-system.json"), "{held:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let switch = Switch::open(&home.path().join("gone/agent-system.json"));
        let refused = switch.set(Some(off())).expect_err("no directory");
        assert!(refused.hint.is_some() && switch.off().is_none(), "{refused:?}");
    }
}
