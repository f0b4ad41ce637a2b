//! Parse, load the configuration, boot, wait. Everything else is the library's.
#![forbid(unsafe_code)]
use agentctl::{
    cli::{CliError, ColorChoice, Ui},
    commands,
    config::Sources,
    daemon::{self, Ended, Plan, Voice},
};
use clap::Parser;
use std::{io, path::PathBuf, process::ExitCode, thread, time::Duration};

/// What threads that block may take over their end before a new start takes them with it.
const LAST_THREADS: Duration = Duration::from_secs(5);

/// Run and watch a fleet of AI agents. agentctl is its command line.
#[derive(Parser, Clone, Debug)]
#[command(name = "agentd", version, max_term_width = 110)]
struct Args {
    /// The manifest [default: ./agentd.toml, then the user's or the machine's]
    #[arg(long, env = "AGENTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which [environment.NAME] to lay over it
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Database, FIFOs, logs and backups
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// In a session of its own and without a word on the terminal: how `agentctl daemon start` starts it
    #[arg(long, hide = true)]
    detached: bool,
    /// Ends in order when its standard input ends: whoever holds the other end is gone then, however that happened
    #[arg(long, hide = true)]
    leashed: bool,
    /// Writes to a scratch store until it is killed: how a validation proves that nothing acknowledged is lost
    #[arg(long, hide = true)]
    scratch_writer: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ui = Ui::new(ColorChoice::Auto, false);
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn run(args: Args) -> Result<(), CliError> {
    if args.scratch_writer {
        return Ok(daemon::write_until_killed()?);
    }
    daemon::start_with_few();
    let voice = if args.detached { Voice::Quiet } else { Voice::Foreground };
    if args.detached {
        // Fails only for a process that leads its group already, and then there is nothing to leave.
        let _ = rustix::process::setsid();
    }
    let leashed = args.leashed;
    let plan = Plan::read(sources(args), commands::routes())?;
    let runtime =
        runtime().map_err(|error| CliError::Protocol(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(daemon::run(plan, voice, leashed))?;
    if ended == Ended::ToStartAnew {
        runtime.shutdown_timeout(LAST_THREADS);
        return Err(daemon::start_anew().into());
    }
    Ok(())
}

/// Two threads turn everything; what blocks has threads of its own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(2))
        .max_blocking_threads(32)
        .enable_all()
        .build()
}

fn sources(args: Args) -> Sources {
    let mut sources = Sources::from_process(args.config, args.environment);
    let paths = [("daemon.state_dir", args.state_dir), ("daemon.socket", args.socket)];
    for (key, path) in paths.into_iter().filter_map(|(key, path)| Some((key, path?))) {
        sources.flags.push((key.into(), path.to_string_lossy().into_owned()));
    }
    if let Some(level) = args.log_level {
        sources.flags.push(("daemon.log.level".into(), level));
    }
    sources
}
