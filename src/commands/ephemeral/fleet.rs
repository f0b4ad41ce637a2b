//! A private daemon in a directory of its own: prepared, started, stopped, and proved to be gone.
use super::traces;
use crate::{
    cli::CliError,
    daemon::{ARENAS, ARENAS_VARIABLE},
    domain::{Fault, FaultKind},
};
use std::{
    env, fs, io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Longer than the daemon's own deadline for stopping a fleet.
const STOP: Duration = Duration::from_secs(90);
/// What was killed needs a moment to be gone from /proc.
const GONE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// What its daemon runs by.
pub enum Manifest<'a> {
    /// Written into its directory, where it stands and where its agents stand too.
    Text(&'a str),
    /// Read where it is, from where we stand, for this environment.
    File { path: PathBuf, environment: Option<String> },
}

pub struct Fleet {
    home: PathBuf,
    /// None: our own, in `home`.
    manifest: Option<PathBuf>,
    environment: Option<String>,
    daemon: Option<Child>,
}

impl Fleet {
    /// The directory with a copy of the programs, which agents under a uid of their own may execute.
    pub fn prepare(what_for: &str, manifest: Manifest) -> Result<Self, CliError> {
        let home = env::temp_dir().join(format!("agentctl-{what_for}-{}", fastrand::u64(..)));
        // Others may enter, as agents must, but not look around. It must be new: a name in /tmp may be a trap.
        fs::DirBuilder::new().mode(0o711).create(&home).map_err(|e| cannot("make", &home, &e))?;
        let mut fleet = Self { home, manifest: None, environment: None, daemon: None };
        let prepared = fs::set_permissions(&fleet.home, fs::Permissions::from_mode(0o711))
            .map_err(|e| cannot("open", &fleet.home, &e))
            .and_then(|()| fleet.fill(manifest));
        match prepared {
            Ok(()) => Ok(fleet),
            Err(error) => {
                fleet.remove()?;
                Err(error)
            }
        }
    }

    fn fill(&mut self, manifest: Manifest) -> Result<(), CliError> {
        let bin = self.home.join("bin");
        fs::DirBuilder::new().mode(0o755).create(&bin).map_err(|e| cannot("make", &bin, &e))?;
        fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).map_err(|e| cannot("open", &bin, &e))?;
        let own = env::current_exe().map_err(|e| cannot("find", Path::new("agentctl"), &e))?;
        let agentd = own.with_file_name("agentd");
        if !agentd.is_file() {
            return Err(Fault::new(
                FaultKind::NotFound,
                format!("cannot find agentd beside {}", own.display()),
            )
            .hint("`cargo build --release` builds both; install.sh installs both")
            .into());
        }
        for (from, to) in [(&own, "agentctl"), (&agentd, "agentd")] {
            let to = bin.join(to);
            // A link where it can be one, since the programs are large; another file system needs a copy.
            fs::hard_link(from, &to)
                .or_else(|_| fs::copy(from, &to).map(drop))
                .map_err(|e| cannot("copy", &to, &e))?;
        }
        match manifest {
            Manifest::Text(text) => {
                let file = self.own_manifest();
                fs::write(&file, text).map_err(|e| cannot("write", &file, &e))?;
            }
            Manifest::File { path, environment } => {
                self.manifest = Some(path);
                self.environment = environment;
            }
        }
        Ok(())
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    fn own_manifest(&self) -> PathBuf {
        self.home.join("agentd.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.home.join("run").join("agentd.sock")
    }

    fn log(&self) -> PathBuf {
        self.home.join("agentd.err")
    }

    /// Starts agentd; it answers a little later.
    pub fn launch(&mut self) -> Result<(), CliError> {
        let log = fs::File::create(self.log()).map_err(|e| cannot("write", &self.log(), &e))?;
        let mut path = self.home.join("bin").into_os_string();
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let mut command = Command::new(self.home.join("bin").join("agentd"));
        if env::var_os(ARENAS_VARIABLE).is_none() {
            command.env(ARENAS_VARIABLE, ARENAS);
        }
        match &self.manifest {
            None => {
                for (name, _) in env::vars_os() {
                    // A setting meant for another daemon.
                    if name.to_string_lossy().starts_with("AGENT") {
                        command.env_remove(name);
                    }
                }
                command.arg("--config").arg(self.own_manifest()).current_dir(&self.home);
            }
            // Settings in our environment are meant for it, and its agents stand where we do. Only what it leaves
            // behind must be left in here.
            Some(file) => {
                command
                    .arg("--config")
                    .arg(file)
                    .env("AGENTD_DAEMON__LOG__DIR", self.home.join("state").join("logs"))
                    .env("AGENTD_RELEASES__DIR", self.home.join("releases"));
            }
        }
        if let Some(environment) = &self.environment {
            command.arg("--environment").arg(environment);
        }
        let child = command
            .arg("--state-dir")
            .arg(self.home.join("state"))
            .arg("--socket")
            .arg(self.socket())
            .env("PATH", path)
            // Out of reach of the terminal's Ctrl-C: we stop it ourselves, in order.
            .process_group(0)
            // And where we are killed before we can, the end of this pipe tells it.
            .arg("--leashed")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| {
                CliError::from(
                    Fault::internal(format!("cannot start agentd in {}: {e}", self.home.display()))
                        .hint("if that file system forbids programs, name another directory in TMPDIR"),
                )
            })?;
        self.daemon = Some(child);
        Ok(())
    }

    /// Why the daemon ended although nobody asked it to, if it did.
    pub fn died(&mut self) -> Option<CliError> {
        let status = self.daemon.as_mut()?.try_wait().ok().flatten()?;
        let said = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = said.lines().rev().take(8).collect();
        let last: Vec<_> = lines.into_iter().rev().collect();
        let (kind, hint) = match status.code() {
            Some(2) => (FaultKind::Config, "`agentctl config check FILE` reads the manifest again"),
            _ => (FaultKind::Internal, "`agentctl doctor` looks at the machine and the installation"),
        };
        let why = format!("cannot go on: agentd ended with {status}:\n{}", last.join("\n"));
        Some(Fault::new(kind, why).hint(hint).into())
    }

    /// Stops the daemon and its agents. What is alive after that is a defect: it is killed and reported. Where `hurry`
    /// comes before they have ended in order, they are killed.
    pub async fn stop(&mut self, hurry: impl Future<Output = ()>) -> Result<(), CliError> {
        let mut hurried = false;
        if let Some(mut daemon) = self.daemon.take() {
            let pid = rustix::process::Pid::from_child(&daemon);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let ended = tokio::select! {
                ended = by(STOP, || matches!(daemon.try_wait(), Ok(Some(_)) | Err(_))) => ended,
                () = hurry => {
                    hurried = true;
                    false
                }
            };
            if !ended {
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
        }
        let mut left = Vec::new();
        let gone = if hurried { Duration::ZERO } else { Duration::from_secs(1) };
        by(gone, || {
            left = traces::of(&self.home);
            left.is_empty()
        })
        .await;
        if left.is_empty() {
            return Ok(());
        }
        // Again and again: one that was just forking may have left another behind.
        let killed = by(GONE, || {
            let still = traces::of(&self.home);
            for pid in &still {
                traces::kill(*pid);
            }
            still.is_empty()
        })
        .await;
        if hurried && killed {
            return Ok(());
        }
        let end = if killed { "they were killed" } else { "and they cannot be killed" };
        Err(Fault::internal(format!("cannot say that nothing is left: {} processes were, {end}", left.len()))
            .into())
    }

    pub fn remove(&self) -> Result<(), CliError> {
        fs::remove_dir_all(&self.home).map_err(|e| cannot("remove", &self.home, &e))
    }
}

/// Does it hold before the deadline?
async fn by(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CliError {
    Fault::internal(format!("cannot {what} {}: {error}", path.display())).into()
}
