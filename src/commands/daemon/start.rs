//! start: agentd beside this program, detached, and no word of success before it answers.
use super::serve::ask;
use crate::{
    cli::{CliError, Client, Ctl, Exit},
    config::{Paths, Sources},
    daemon::{ARENAS, ARENAS_VARIABLE, Plan},
    domain::{Fault, FaultKind},
};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    env,
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Adoption of a large fleet and a migration with its backup take their time.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(2);

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The manifest [default: ./agentd.toml, then the user's or the machine's]
    #[arg(long, env = "AGENTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which [environment.NAME] to lay over it
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Database, FIFOs, logs and backups
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Stay in the foreground: becomes agentd itself
    #[arg(long)]
    foreground: bool,
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let client = Client::new(socket(&args, ctl)?, ctl.timeout.unwrap_or(PATIENCE));
    match ask(&client).await {
        Ok(state) => {
            ctl.ui.note(&format!("agentd runs already as pid {}", state.pid));
            return Ok(Exit::Ok);
        }
        Err(CliError::Unreachable { .. }) => {}
        Err(other) => return Err(other),
    }
    let mut command = command(&args, client.socket())?;
    if args.foreground {
        return Err(cannot_run(&command.exec()));
    }
    // Its last words, should it die early: in memory, so that nothing is left behind and no pipe can break.
    let words = memfd_create("agentd-start", MemfdFlags::CLOEXEC).map_err(|e| cannot_run(&e.into()))?;
    let words = File::from(words);
    let theirs = words.try_clone().map_err(|e| cannot_run(&e))?;
    let child = command.arg("--detached").stdin(Stdio::null()).stdout(Stdio::null()).stderr(theirs).spawn();
    let began = Instant::now();
    let pid = answering(child.map_err(|e| cannot_run(&e))?, words, &client, ctl.timeout.unwrap_or(PATIENCE))
        .await?;
    let took = began.elapsed().as_millis();
    ctl.ui.note(&format!(
        "agentd runs as pid {pid} and answers after {took} ms; `agentctl status` shows the fleet"
    ));
    if client.socket() != ctl.client.socket() {
        let socket = client.socket().display();
        ctl.ui.note(&format!("it listens on {socket}: name that with --socket, or in AGENTD_SOCKET"));
    }
    Ok(Exit::Ok)
}

/// Where it will listen: as named, else as its configuration says.
fn socket(args: &Args, ctl: &Ctl) -> Result<PathBuf, CliError> {
    if ctl.socket_named {
        return Ok(ctl.client.socket().to_owned());
    }
    let sources = Sources::from_process(args.config.clone(), args.environment.clone());
    Ok(Paths::new(&Plan::read(sources, Vec::new())?.settings).socket)
}

/// Until it answers, dies, or takes too long.
async fn answering(mut child: Child, words: File, client: &Client, limit: Duration) -> Result<i32, CliError> {
    let deadline = Instant::now() + limit;
    loop {
        match tokio::time::timeout_at(deadline.into(), ask(client)).await {
            Ok(Ok(state)) => return Ok(state.pid),
            Ok(Err(CliError::Unreachable { .. })) | Err(_) => {}
            Ok(Err(other)) => return Err(other),
        }
        match child.try_wait() {
            Ok(Some(status)) => return Err(died(status, words)),
            Ok(None) => {}
            Err(error) => return Err(cannot_run(&error)),
        }
        if Instant::now() >= deadline {
            let late = format!(
                "cannot wait any longer: agentd (pid {}) does not answer after {limit:?}",
                child.id()
            );
            return Err(Fault::new(FaultKind::Timeout, late)
                .hint("`agentctl daemon logs` shows what it does")
                .into());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn command(args: &Args, socket: &Path) -> Result<Command, CliError> {
    let here = env::current_exe().map_err(|e| cannot_run(&e))?;
    let beside = here.with_file_name("agentd");
    let mut command = Command::new(if beside.exists() { beside } else { PathBuf::from("agentd") });
    // It is for us to show, not for the daemon to carry about.
    command.env_remove(crate::cli::KEY_VARIABLE);
    if env::var_os(ARENAS_VARIABLE).is_none() {
        command.env(ARENAS_VARIABLE, ARENAS);
    }
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    if let Some(environment) = &args.environment {
        command.arg("--environment").arg(environment);
    }
    if let Some(state_dir) = &args.state_dir {
        command.arg("--state-dir").arg(state_dir);
    }
    if let Some(level) = &args.log_level {
        command.arg("--log-level").arg(level);
    }
    // Where we will ask is where it must listen.
    command.arg("--socket").arg(socket);
    Ok(command)
}

fn cannot_run(error: &io::Error) -> CliError {
    Fault::internal(format!("cannot run agentd: {error}"))
        .hint("agentd is looked for beside agentctl, then in PATH; `install.sh` puts both in one place")
        .into()
}

/// Its own error, with the kind that its exit code stands for.
fn died(status: ExitStatus, mut words: File) -> CliError {
    let mut said = String::new();
    let heard = words.rewind().and_then(|()| words.by_ref().take(64 << 10).read_to_string(&mut said));
    let said = if heard.is_ok() { said.trim() } else { "" };
    let said = said.strip_prefix("error: ").unwrap_or(said);
    let message = if said.is_empty() {
        format!("cannot start agentd: it ended with {status}")
    } else {
        said.to_owned()
    };
    let kind = match status.code() {
        Some(2) => FaultKind::Config,
        Some(7) => FaultKind::Conflict,
        _ => FaultKind::Internal,
    };
    Fault::new(kind, message).into()
}
