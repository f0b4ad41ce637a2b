//! Releases: what ships together, recorded once; which one runs, which is stable, what differs. Both ends.
mod change;
mod look;
mod show;

use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
    domain::ReleaseId,
};

/// Record what could be deployed, see what runs, and call a release stable.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Record the configuration, a copy of each artifact and what is known of them
    Create(change::CreateArgs),
    /// List releases: which runs, which is stable, how old they are
    #[command(visible_alias = "ls")]
    List,
    /// Show one release with its history
    Show {
        #[arg(value_name = "RELEASE")]
        id: ReleaseId,
    },
    /// Show what would be another if B took the place of A
    Diff {
        #[arg(value_name = "A")]
        from: ReleaseId,
        #[arg(value_name = "B")]
        to: ReleaseId,
    },
    /// Call the release on trial stable: a rollback returns to it from now on
    Bless {
        #[arg(value_name = "RELEASE")]
        id: ReleaseId,
        /// Why it is good
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Although no soak has said go for it; say why with --reason
        #[arg(long)]
        unproved: bool,
    },
    /// Hash all files of a release again; exits 1 where one is not as it was recorded
    Verify {
        #[arg(value_name = "RELEASE")]
        id: ReleaseId,
    },
    /// Delete a release that is a candidate, superseded or reverted, and its files
    Delete {
        #[arg(value_name = "RELEASE")]
        id: ReleaseId,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub fn routes() -> Vec<Route> {
    [look::routes(), change::routes()].concat()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Create(args) => change::create(args, ctl).await,
        Action::List => look::list(ctl).await,
        Action::Show { id } => look::show(id, ctl).await,
        Action::Diff { from, to } => look::diff(from, to, ctl).await,
        Action::Bless { id, reason, unproved } => change::bless(id, reason, unproved, ctl).await,
        Action::Verify { id } => look::verify(id, ctl).await,
        Action::Delete { id, yes } => change::delete(id, yes, ctl).await,
    }
}
