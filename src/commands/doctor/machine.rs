//! What the machine offers: kernel, cgroups, limits, disk, clock. Looking is separate from judging, which is tested.
use super::item::Item;
use rustix::{
    fs::{access, statvfs},
    process::{PidfdFlags, Resource, getrlimit, pidfd_open},
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// An instance takes a handful of descriptors; so many serve 224 agents and 1,000 clients.
const FILES_WANTED: u64 = 4096;
const DISK_NEEDED: u64 = 100 << 20;
const DISK_WANTED: u64 = 1 << 30;

pub fn look(state_dir: &Path, runtime_dir: &Path) -> Vec<Item> {
    vec![kernel(), cgroups(), open_files(), runtime(runtime_dir), state(state_dir), disk(state_dir), clock()]
}

fn kernel() -> Item {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let pidfd = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).is_ok();
    judge_kernel(release.trim(), pidfd)
}

/// `pidfd_open` is of 5.3, `close_range` of 5.9 and its close-on-exec flag of 5.11.
fn judge_kernel(release: &str, pidfd: bool) -> Item {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let upgrade = "Linux 5.11 or newer is needed";
    if !pidfd {
        Item::fail("kernel", format!("Linux {release}: no pidfd, so no child can be watched"), upgrade)
    } else if version < (5, 11) {
        Item::warn(
            "kernel",
            format!("Linux {release}: descriptors are closed one by one at a start"),
            upgrade,
        )
    } else {
        Item::ok("kernel", format!("Linux {release}: pidfd, close_range"))
    }
}

fn cgroups() -> Item {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(|path| PathBuf::from("/sys/fs/cgroup").join(path.trim_start_matches('/')));
    let writable = own.as_ref().is_some_and(|path| access(path, rustix::fs::Access::WRITE_OK).is_ok());
    judge_cgroups(unified, writable, own.as_deref())
}

fn judge_cgroups(unified: bool, writable: bool, own: Option<&Path>) -> Item {
    let without = "agents then differ from the operator by user only, and have no memory limit of the kernel";
    match (unified, writable, own) {
        (true, true, Some(own)) => Item::ok("cgroups", format!("v2, {} can be divided", own.display())),
        (true, false, Some(own)) => Item::warn(
            "cgroups",
            format!("v2, but {} is not ours to divide: {without}", own.display()),
            "run agentd under systemd with Delegate=yes, as its units do",
        ),
        _ => Item::warn("cgroups", format!("no cgroup v2: {without}"), "mount cgroup2 on /sys/fs/cgroup"),
    }
}

fn open_files() -> Item {
    judge_open_files(getrlimit(Resource::Nofile).maximum)
}

/// agentd raises its soft limit to the hard one, so that one counts. None is no limit.
fn judge_open_files(hard: Option<u64>) -> Item {
    match hard {
        Some(hard) if hard < FILES_WANTED => Item::warn(
            "open files",
            format!("at most {hard}, and a large fleet needs {FILES_WANTED}"),
            "raise it: LimitNOFILE in the unit, or `ulimit -Hn` before the start",
        ),
        Some(hard) => Item::ok("open files", format!("at most {hard}")),
        None => Item::ok("open files", "no limit"),
    }
}

fn runtime(directory: &Path) -> Item {
    let shown = directory.display();
    match fs::metadata(directory) {
        Err(_) => Item::ok("runtime directory", format!("{shown} is made at the first start")),
        Ok(found) => judge_private(
            "runtime directory",
            directory,
            found.mode(),
            found.uid(),
            rustix::process::geteuid(),
        ),
    }
}

fn judge_private(name: &'static str, directory: &Path, mode: u32, owner: u32, own: rustix::fs::Uid) -> Item {
    let shown = directory.display();
    if mode & 0o022 != 0 {
        return Item::fail(
            name,
            format!("{shown} can be written by others (mode {:o})", mode & 0o7777),
            format!("chmod go-w {shown}"),
        );
    }
    if owner != own.as_raw() && owner != 0 {
        return Item::warn(
            name,
            format!("{shown} belongs to uid {owner}"),
            "that user's daemon answers there; name another with --socket",
        );
    }
    Item::ok(name, format!("{shown}, mode {:o}", mode & 0o7777))
}

fn state(directory: &Path) -> Item {
    let name = "state directory";
    let Some(there) = nearest(directory) else {
        return Item::fail(
            name,
            format!("{} has no directory above it", directory.display()),
            "mend the path",
        );
    };
    let shown = directory.display();
    if access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        return Item::fail(
            name,
            format!("{} cannot be written", there.display()),
            "run as the user it belongs to, or name another with --state-dir",
        );
    }
    let made = if there == directory { "" } else { ", made at the first start" };
    judge_filesystem(&format!("{shown}{made}"), &filesystem(there))
}

/// The directory itself, or the nearest above it that exists.
fn nearest(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|above| above.is_dir())
}

