//! The one module that may use `unsafe`: what happens between fork and exec in the child. Everything in `confine`
//! is async-signal-safe (plain system calls, no allocation, no lock), as a fork of a threaded process demands.
//! Beside it, the registration of a pidfd, which tokio holds to be unsafe for types that lie about their descriptor.
#![allow(unsafe_code)]
use std::{
    ffi::{CStr, CString, c_char},
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
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
    /// The directory of its cgroup.
    pub cgroup: Option<OwnedFd>,
}

/// What is run, ready for the kernel: after the fork nothing may be allocated.
pub(super) struct Image<'a> {
    /// With a slash: no PATH is searched.
    pub path: &'a CStr,
    pub argv: &'a [CString],
    /// `NAME=value`, the whole environment.
    pub environment: &'a [CString],
    pub workdir: Option<&'a CStr>,
    /// stdin, stdout and stderr, each above 2.
    pub streams: &'a [OwnedFd; 3],
}

/// Starts the program, confined and in a process group of its own, and returns its pid once it has been executed.
/// It is born in its cgroup: to move into one afterwards costs a grace period of the kernel, some 10 ms in which no
/// process of the machine may fork or exit.
pub(super) fn execute(image: &Image, confinement: &Confinement) -> io::Result<i32> {
    if image.streams.iter().any(|stream| stream.as_raw_fd() <= 2) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (argv, environment) = (pointers(image.argv), pointers(image.environment));
    let (mut told, tell) = io::pipe()?;
    // SAFETY: until it executes or exits, the child makes only async-signal-safe calls on what was prepared above.
    let pid = unsafe {
        // A handler of ours must not run in the child: it would tell us of a signal that was not for us.
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let forked = fork_into(confinement.cgroup.as_ref());
        if let Ok(0) = forked {
            let failed = become_program(image, confinement, &argv, &environment);
            let number = failed.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
            libc::write(tell.as_raw_fd(), number.as_ptr().cast(), number.len());
            libc::_exit(127);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        forked?
    };
    drop(tell); // ours; the child's end closes when it executes
    let mut number = [0; 4];
    if told.read_exact(&mut number).is_err() {
        return Ok(pid);
    }
    // SAFETY: our own child, which ends at once; nobody else knows its pid.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
}

/// A fork, in the child 0. Not by libc's `fork`, which knows no cgroups; so what libc keeps of threads is not right in
/// the child, which uses nothing of it.
unsafe fn fork_into(cgroup: Option<&OwnedFd>) -> io::Result<i32> {
    // SAFETY: all zeroes is how the struct says "nothing of that"; the descriptor is open for the call. Without a
    // stack and CLONE_VM the child has a copy of ours.
    let pid = unsafe {
        let mut how: libc::clone_args = std::mem::zeroed();
        how.exit_signal = libc::SIGCHLD.cast_unsigned().into();
        if let Some(cgroup) = cgroup {
            how.flags = CLONE_INTO_CGROUP;
            how.cgroup = cgroup.as_raw_fd().cast_unsigned().into();
        }
        libc::syscall(libc::SYS_clone3, &raw mut how, size_of::<libc::clone_args>())
    };
    if let Ok(pid) = i32::try_from(pid)
        && pid >= 0
    {
        return Ok(pid);
    }
    let error = io::Error::last_os_error();
    // Before Linux 5.3, and in containers that hide what they do not know.
    if error.raw_os_error() != Some(libc::ENOSYS) || cgroup.is_some() {
        return Err(error);
    }
    // SAFETY: as above.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

/// Linux 5.7; the constant of libc is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// In the child. Returns only if it could not.
fn become_program(
    image: &Image,
    confinement: &Confinement,
    argv: &[*const c_char],
    environment: &[*const c_char],
) -> io::Error {
    let prepare = || {
        for (stream, number) in image.streams.iter().zip(0..) {
            // SAFETY: integers only; the source is above 2, so that the copy is not closed on exec.
            check(unsafe { libc::dup2(stream.as_raw_fd(), number) } == number)?;
        }
        if let Some(workdir) = image.workdir {
            // SAFETY: a C string that outlives the call.
            check(unsafe { libc::chdir(workdir.as_ptr()) } == 0)?;
        }
        // SAFETY: integers only.
        check(unsafe { libc::setpgid(0, 0) } == 0)?;
        confine(confinement)?;
        // SAFETY: an empty set: the program is to hear every signal, whatever the thread that forked had blocked.
        unsafe {
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            check(libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) == 0)
        }
    };
    if let Err(error) = prepare() {
        return error;
    }
    // SAFETY: C strings, and lists of them that end with null, all alive.
    unsafe { libc::execvpe(image.path.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// As exec wants them: ended by null.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// A pidfd that tokio tells of when its process ends.
pub(super) fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open and the same until dropped, and nobody calls `get_mut` to replace it.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn confine(to: &Confinement) -> io::Result<()> {
    default_signals();
    let both = |bound| (bound, bound);
    limit(libc::RLIMIT_CORE, Some((0, 0)))?;
    limit(libc::RLIMIT_DATA, to.data.map(both))?;
    limit(libc::RLIMIT_NOFILE, to.open_files)?;
    limit(libc::RLIMIT_NPROC, to.processes.map(both))?;
    if let Some((uid, gid)) = to.user {
        // SAFETY: no pointers but the empty list. Groups first: after setuid there is no right to drop them. Past libc,
        // which would first ask every thread that it remembers to do the same.
        unsafe {
            check(libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) == 0)?;
            check(libc::syscall(libc::SYS_setgid, gid) == 0)?;
            check(libc::syscall(libc::SYS_setuid, uid) == 0)?;
        }
    }
    // SAFETY: plain integers; the unused arguments must be zero.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64) } == 0)?;
    close_from_three_on_exec();
    Ok(())
}

/// An ignored signal stays ignored over exec (a daemon under nohup ignores HUP), so each gets its default back.
/// The mask is emptied at the end.
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

/// Marked rather than closed: a failed exec is told over a descriptor that exec closes too.
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
