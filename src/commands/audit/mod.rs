//! The audit trail: who did what to what, and is it still as it was written?
mod export;
mod list;
mod verify;

use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
};

/// Who did what, what came of it, and proof that the record of it is whole.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// What was done, tried and refused; newest last
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// One row and all others of the same request: what was intended, and how it ended
    Show(list::ShowArgs),
    /// Is the trail as it was written? Exits with 1, and says where, if it is not
    Verify(verify::Args),
    /// Every row with its hash, as JSON lines that `audit verify FILE` can check
    Export(export::Args),
}

pub fn routes() -> Vec<Route> {
    [list::routes(), verify::routes(), export::routes()].concat()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List(args) => list::run(args, ctl).await,
        Action::Show(args) => list::show(args, ctl).await,
        Action::Verify(args) => verify::run(args, ctl).await,
        Action::Export(args) => export::run(args, ctl).await,
    }
}
