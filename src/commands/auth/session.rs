//! Sessions: login, logout, whoami, list, revoke. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
};

#[derive(clap::Args, Debug)]
pub struct Args {}

#[derive(clap::Args, Debug)]
pub struct WhoamiArgs {}

#[derive(clap::Args, Debug)]
pub struct LoginArgs {}

#[derive(clap::Args, Debug)]
pub struct LogoutArgs {}

pub fn routes() -> Vec<Route> {
    Vec::new()
}

pub async fn run(_args: Args, _ctl: &Ctl) -> Result<Exit, CliError> {
    Ok(Exit::Ok)
}

pub async fn whoami(_args: WhoamiArgs, _ctl: &Ctl) -> Result<Exit, CliError> {
    Ok(Exit::Ok)
}

pub async fn login(_args: LoginArgs, _ctl: &Ctl) -> Result<Exit, CliError> {
    Ok(Exit::Ok)
}

pub async fn logout(_args: LogoutArgs, _ctl: &Ctl) -> Result<Exit, CliError> {
    Ok(Exit::Ok)
}
