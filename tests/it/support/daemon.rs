//! A real agentd in a directory of its own, ended with everything it started when the test ends.
use super::{Answer, agentctl, agentctl_bin};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Far above what a start takes, even on a machine that is busy with the other tests.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Daemon {
    home: TempDir,
    child: Option<Child>,
}

impl Daemon {
    /// With this manifest; `{agentctl}` in it becomes the path of the binary, quoted. Returns when it answers.
    pub fn start(manifest: &str) -> Self {
        let daemon = Self::prepared(manifest);
        daemon.launched()
    }

    /// The directory and the manifest, with no daemon yet.
    pub fn prepared(manifest: &str) -> Self {
        let home = tempfile::Builder::new().prefix("agentd-test-").tempdir().expect("a directory");
        // Agents may run under a uid of their own and must reach what they are given here.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).expect("permissions");
        let daemon = Self { home, child: None };
        // Likewise the program: a checkout is often closed to others.
        let program = daemon.path("agentctl");
        fs::hard_link(agentctl_bin(), &program)
            .or_else(|_| fs::copy(agentctl_bin(), &program).map(drop))
            .expect("a copy of agentctl");
        daemon.rewrite(manifest);
        daemon
    }

    /// Puts another manifest in the place of the old one.
    pub fn rewrite(&self, manifest: &str) {
        let program = format!("{:?}", self.path("agentctl"));
        fs::write(self.path("agentd.toml"), manifest.replace("{agentctl}", &program)).expect("a manifest");
    }

    #[must_use]
    pub fn launched(mut self) -> Self {
        self.launch();
        self
    }

    /// Starts agentd over the same state, as after a crash; returns when it answers.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("agentd.err"));
        let child = Command::new(env!("CARGO_BIN_EXE_agentd"))
            .arg("--config")
            .arg(self.path("agentd.toml"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--socket")
            .arg(self.socket())
            .current_dir(self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn()
            .expect("agentd runs");
        self.child = Some(child);
        let answers = eventually(|| self.has_ended().is_some() || UnixStream::connect(self.socket()).is_ok());
        assert!(answers && self.has_ended().is_none(), "agentd did not start:\n{}", self.complaints());
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("run/agentd.sock")
    }

    /// agentctl, asking this daemon.
    pub fn ctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        let socket = self.socket();
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        agentctl([OsStr::new("--socket"), socket.as_os_str()].into_iter().map(OsStr::to_owned).chain(args))
    }

    /// kill -9: no goodbye to agents or files.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    /// Asks it to end and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let child = self.child.as_mut().expect("it runs");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        let ended = eventually(|| matches!(child.try_wait(), Ok(Some(_))));
        assert!(ended, "agentd did not stop within {PATIENCE:?}");
        self.child.take().expect("it ran").wait().expect("reaped").code()
    }

    fn has_ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// What agentd wrote to stderr.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.path("agentd.err")).unwrap_or_default()
    }

    /// Processes that run a program of this directory or stand in it: agents, wherever they forked to.
    pub fn strays(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let ours = |pid: i32| {
            let inside = |link: &str| {
                fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|to| to.starts_with(self.home()))
            };
            inside("exe") || inside("cwd")
        };
        let daemon = self.child.as_ref().map(|child| child.id().cast_signed());
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| Some(*pid) != daemon && ours(*pid)).collect()
    }
}

impl Drop for Daemon {
    /// By pid, and only what runs from this directory.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in self.strays() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Asks again until it holds; false when patience ends.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    holds()
}
