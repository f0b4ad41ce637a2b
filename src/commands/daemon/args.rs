//! What can be typed after `agentctl daemon`.
use super::{
    logs,
    serve::{self, DaemonState},
    start, stop,
};
use crate::cli::{CliError, Ctl, Exit, one_line, render::age};

/// Start, stop and look at the daemon.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Start agentd in the background and wait until it answers
    Start(start::Args),
    /// Stop agentd and every agent, and wait until it is gone
    Stop,
    /// Show whether it runs, and where; exits 5 if it does not
    Status,
    /// Show its log; works with the daemon down
    Logs(logs::Args),
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Start(args) => start::run(args, ctl).await,
        Action::Stop => stop::run(ctl).await,
        Action::Status => status(ctl).await,
        Action::Logs(args) => logs::run(args, ctl).await,
    }
}

async fn status(ctl: &Ctl) -> Result<Exit, CliError> {
    let state = serve::ask(&ctl.client).await?;
    ctl.output.print(&ctl.ui, &state, |_| page(&state))?;
    Ok(Exit::Ok)
}

fn page(state: &DaemonState) -> String {
    let config = state.config_file.as_deref().unwrap_or("none: defaults");
    [
        ("running", format!("agentd {} as pid {}", state.version, state.pid)),
        ("up", age(state.started_at, state.at)),
        ("socket", state.socket.clone()),
        ("state", state.state_dir.clone()),
        ("logs", state.logs.clone()),
        ("config", config.to_owned()),
        ("environment", state.environment.clone()),
    ]
    .iter()
    .map(|(what, value)| format!("{what:<12}{}\n", one_line(value)))
    .collect()
}
