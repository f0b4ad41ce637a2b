//! The code of a release beside the releases, for a rehearsal: directories of its own and the same files, so that what
//! a start does to them is not done to the release.
use crate::{
    agents::CURRENT,
    deploy::releases::remove,
    domain::{AgentName, Fault, ReleaseId},
};
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Where it is, beside the releases: no agent's name and no release's begins with a dot.
const PLACE: &str = ".rehearsal";

pub fn place(releases: &Path) -> PathBuf {
    releases.join(PLACE)
}

/// Blocks.
pub fn make(releases: &Path, id: ReleaseId, agents: &[AgentName]) -> Result<(), Fault> {
    let place = place(releases);
    let make = || -> io::Result<()> {
        clear(releases)?;
        let of_release = place.join(id.to_string());
        for dir in [&place, &of_release] {
            DirBuilder::new().mode(0o711).create(dir)?;
            fs::set_permissions(dir, Permissions::from_mode(0o711))?;
        }
        for agent in agents {
            let from = releases.join(id.to_string()).join(agent.as_str());
            link(&from, &of_release.join(agent.as_str()))?;
        }
        symlink(id.to_string(), place.join(CURRENT))
    };
    make().map_err(|error| {
        Fault::internal(format!("cannot put the code of {id} to {}: {error}", place.display())).hint(
            "make room there (`df -h`) and let the user of agentd write to it; nothing live was touched",
        )
    })
}

/// Blocks. What is not there is cleared.
pub fn clear(releases: &Path) -> io::Result<()> {
    match remove(&place(releases)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The same files under another directory; copies where they cannot be the same, as on another file system.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, source, target) = (entry.file_type()?, entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            link(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_anew_goes_whole_and_leaves_the_release_as_it_was() {
        let home = tempfile::tempdir().expect("a directory");
        let code = home.path().join("r-3/orders");
        fs::create_dir_all(code.join("deep")).expect("made");
        fs::write(code.join("deep/run.sh"), "true").expect("written");
        symlink("deep/run.sh", code.join("run")).expect("linked");
        for dir in [code.join("deep"), code.clone()] {
            fs::set_permissions(dir, Permissions::from_mode(0o555)).expect("closed");
        }
        let orders: AgentName = "orders".parse().expect("a name");
        for _ in 0..2 {
            make(home.path(), ReleaseId(3), std::slice::from_ref(&orders)).expect("made");
            let here = place(home.path());
            assert_eq!(fs::read_to_string(here.join("current/orders/run")).expect("read"), "true");
            let mode =
                |path: &str| fs::metadata(here.join(path)).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(""), mode("r-3/orders"), mode("r-3/orders/deep")), (0o711, 0o555, 0o555));
        }
        clear(home.path()).expect("cleared");
        clear(home.path()).expect("cleared twice");
        assert!(!place(home.path()).exists());
        assert_eq!(fs::read_to_string(code.join("run")).expect("read"), "true");
        assert_eq!(fs::metadata(&code).expect("there").permissions().mode() & 0o777, 0o555);
        let gone = "gone".parse().expect("a name");
        let fault = make(home.path(), ReleaseId(3), &[gone]).expect_err("made");
        assert!(fault.message.contains(".rehearsal") && fault.hint.is_some(), "{fault:?}");
    }
}
