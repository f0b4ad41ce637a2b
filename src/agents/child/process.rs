//! A child in a process group of its own, watched through its pidfd.
use super::{
    descriptors,
    exec::{self, Confinement},
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
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
        Stdin::Null => Stdio::null(),
        Stdin::Fifo(path) => stream(path, spec.user)?,
    };
    let entrance = cgroup.map(|cgroup| {
        let path = cgroup.entrance();
        OpenOptions::new().write(true).open(&path).map_err(|error| Failure::Stream(path, error))
    });
    let confinement = Confinement {
        data: spec.limits.memory.map(|bytes| bytes.0),
        open_files: descriptors::for_child(spec.limits.open_files),
        processes: spec.limits.processes,
        user: spec.user,
        cgroup: entrance.transpose()?.map(|file: File| file.into()),
    };
    let mut command = Command::new(program);
    command
        .arg0(&spec.argv[0])
        .args(&spec.argv[1..])
        .env_clear()
        .envs(spec.environment.iter().map(|(key, value)| (key, value)))
        .env(FLEET_VARIABLE, &spec.fleet_id)
        .env(INSTANCE_VARIABLE, spec.instance.to_string())
        .stdin(stdin)
        .stdout(stream(&spec.stdout, spec.user)?)
        .stderr(stream(&spec.stderr, spec.user)?)
        .process_group(0);
    if let Some(workdir) = &spec.workdir {
        command.current_dir(workdir);
    }
    exec::confine_before_exec(&mut command, confinement);
    let child = command.spawn().map_err(Failure::Exec)?;
    Ok(child.id().cast_signed())
}

