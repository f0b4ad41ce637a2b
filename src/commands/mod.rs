//! One file a command, both of its ends: Args and `run` for the terminal, Endpoint and handler for the daemon.
//! Each line of the list below is a whole registration: the subcommand, its dispatch and its routes.
use crate::{
    cli::{CliError, Ctl, Exit, Global},
    daemon::Route,
};

mod agent;
mod approval;
mod audit;
mod auth;
mod backup;
mod breaker;
mod check;
mod completion;
mod config;
mod daemon;
mod demo_agent;
mod deploy;
mod deploy_check;
mod doctor;
mod ephemeral;
mod error;
mod generate;
mod help_topics;
mod init;
mod manual;
mod metrics;
mod operation;
mod quickstart;
mod release;
mod report;
mod rollback;
mod rollout;
mod runbook;
mod status;
mod system;
mod tail;
mod validate;
mod version;
mod waiver;
mod way;

pub use completion::answer_the_shell;

macro_rules! commands {
    ($($(#[$meta:meta])* $variant:ident => $module:ident),* $(,)?) => {
        #[derive(clap::Subcommand, Debug)]
        enum Command { $($(#[$meta])* $variant($module::Args)),* }

        impl Command {
            async fn run(self, ctl: &Ctl) -> Result<Exit, CliError> {
                match self { $(Self::$variant(args) => $module::run(args, ctl).await),* }
            }
        }

        /// Every endpoint the daemon serves.
        pub fn routes() -> Vec<Route> {
            [$($module::routes()),*].into_iter().flatten().collect()
        }
    };
}

commands! {
    Quickstart => quickstart,
    Init => init,
    Config => config,
    Daemon => daemon,
    Status => status,
    Metrics => metrics,
    Agent => agent,
    System => system,
    Validate => validate,
    Check => check,
    DeployCheck => deploy_check,
    Waiver => waiver,
    Approval => approval,
    Auth => auth,
    Error => error,
    Breaker => breaker,
    Release => release,
    Deploy => deploy,
    Rollback => rollback,
    Rollout => rollout,
    Runbook => runbook,
    Audit => audit,
    Operation => operation,
    Backup => backup,
    Doctor => doctor,
    Report => report,
    Completion => completion,
    Version => version,
    Help => help_topics,
    #[command(hide = true)]
    Generate => generate,
    #[command(hide = true)]
    DemoAgent => demo_agent,
}

/// Run a fleet of AI agents, prove that it is ready to ship, watch it, and take it back.
#[derive(clap::Parser, Debug)]
#[command(
    name = "agentctl",
    version,
    propagate_version = false,
    max_term_width = 110,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    pub fn global(&self) -> &Global {
        &self.global
    }

    pub async fn run(self, ctl: &Ctl) -> Result<Exit, CliError> {
        let shows_report = match &self.command {
            Command::Validate(args) => args.shows_report(),
            Command::DeployCheck(args) => args.shows_report(),
            Command::Runbook(_) => runbook::Args::shows(ctl.output),
            _ => false,
        };
        if ctl.output.is_of_reports() && !shows_report {
            // Before anything is done, not after it when it is to be shown.
            return Err(ctl.output.refusal().into());
        }
        self.command.run(ctl).await
    }
}
