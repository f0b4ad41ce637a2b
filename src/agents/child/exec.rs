//! The one module that may use `unsafe`: what happens between fork and exec in the child. Everything in `confine`
//! is async-signal-safe (plain system calls, no allocation, no lock), as a fork of a threaded process demands.
//! Beside it, the registration of a pidfd, which tokio holds to be unsafe for types that lie about their descriptor.
#![allow(unsafe_code)]
use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};
use tokio::io::{Interest, unix::AsyncFd};

/// What a child is held to. Made in the parent, used in the child.
#[derive(Default)]
pub(super) struct Confinement {
    /// Private memory in bytes (RLIMIT_DATA).
    pub data: Option<u64>,
    /// RLIMIT_NOFILE, soft and hard.
    pub open_files: Option<(u64, u64)>,
    /// RLIMIT_NPROC.
    pub processes: Option<u64>,
    /// uid and gid; supplementary groups are dropped with them.
    pub user: Option<(u32, u32)>,
    /// `cgroup.procs` of its cgroup, open for writing.
    pub cgroup: Option<OwnedFd>,
}

/// The child will be confined before it becomes the program; where that fails it never does.
pub(super) fn confine_before_exec(command: &mut Command, confinement: Confinement) {
    // SAFETY: `confine` runs in the forked child and makes only async-signal-safe calls; the closure owns what it
    // uses, and its errors carry an errno without allocating.
    unsafe {
        command.pre_exec(move || confine(&confinement));
    }
}

/// A pidfd that tokio tells of when its process ends.
pub(super) fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open and the same until dropped, and nobody calls `get_mut` to replace it.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn confine(to: &Confinement) -> io::Result<()> {
    if let Some(procs) = &to.cgroup {
        // SAFETY: writes one byte from a static string to a descriptor that we own. "0" is the writer itself.
        check(unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } == 1)?;
    }
    default_signals();
    let both = |bound| (bound, bound);
    limit(libc::RLIMIT_CORE, Some((0, 0)))?;
    limit(libc::RLIMIT_DATA, to.data.map(both))?;
    limit(libc::RLIMIT_NOFILE, to.open_files)?;
    limit(libc::RLIMIT_NPROC, to.processes.map(both))?;
    if let Some((uid, gid)) = to.user {
        // SAFETY: no pointers but the empty list. Groups first: after setuid there is no right to drop them.
        unsafe {
            check(libc::setgroups(0, std::ptr::null()) == 0)?;
            check(libc::setgid(gid) == 0)?;
            check(libc::setuid(uid) == 0)?;
        }
    }
    // SAFETY: plain integers; the unused arguments must be zero.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64) } == 0)?;
    close_from_three_on_exec();
    Ok(())
}

/// An ignored signal stays ignored over exec (a daemon under nohup ignores HUP), so each gets its default back.
/// The mask is emptied by std.
fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no handler; KILL, STOP and those of libc itself are refused, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn limit(resource: libc::__rlimit_resource_t, bound: Option<(u64, u64)>) -> io::Result<()> {
    let Some((soft, hard)) = bound else { return Ok(()) };
    let bound = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the struct lives for the call.
    check(unsafe { libc::setrlimit(resource, &raw const bound) } == 0)
}

/// Marked rather than closed: std tells a failed exec over a descriptor of its own, which exec closes too.
fn close_from_three_on_exec() {
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: integers only. Kernels before 5.11 answer EINVAL or ENOSYS.
    if unsafe { libc::close_range(3, u32::MAX, flags) } == 0 {
        return;
    }
    for descriptor in 3..65536 {
        // SAFETY: integers only; a descriptor that is not open answers EBADF.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn check(succeeded: bool) -> io::Result<()> {
    if succeeded { Ok(()) } else { Err(io::Error::last_os_error()) }
}
