//! A child in a process group of its own, watched through its pidfd.
use super::{
    descriptors,
    exec::{self, Confinement, Image},
    fifo, program,
    stop::{self, Group, StopReport},
};
use crate::{
    agents::{
        cgroup::Cgroup,
        procfs::{self, FLEET_VARIABLE, INSTANCE_VARIABLE},
    },
    config::Limits,
    domain::{Fault, FaultKind, InstanceId},
};
use rustix::process::{Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::unix::AsyncFd;

#[derive(Clone, Debug)]
pub enum Stdin {
    Null,
    /// The request channel of a `process` agent, opened read-write.
    Fifo(PathBuf),
}

/// Everything a child is started with; nothing else reaches it.
#[derive(Clone, Debug)]
pub struct SpawnSpec {
    pub instance: InstanceId,
    /// Program and arguments; found in the PATH of `environment`.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited. The marker (`AGENTD_FLEET`, `AGENTD_INSTANCE`) is added by spawn.
    pub environment: Vec<(OsString, OsString)>,
    pub workdir: Option<PathBuf>,
    pub limits: Limits,
    /// uid and gid to run as.
    pub user: Option<(u32, u32)>,
    pub cgroup: Option<Cgroup>,
    /// Its uid, if nobody else has it.
    pub own_uid: Option<u32>,
    pub stdin: Stdin,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    pub fleet_id: String,
}

/// How it ended; both none when it was adopted and nobody could see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

/// A living child, ours or adopted. Dropping it leaves the process alone: the next daemon may adopt it.
pub struct Child {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat.
    pub pid_start: u64,
    pub adopted: bool,
    group: Group,
    pidfd: AsyncFd<OwnedFd>,
    ended: Option<Ended>,
}

impl Child {
    /// Within a tokio runtime. Returns when the program has been executed, or could not be.
    pub fn spawn(spec: &SpawnSpec) -> Result<Self, Fault> {
        let program = program::locate(spec)?;
        check_limits(spec)?;
        let mut cgroup = spec.cgroup.clone();
        let mut started = start(spec, &program, cgroup.as_ref());
        if started.is_err() && cgroup.is_some() {
            // Cgroups are a help, not a need. If this fails too, the cgroup was not the cause.
            started = start(spec, &program, None);
            if started.is_ok() {
                tracing::warn!(instance = %spec.instance, "cannot enter its cgroup; it runs without one");
                cgroup = None;
            }
        }
        let pid = started.map_err(|failure| match failure {
            Failure::Exec(error) => program::unusable(spec, &program, &error),
            Failure::Stream(path, error) => {
                Fault::internal(format!("cannot open {} for {}: {error}", path.display(), spec.instance))
            }
        })?;
        let lost = |error: io::Error| {
            // Without a pidfd it could be neither watched nor stopped, so it may not live.
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            }
            Fault::internal(format!("cannot watch {} (pid {pid}): {error}", spec.instance))
                .hint("raise the daemon's limit of open files: ulimit -n")
        };
        let pidfd = watch(pid).map_err(lost)?;
        // Nobody has waited for it, so its pid is its own even if it has ended already.
        let pid_start = procfs::read(pid).map_or(0, |process| process.start);
        let group = Group {
            fleet_id: spec.fleet_id.clone(),
            instance: spec.instance.clone(),
            leader: Some((pid, pid_start)),
            cgroup,
            fifos: vec![spec.stdout.clone(), spec.stderr.clone()],
            uid: spec.own_uid,
        };
        Ok(Self { pid, pid_start, adopted: false, group, pidfd, ended: None })
    }

    /// The same process as recorded, if it still lives; `group` says what else is its own. Within a tokio runtime.
    pub fn adopt(pid: i32, pid_start: u64, boot_id: &str, group: Group) -> Option<Self> {
        if boot_id.is_empty() || boot_id != procfs::boot_id() {
            return None;
        }
        // The pidfd first: from then on the pid cannot be used again without our seeing that its owner ended.
        let pidfd = watch(pid).ok()?;
        let process = procfs::read(pid)?;
        if process.start != pid_start || process.is_dead() || has_ended(pidfd.as_fd()) {
            return None;
        }
        let group = Group { leader: Some((pid, pid_start)), ..group };
        Some(Self { pid, pid_start, adopted: true, group, pidfd, ended: None })
    }

    /// Until the main process ends. Cancel safe. What it leaves behind is for `sweep`.
    pub async fn wait(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.ended {
                return ended;
            }
            if has_ended(self.pidfd.get_ref().as_fd()) {
                self.ended = Some(self.reap());
                continue;
            }
            match self.pidfd.readable().await {
                Ok(mut ready) if !has_ended(ready.get_inner().as_fd()) => ready.clear_ready(),
                Ok(_) => {}
                // The runtime goes down: nothing can be learnt any more.
                Err(_) => return Ended { code: None, signal: None },
            }
        }
    }

    /// TERM to the group and every descendant → verify → TERM at half time → KILL at the end; returns when nothing
    /// of the instance is alive, double forks included.
    pub async fn stop(&mut self, timeout: Duration) -> StopReport {
        let group = self.group.clone();
        stop::stop(&group, Some(self), timeout).await
    }

    /// What belongs to this instance, for `sweep` after its main process ended.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// How it ended, once `wait` or `stop` has seen it.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    fn reap(&self) -> Ended {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), options) {
            Ok(Some(status)) => Ended { code: status.exit_status(), signal: status.terminating_signal() },
            // Adopted: somebody else's child.
            Ok(None) | Err(_) => Ended { code: None, signal: None },
        }
    }
}

