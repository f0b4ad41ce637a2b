//! A real agentd in a directory of its own, ended with everything it started when the test ends.
use super::{Answer, PATIENCE, agentctl, agentctl_bin, ends, eventually};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

pub struct Daemon {
    home: TempDir,
    child: Option<Child>,
    environment: Vec<(String, String)>,
}

impl Daemon {
    /// With this manifest; `{agentctl}` in it becomes the path of the binary, quoted, `{home}` the directory. Returns when it answers.
    pub fn start(manifest: &str) -> Self {
        let daemon = Self::prepared(manifest);
        daemon.launched()
    }

    /// The directory and the manifest, with no daemon yet.
    pub fn prepared(manifest: &str) -> Self {
        let home = tempfile::Builder::new().prefix("agentd-test-").tempdir().expect("a directory");
        // Agents may run under a uid of their own and must reach what they are given here.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).expect("permissions");
        let daemon = Self { home, child: None, environment: Vec::new() };
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
        let manifest =
            manifest.replace("{agentctl}", &program).replace("{home}", &self.home().display().to_string());
        fs::write(self.path("agentd.toml"), manifest).expect("a manifest");
    }

    /// A variable in the daemon's environment, as a unit file would give it a secret.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
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
        let mut agentd = self.agentd(&self.path("state"), &self.socket());
        agentd.stdout(Stdio::null()).stderr(log.expect("a log"));
        self.child = Some(agentd.spawn().expect("agentd runs"));
        let answers = eventually(|| self.has_ended().is_some() || self.answers());
        assert!(answers && self.has_ended().is_none(), "agentd did not start:\n{}", self.complaints());
    }

    /// A second agentd on the same manifest, which must not come to run: how it ended.
    pub fn another(&self, state: &Path, socket: &Path) -> Answer {
        self.agentd(state, socket).output().expect("agentd runs").into()
    }

    fn agentd(&self, state: &Path, socket: &Path) -> Command {
        let mut agentd = Command::new(env!("CARGO_BIN_EXE_agentd"));
        agentd.arg("--config").arg(self.path("agentd.toml"));
        agentd.arg("--state-dir").arg(state).arg("--socket").arg(socket);
        agentd.envs(self.environment.iter().map(|(name, value)| (name, value)));
        agentd.current_dir(self.home()).stdin(Stdio::null());
        agentd
    }

    /// That something accepts is not enough: a child that a killed daemon was just starting holds its socket a while.
    fn answers(&self) -> bool {
        let answer = self.exchange("/v1/daemon/status", Duration::from_secs(2));
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// What the daemon itself answers, with no agentctl between. A watch is held until something changes.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.exchange(path, PATIENCE).unwrap_or_else(|error| panic!("{path}: {error}"));
        let body = answer.strip_prefix("HTTP/1.1 200").and_then(|rest| rest.split_once("\r\n\r\n"));
        let json = body.and_then(|(_, body)| serde_json::from_str(body).ok());
        json.unwrap_or_else(|| panic!("{path}: {answer}"))
    }

    fn exchange(&self, path: &str, limit: Duration) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(limit))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n\r\n")?;
        io::read_to_string(stream)
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

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("it runs").id().cast_signed()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("it runs"));
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Asks it to end and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    /// The exit code of a daemon that was asked to end.
    pub fn ended(&mut self) -> Option<i32> {
        assert!(ends(self.child.as_ref().expect("it runs")), "agentd did not stop within {PATIENCE:?}");
        self.child.take().expect("it ran").wait().expect("reaped").code()
    }

    fn has_ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// What agentd logged so far, a JSON record a line.
    pub fn log(&self) -> String {
        let entries = fs::read_dir(self.path("state/logs")).into_iter().flatten().flatten();
        let ours =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
        ours.map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// What agentd wrote to stderr.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.path("agentd.err")).unwrap_or_default()
    }

    /// The instance as which this daemon started the process or an ancestor of it, from its environment.
    fn mark(&self, pid: i32) -> Option<String> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let value = |name: &str| {
            let entries = environment.split(|byte| *byte == 0);
            entries.filter_map(|entry| str::from_utf8(entry).ok()).find_map(|entry| entry.strip_prefix(name))
        };
        let ours =
            value("AGENTD_REPORT_SOCKET=").is_some_and(|socket| Path::new(socket).starts_with(self.home()));
        value("AGENTD_INSTANCE=").filter(|_| ours).map(str::to_owned)
    }

    /// Every living process that bears the mark of this daemon's fleet, with the instance it belongs to.
    pub fn marked(&self) -> Vec<(i32, String)> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| Some((pid, self.mark(pid)?))).collect()
    }

    /// Processes that run a program of this directory, stand in it or bear its mark: agents, wherever they forked to.
    pub fn strays(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let ours = |pid: i32| {
            let inside = |link: &str| {
                fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|to| to.starts_with(self.home()))
            };
            inside("exe") || inside("cwd") || self.mark(pid).is_some()
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
