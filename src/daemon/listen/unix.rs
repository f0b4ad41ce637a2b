//! A Unix socket in a directory that nobody else can plant things in: a stale socket is replaced, a live one
//! respected, our own removed on stop.
use crate::domain::{Fault, FaultKind};
use rustix::fs::Mode;
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// `sun_path` holds 108 bytes, the last of them zero.
const LONGEST_PATH: usize = 107;

/// Who may reach a socket, by the modes of its directory and of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The daemon's user, and the members of this group if one is named.
    Operators { group: Option<u32> },
    /// Every process of the machine; who it is decides what it may do.
    Everyone,
}

/// A socket that is listened on. Dropping it removes the file if it is still ours.
#[derive(Debug)]
pub struct Bound {
    pub listener: UnixListener,
    _file: SocketFile,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that another daemon's socket at the same path is left alone.
    identity: (u64, u64),
    /// The directory is ours too, and goes when it is empty.
    made_directory: bool,
}

impl Bound {
    pub fn bind(path: &Path, access: Access) -> Result<Self, Fault> {
        if path.as_os_str().as_bytes().len() > LONGEST_PATH {
            return Err(Fault::new(
                FaultKind::Config,
                format!(
                    "cannot listen on {}: a socket's path has at most {LONGEST_PATH} bytes",
                    path.display()
                ),
            )
            .hint("set a shorter `socket` under [daemon], or --socket"));
        }
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made_directory = prepare(directory, path, access)?;
        make_way(path)?;
        let failed = |what: &str, error: io::Error| {
            Fault::new(FaultKind::Config, format!("cannot {what} {}: {error}", path.display()))
        };
        // Born unreachable: the mask leaves no moment in which a wider one could apply.
        let mask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(mask);
        let listener = bound.map_err(|e| failed("listen on", e))?;
        let metadata = fs::symlink_metadata(path).map_err(|e| failed("look at", e))?;
        let file =
            SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()), made_directory };
        let mode = match access {
            Access::Operators { group } => {
                give_to_group(path, group).map_err(|e| failed("give to its group", e))?;
                0o660
            }
            Access::Everyone => 0o666,
        };
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| failed("open up", e))?;
        Ok(Self { listener, _file: file })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
        if let Some(directory) = self.path.parent().filter(|_| self.made_directory) {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Makes the directory, private from its first moment, or sees that an existing one can be trusted. Did we make it?
fn prepare(directory: &Path, socket: &Path, access: Access) -> Result<bool, Fault> {
    let failed = |error: io::Error| {
        Fault::new(FaultKind::Config, format!("cannot use {} for a socket: {error}", directory.display()))
            .hint("name another place with --socket or `socket` under [daemon]")
    };
    let own = rustix::process::geteuid().as_raw();
    let mut made = false;
    match fs::symlink_metadata(directory) {
        // Left behind by a killed daemon, or made for us by systemd: it gets the mode of today's [access]. What
        // others may write is judged below.
        Ok(metadata) if metadata.is_dir() && metadata.uid() == own && metadata.mode() & 0o022 == 0 => {
            if let Some(left_behind) = was_for(directory, socket) {
                open_up(directory, access).map_err(failed)?;
                made = left_behind;
            }
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = directory.parent() {
                DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
            }
            DirBuilder::new().mode(0o700).create(directory).map_err(failed)?;
            open_up(directory, access).map_err(failed)?;
            made = true;
        }
        Err(error) => return Err(failed(error)),
    }
    for (depth, place) in directory.ancestors().filter(|place| !place.as_os_str().is_empty()).enumerate() {
        let metadata = fs::metadata(place).map_err(failed)?;
        if let Some(why) = distrust(metadata.uid(), metadata.mode(), own, depth == 0) {
            return Err(Fault::new(
                FaultKind::Config,
                format!("cannot put a socket in {}: {} {why}", directory.display(), place.display()),
            )
            .hint("name a private directory with --socket or `socket` under [daemon]"));
        }
    }
    Ok(made)
}

/// Whether nothing but this socket is in a directory, so that it has no other purpose: `Some(true)` if an earlier
/// daemon left the socket there, `Some(false)` if it is empty.
fn was_for(directory: &Path, socket: &Path) -> Option<bool> {
    let mut left_behind = false;
    for entry in fs::read_dir(directory).ok()? {
        let name = entry.ok()?.file_name();
        left_behind = socket.file_name() == Some(name.as_os_str());
        if !left_behind {
            return None;
        }
    }
    Some(left_behind)
}

fn open_up(directory: &Path, access: Access) -> io::Result<()> {
    let mode = match access {
        Access::Operators { group: None } => 0o700,
        Access::Operators { group } => {
            give_to_group(directory, group)?;
            0o750
        }
        Access::Everyone => 0o711,
    };
    fs::set_permissions(directory, Permissions::from_mode(mode))
}

/// Why somebody else could replace what lies in a directory; none if nobody can. Only an ancestor may be a sticky
/// place like /tmp, or writable by a group: many systems give each user a group of their own.
fn distrust(owner: u32, mode: u32, own: u32, is_last: bool) -> Option<&'static str> {
    let others_write = mode & if is_last { 0o022 } else { 0o002 } != 0;
    let sticky = mode & 0o1000 != 0;
    if owner != own && owner != 0 {
        Some("belongs to another user")
    } else if others_write && (is_last || !sticky) {
        Some("can be written by others")
    } else {
        None
    }
}