/// SQLite's log needs memory shared between processes and locks that hold: no network file system has both.
fn judge_filesystem(place: &str, kind: &str) -> Item {
    let name = "state directory";
    match kind {
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "afs" | "ceph" | "fuse.sshfs" => Item::fail(
            name,
            format!("{place}: on {kind}, where a database cannot be safe"),
            "name a directory on a local disk with --state-dir",
        ),
        "tmpfs" | "ramfs" => Item::warn(
            name,
            format!("{place}: on {kind}, so everything is lost at a reboot"),
            "name a directory on a disk with --state-dir",
        ),
        _ => Item::ok(name, format!("{place}, on {kind}")),
    }
}

/// The type of the file system that a path lies on: that of the longest mount point above it.
fn filesystem(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        path.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    // The last of equals covers those before it.
    above.max_by_key(|(length, _)| *length).map_or_else(|| "an unknown file system".into(), |(_, kind)| kind)
}

fn disk(directory: &Path) -> Item {
    let free = nearest(directory).and_then(|there| statvfs(there).ok());
    judge_disk(free.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn judge_disk(free: Option<u64>) -> Item {
    let name = "disk space";
    let hint = "free some, or name another directory with --state-dir";
    match free {
        None => Item::warn(name, "cannot be told", hint),
        Some(free) if free < DISK_NEEDED => Item::fail(name, format!("{} MiB free", free >> 20), hint),
        Some(free) if free < DISK_WANTED => Item::warn(name, format!("{} MiB free", free >> 20), hint),
        Some(free) => Item::ok(name, format!("{} GiB free", free >> 30)),
    }
}

/// A clock that stands before our own program was built is wrong.
fn clock() -> Item {
    let built = std::env::current_exe().and_then(fs::metadata).and_then(|found| found.modified());
    judge_clock(SystemTime::now(), built.ok(), Path::new("/run/systemd/timesync/synchronized").exists())
}

fn judge_clock(now: SystemTime, built: Option<SystemTime>, synchronized: bool) -> Item {
    let name = "clock";
    let behind =
        built.and_then(|built| built.duration_since(now).ok()).filter(|by| *by > Duration::from_secs(60));
    if let Some(by) = behind {
        let days = by.as_secs() / 86_400;
        return Item::fail(
            name,
            format!("{days} days before this program was installed"),
            "set it, and keep it with an NTP service: every record carries its time",
        );
    }
    Item::ok(name, if synchronized { "synchronized" } else { "plausible" })
}

#[cfg(test)]
mod tests {
    use super::super::item::State;
    use super::*;

    #[test]
    fn an_old_kernel_is_told_apart_from_one_that_will_do() {
        for (release, pidfd, want) in [
            ("6.1.0-18-amd64", true, State::Ok),
            ("5.11.0", true, State::Ok),
            ("5.10.0-28-amd64", true, State::Warn),
            ("4.19.0", false, State::Fail),
            ("", true, State::Warn),
        ] {
            assert_eq!(judge_kernel(release, pidfd).state, want, "{release}");
        }
    }

    #[test]
    fn a_database_is_not_put_where_it_cannot_be_safe() {
        for (kind, want) in
            [("ext4", State::Ok), ("overlay", State::Ok), ("tmpfs", State::Warn), ("nfs4", State::Fail)]
        {
            assert_eq!(judge_filesystem("/x", kind).state, want, "{kind}");
        }
        assert_ne!(filesystem(Path::new("/proc/self")), "an unknown file system");
        assert_eq!(filesystem(Path::new("/proc/self")), "proc");
    }

    #[test]
    fn limits_space_and_time_are_judged_at_their_edges() {
        for (hard, want) in [(Some(1024), State::Warn), (Some(4096), State::Ok), (None, State::Ok)] {
            assert_eq!(judge_open_files(hard).state, want, "{hard:?}");
        }
        for (free, want) in [
            (Some(99 << 20), State::Fail),
            (Some(100 << 20), State::Warn),
            (Some(1 << 30), State::Ok),
            (None, State::Warn),
        ] {
            assert_eq!(judge_disk(free).state, want, "{free:?}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let day = Duration::from_secs(86_400);
        for (built, want) in [(now - day, State::Ok), (now + day, State::Fail)] {
            assert_eq!(judge_clock(now, Some(built), false).state, want);
        }
    }

    #[test]
    fn a_runtime_directory_that_others_may_write_fails() {
        let own = rustix::fs::Uid::from_raw(1000);
        for (mode, owner, want) in
            [(0o700, 1000, State::Ok), (0o777, 1000, State::Fail), (0o700, 1001, State::Warn)]
        {
            assert_eq!(judge_private("x", Path::new("/x"), mode, owner, own).state, want, "{mode:o} {owner}");
        }
    }

    #[test]
    fn cgroups_count_only_where_they_can_be_divided() {
        let own = Some(Path::new("/sys/fs/cgroup/x"));
        assert_eq!(judge_cgroups(true, true, own).state, State::Ok);
        assert_eq!(judge_cgroups(true, false, own).state, State::Warn);
        assert_eq!(judge_cgroups(false, false, None).state, State::Warn);
    }
}