enum Failure {
    Exec(io::Error),
    Stream(PathBuf, io::Error),
}

fn start(spec: &SpawnSpec, program: &Path, cgroup: Option<&Cgroup>) -> Result<i32, Failure> {
    let stdin = match &spec.stdin {
        Stdin::Null => opened(Path::new("/dev/null"))?,
        Stdin::Fifo(path) => stream(path, spec.user)?,
    };
    let streams = [stdin, stream(&spec.stdout, spec.user)?, stream(&spec.stderr, spec.user)?];
    let confinement = Confinement {
        data: spec.limits.memory.map(|bytes| bytes.0),
        open_files: descriptors::for_child(spec.limits.open_files),
        processes: spec.limits.processes,
        user: spec.user,
        cgroup: cgroup.map(|cgroup| opened(cgroup.directory())).transpose()?,
    };
    execute(spec, program, &streams, &confinement).map_err(Failure::Exec)
}

fn execute(
    spec: &SpawnSpec,
    program: &Path,
    streams: &[OwnedFd; 3],
    confinement: &Confinement,
) -> io::Result<i32> {
    let path = CString::new(program.as_os_str().as_bytes())?;
    let argv: Vec<CString> = spec.argv.iter().map(|text| CString::new(&**text)).collect::<Result<_, _>>()?;
    let instance = spec.instance.to_string();
    let environment = environment(spec, &instance)
        .into_iter()
        .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<Result<Vec<_>, _>>()?;
    let workdir = spec.workdir.as_ref().map(|dir| CString::new(dir.as_os_str().as_bytes())).transpose()?;
    let image =
        Image { path: &path, argv: &argv, environment: &environment, workdir: workdir.as_deref(), streams };
    exec::execute(&image, confinement)
}

/// Each name once; the last one counts, and the marker is nobody's to change.
fn environment<'a>(spec: &'a SpawnSpec, instance: &'a str) -> BTreeMap<&'a OsStr, &'a OsStr> {
    let given = spec.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let marker = [(FLEET_VARIABLE, spec.fleet_id.as_str()), (INSTANCE_VARIABLE, instance)];
    given.chain(marker.map(|(name, value)| (OsStr::new(name), OsStr::new(value)))).collect()
}

fn opened(path: &Path) -> Result<OwnedFd, Failure> {
    File::open(path).map(OwnedFd::from).map_err(|error| Failure::Stream(path.to_owned(), error))
}

/// The child's end of a FIFO, made if need be. It belongs to the agent's user, so that /dev/stderr opens for it.
fn stream(path: &Path, user: Option<(u32, u32)>) -> Result<OwnedFd, Failure> {
    let failed = |error| Failure::Stream(path.to_owned(), error);
    fifo::ensure_fifo(path).map_err(failed)?;
    let file = fifo::open_writer(path).map_err(failed)?;
    if let Some((uid, gid)) = user {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(file)
}

/// A limit above what the kernel lets us give would fail after the fork, without a name.
fn check_limits(spec: &SpawnSpec) -> Result<(), Fault> {
    let asked = [
        ("memory", Resource::Data, spec.limits.memory.map(|bytes| bytes.0)),
        ("open_files", Resource::Nofile, spec.limits.open_files),
        ("processes", Resource::Nproc, spec.limits.processes),
    ];
    for (name, resource, bound) in asked {
        let hard = rustix::process::getrlimit(resource).maximum;
        if let (Some(bound), Some(hard)) = (bound, hard)
            && bound > hard
            && !rustix::process::geteuid().is_root()
        {
            let message = format!(
                "cannot start {}: limits.{name} asks for {bound}, and agentd itself has only {hard}",
                spec.instance
            );
            return Err(Fault::new(FaultKind::Config, message).hint("lower it, or raise agentd's own limit"));
        }
    }
    Ok(())
}

fn watch(pid: i32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 0);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    exec::register(pidfd)
}

/// A pidfd becomes readable when its process has ended, whoever reaps it.
fn has_ended(pidfd: impl AsFd) -> bool {
    let mut polled = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut polled, Some(&at_once)), Ok(ready) if ready > 0)
}