/// Removes a socket that nobody answers; refuses one that somebody does, and anything that is no socket.
fn make_way(path: &Path) -> Result<(), Fault> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Fault::new(FaultKind::Config, format!("cannot look at {}: {error}", path.display())));
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(Fault::new(
            FaultKind::Conflict,
            format!("cannot listen on {}: something that is no socket is there", path.display()),
        )
        .hint("move it away, or name another path with --socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(Fault::new(
                    FaultKind::Config,
                    format!("cannot replace the stale socket {}: {error}", path.display()),
                )),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Connected, or a full backlog: somebody listens.
        _ => Err(Fault::new(
            FaultKind::Conflict,
            format!("cannot listen on {}: another daemon answers there", path.display()),
        )
        .hint(format!("`agentctl --socket {} daemon status` shows it", path.display()))),
    }
}

fn give_to_group(path: &Path, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(group) => std::os::unix::fs::chown(path, None, Some(group)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators() -> Access {
        Access::Operators { group: None }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").mode() & 0o7777
    }

    #[tokio::test]
    async fn directory_and_socket_are_private_and_go_with_the_daemon() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("run/agentd/agentd.sock");
        let bound = Bound::bind(&path, operators()).expect("bound");
        assert_eq!(mode(path.parent().expect("a parent")), 0o700);
        assert_eq!(mode(&path), 0o660);
        drop(bound);
        assert!(!path.parent().expect("a parent").exists(), "the directory that was made for it is left");
        let open = home.path().join("run/agentd-report/report.sock");
        let _bound = Bound::bind(&open, Access::Everyone).expect("bound");
        assert_eq!((mode(open.parent().expect("a parent")), mode(&open)), (0o711, 0o666));
    }

    #[tokio::test]
    async fn a_directory_left_behind_by_a_killed_daemon_gets_todays_mode_and_one_with_more_in_it_keeps_its_own()
     {
        let home = tempfile::tempdir().expect("a directory");
        let group = Access::Operators { group: Some(rustix::process::getegid().as_raw()) };
        let left = home.path().join("left");
        let shared = home.path().join("shared");
        for directory in [&left, &shared] {
            fs::create_dir(directory).expect("made");
            fs::set_permissions(directory, Permissions::from_mode(0o700)).expect("closed");
            drop(std::os::unix::net::UnixListener::bind(directory.join("agentd.sock")).expect("bound"));
        }
        fs::write(shared.join("notes"), "mine").expect("written");
        let bound = [&left, &shared].map(|directory| Bound::bind(&directory.join("agentd.sock"), group));
        assert!(bound.iter().all(Result::is_ok), "{bound:?}");
        assert_eq!((mode(&left), mode(&shared)), (0o750, 0o700));
        drop(bound);
        assert!(!left.exists() && shared.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_respected_and_a_stale_one_replaced() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agentd.sock");
        let first = Bound::bind(&path, operators()).expect("bound");
        let fault = Bound::bind(&path, operators()).expect_err("it is taken");
        assert_eq!(fault.kind, FaultKind::Conflict);
        assert!(fault.message.contains("agentd.sock"), "{fault}");
        assert!(path.exists(), "the live socket was removed");

        let stale = home.path().join("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&stale).expect("bound"));
        assert!(stale.exists(), "a socket outlives its listener");
        Bound::bind(&stale, operators()).expect("replaced");
        drop(first);
    }

    #[tokio::test]
    async fn another_daemons_socket_at_our_path_is_left_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agentd.sock");
        let first = Bound::bind(&path, operators()).expect("bound");
        fs::rename(&path, home.path().join("moved.sock")).expect("moved");
        let _second = Bound::bind(&path, operators()).expect("bound");
        drop(first);
        assert!(path.exists(), "the first removed what was the second's");
    }

    #[tokio::test]
    async fn what_is_no_socket_and_what_is_too_long_are_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("precious");
        fs::write(&file, "data").expect("written");
        assert_eq!(Bound::bind(&file, operators()).expect_err("no socket").kind, FaultKind::Conflict);
        assert_eq!(fs::read(&file).expect("still there"), b"data");

        let long = home.path().join("x".repeat(120));
        let fault = Bound::bind(&long, operators()).expect_err("too long");
        assert!(fault.message.contains("107 bytes"), "{fault}");
    }

    #[tokio::test]
    async fn a_directory_that_others_may_write_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let shared = home.path().join("shared");
        fs::create_dir(&shared).expect("made");
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).expect("opened");
        let fault = Bound::bind(&shared.join("agentd.sock"), operators()).expect_err("shared");
        assert!(fault.message.contains("written by others"), "{fault}");
        // Beneath it, a directory of our own will do.
        Bound::bind(&shared.join("own/agentd.sock"), operators()).expect("bound");
    }

    #[test]
    fn who_could_replace_a_directorys_content() {
        for (owner, mode, is_last, trusted) in [
            (1000, 0o40700, true, true),
            (0, 0o40755, true, true),
            (0, 0o41777, false, true), // /tmp as an ancestor
            (0, 0o41777, true, false),
            (0, 0o40777, false, false),
            (1000, 0o40770, true, false),
            (1000, 0o40775, false, true),
            (1001, 0o40700, false, false),
        ] {
            let verdict = distrust(owner, mode, 1000, is_last);
            assert_eq!(verdict.is_none(), trusted, "{owner} {mode:o} {is_last}: {verdict:?}");
        }
    }
}
