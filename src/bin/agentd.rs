//! Parse, load the configuration, boot, wait. Everything else is the library's.
#![forbid(unsafe_code)]
use agentctl::{
    cli::{CliError, ColorChoice, Ui},
    commands,
    config::Settings,
    daemon::{self, Fresh, Plan, Voice},
    domain::Fault,
};
use clap::Parser;
use std::{path::PathBuf, process::ExitCode, sync::Arc, thread};

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
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ui = Ui::new(ColorChoice::Auto, false);
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let error = CliError::from(fault);
            ui.error(&error);
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    let fresh = read(args)?;
    let voice = if args.detached { Voice::Quiet } else { Voice::Foreground };
    let again = args.clone();
    let plan = Plan {
        settings: fresh.settings,
        config_file: args.config.clone(),
        config_digest: fresh.digest,
        reread: Arc::new(move || read(&again)),
        routes: commands::routes(),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(2))
        .max_blocking_threads(32)
        .enable_all()
        .build()
        .map_err(|error| Fault::internal(format!("cannot start the runtime: {error}")))?;
    if args.detached {
        // Fails only for a process that leads its group already, and then there is nothing to leave.
        let _ = rustix::process::setsid();
    }
    runtime.block_on(daemon::run(plan, voice))
}

fn read(args: &Args) -> Result<Fresh, Fault> {
    let mut settings = Settings::default();
    settings.daemon.state_dir.clone_from(&args.state_dir);
    settings.daemon.socket.clone_from(&args.socket);
    Ok(Fresh { settings, digest: String::new() })
}