/// The child's end of a FIFO, made if need be. It belongs to the agent's user, so that /dev/stderr opens for it.
fn stream(path: &Path, user: Option<(u32, u32)>) -> Result<Stdio, Failure> {
    let failed = |error| Failure::Stream(path.to_owned(), error);
    fifo::ensure_fifo(path).map_err(failed)?;
    let file = fifo::open_writer(path).map_err(failed)?;
    if let Some((uid, gid)) = user {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(Stdio::from(file))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agents::child::fixture::{Scene, is_root, until},
        domain::ByteSize,
    };

    /// Runs the script to its end and returns what it printed.
    async fn output_of(scene: &Scene) -> (Ended, String) {
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        let ended = child.wait().await;
        (ended, scene.printed())
    }

    #[tokio::test]
    async fn the_environment_is_what_was_given_and_nothing_else() {
        // Cargo plants variables in every test, so that an inherited one would show.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let mut scene = Scene::new("");
        scene.spec.argv = vec!["env".into()];
        scene.spec.environment.push(("A".into(), "b c\nd".into()));
        let (ended, text) = output_of(&scene).await;
        assert_eq!(ended, Ended { code: Some(0), signal: None });
        let path = std::env::var("PATH").expect("a PATH");
        let fleet = &scene.spec.fleet_id;
        let expected = format!("A=b c\nd\nAGENTD_FLEET={fleet}\nAGENTD_INSTANCE=orders/0\nPATH={path}\n");
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn no_descriptor_but_the_first_three_reaches_it() {
        let file = File::open("/proc/self/stat").expect("a file");
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("inheritable on purpose");
        let scene = Scene::new("exec ls /proc/self/fd");
        let (_, text) = output_of(&scene).await;
        // ls itself opens the directory that it lists as the lowest free one, 3.
        assert_eq!(text, "0\n1\n2\n3\n");
    }

    #[tokio::test]
    async fn limits_privileges_and_signals_are_in_force() {
        let mut scene = Scene::new(
            "ulimit -d; ulimit -n; ulimit -c; grep -E '^(NoNewPrivs|SigIgn|SigBlk)' /proc/self/status",
        );
        scene.spec.limits.memory = Some(ByteSize(64 << 20));
        scene.spec.limits.open_files = Some(77);
        let (_, text) = output_of(&scene).await;
        let none = "0000000000000000";
        // 32 is libc's own, which no program can set: whoever ignored it far above us decides.
        let text = text.replace("SigIgn:\t0000000080000000", &format!("SigIgn:\t{none}"));
        assert_eq!(text, format!("65536\n77\n0\nSigBlk:\t{none}\nSigIgn:\t{none}\nNoNewPrivs:\t1\n"));
    }

    #[tokio::test]
    async fn memory_beyond_the_limit_is_refused_to_it() {
        let mut scene = Scene::new("");
        scene.spec.argv = ["python3", "-c", "b = bytearray(400 << 20)"].map(Into::into).to_vec();
        scene.spec.limits.memory = Some(ByteSize(200 << 20));
        assert_eq!(output_of(&scene).await.0.code, Some(1), "400 MiB were given under a limit of 200");
        scene.spec.limits.memory = None;
        assert_eq!(
            output_of(&scene).await.0.code,
            Some(0),
            "it fails without the limit too: this shows nothing"
        );
    }

    #[tokio::test]
    async fn under_root_a_user_is_taken_with_no_group_left_and_else_refused() {
        let mut scene = Scene::new("id -u; id -g; id -G");
        scene.spec.user = Some((65534, 65533));
        scene.spec.workdir = None;
        if is_root() {
            assert_eq!(output_of(&scene).await.1, "65534\n65533\n65533\n");
        } else {
            assert!(Child::spawn(&scene.spec).is_err(), "a user was changed without the right to");
        }
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_executed_is_named_with_the_reason() {
        let mut scene = Scene::new("");
        let dir = scene.dir.path().to_owned();
        std::fs::write(dir.join("plain"), "#!/bin/sh\n").expect("a file");
        std::fs::write(dir.join("lost"), "#!/no/such/interpreter\n").expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.join("lost"), mode).expect("a mode");
        let mut fault = |program: &str| {
            scene.spec.argv = vec![program.into()];
            Child::spawn(&scene.spec).err().unwrap_or_else(|| panic!("{program} started"))
        };
        for (program, kind, words) in [
            ("no-such-program", FaultKind::NotFound, "no program `no-such-program` in its PATH"),
            ("/no/such/program", FaultKind::NotFound, "no program /no/such/program"),
            ("./plain", FaultKind::Config, "may not be executed"),
            ("./lost", FaultKind::Config, "interpreter that is not there"),
            ("", FaultKind::Config, "names no program"),
        ] {
            let fault = fault(program);
            assert_eq!(fault.kind, kind, "{program}: {fault}");
            assert!(fault.message.starts_with("cannot start orders/0: "), "{fault}");
            assert!(fault.message.contains(words), "{fault}");
        }
        scene.spec.argv = vec!["/bin/true".into()];
        scene.spec.workdir = Some(dir.join("nowhere"));
        let fault = Child::spawn(&scene.spec).err().expect("no such workdir");
        assert!(fault.message.contains("nowhere is not a directory"), "{fault}");
    }

    #[tokio::test]
    async fn only_the_very_process_is_adopted_and_its_exit_status_stays_unknown() {
        let scene = Scene::new("sleep 1000");
        let child = Child::spawn(&scene.spec).expect("it starts");
        let boot = procfs::boot_id();
        let adopt = |start, boot: &str| Child::adopt(child.pid, start, boot, child.group().clone());
        assert!(adopt(child.pid_start + 1, &boot).is_none(), "another process with this pid was adopted");
        assert!(adopt(child.pid_start, "another boot").is_none());
        assert!(adopt(child.pid_start, "").is_none());
        let mut adopted = adopt(child.pid_start, &boot).expect("the same process");
        assert!(adopted.adopted);
        let waiting = tokio::time::timeout(Duration::from_millis(30), adopted.wait()).await;
        assert!(waiting.is_err(), "it ended before it was stopped");
        assert_eq!(adopted.stop(Duration::from_secs(5)).await.survivors, 0);
        assert!(adopt(child.pid_start, &boot).is_none(), "a dead process was adopted");
    }

    #[tokio::test]
    async fn waiting_may_be_given_up_and_taken_up_again() {
        let scene = Scene::new("while [ ! -e go ]; do sleep 0.01; done; kill -KILL $$");
        let mut child = Child::spawn(&scene.spec).expect("it starts");
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::from_millis(5), child.wait()).await.is_err());
        }
        std::fs::write(scene.dir.path().join("go"), "").expect("a file");
        assert_eq!(child.wait().await, Ended { code: None, signal: Some(9) });
        assert_eq!(child.wait().await, Ended { code: None, signal: Some(9) }, "told once only");
        let pid = child.pid;
        until(|| procfs::read(pid).is_none()).await;
    }
}
