//! Who may do what: keys, sessions, roles, quotas.
mod can;
mod key;
mod quota;
mod role;
mod session;

use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
};

/// API keys, sessions, roles and quotas: who may do what, and why.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// API keys of services and agents
    Key(key::Args),
    /// What each role may do
    Role(role::Args),
    /// May somebody do something in the applications? Says why; the answer is audited
    Can(can::Args),
    /// What is left of everybody's quota
    Quota(quota::Args),
    /// Sessions: who is logged in, and who no longer
    Session(session::Args),
    /// Who am I to the daemon?
    Whoami(session::WhoamiArgs),
    /// Open a session, kept in a private file
    Login(session::LoginArgs),
    /// End the session that login opened
    Logout(session::LogoutArgs),
}

pub fn routes() -> Vec<Route> {
    [key::routes(), role::routes(), can::routes(), quota::routes(), session::routes()].concat()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Key(args) => key::run(args, ctl).await,
        Action::Role(args) => role::run(args, ctl).await,
        Action::Can(args) => can::run(args, ctl).await,
        Action::Quota(args) => quota::run(args, ctl).await,
        Action::Session(args) => session::run(args, ctl).await,
        Action::Whoami(args) => session::whoami(args, ctl).await,
        Action::Login(args) => session::login(args, ctl).await,
        Action::Logout(args) => session::logout(args, ctl).await,
    }
}
