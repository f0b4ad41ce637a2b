//! What can be typed after `agentctl agent`.
use super::{control, logs, look};
use crate::{
    cli::{CliError, Ctl, Exit, confirm},
    domain::{AgentName, InstanceId},
};

/// Look at agents and control them.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List agents with their state
    #[command(visible_alias = "ls")]
    List,
    /// Show one agent with its instances and probes
    Show {
        /// Its name
        agent: AgentName,
    },
    /// Start agents; clears a crash-loop latch and an earlier stop
    Start {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        patience: Patience,
    },
    /// Stop agents; they stay down until started again
    Stop {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        patience: Patience,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Stop agents and start them again
    Restart {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        patience: Patience,
    },
    /// Run so many instances of an agent, whatever the manifest says
    Scale {
        /// Its name
        agent: AgentName,
        /// How many instances
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        replicas: u32,
        #[command(flatten)]
        patience: Patience,
    },
    /// Show what an instance printed
    Logs {
        /// AGENT or AGENT/NUMBER
        #[arg(value_name = "AGENT[/N]")]
        instance: InstanceId,
        /// The last so many lines
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        lines: usize,
        /// Go on as it prints, until interrupted
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(clap::Args, Debug)]
pub struct Which {
    /// Their names
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "AGENT")]
    pub agents: Vec<AgentName>,
    /// The whole fleet
    #[arg(long)]
    pub all: bool,
}

#[derive(clap::Args, Debug)]
pub struct Patience {
    /// Wait until it is done or has failed [default]
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return as soon as the daemon has taken it on
    #[arg(long)]
    no_wait: bool,
}

impl Patience {
    pub fn waits(&self) -> bool {
        self.wait || !self.no_wait
    }
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List => look::list(ctl).await,
        Action::Show { agent } => look::show(agent, ctl).await,
        Action::Start { which, patience } => control::start(which, &patience, ctl).await,
        Action::Stop { which, patience, yes } => {
            if which.all {
                confirm("stop every agent of the fleet", yes)?;
            }
            control::stop(which, &patience, ctl).await
        }
        Action::Restart { which, patience } => control::restart(which, &patience, ctl).await,
        Action::Scale { agent, replicas, patience } => control::scale(agent, replicas, &patience, ctl).await,
        Action::Logs { instance, lines, follow } => logs::run(instance, lines, follow, ctl).await,
    }
}
