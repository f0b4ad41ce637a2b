//! API keys: create, list, show, rotate, revoke. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
};

#[derive(clap::Args, Debug)]
pub struct Args {}

pub fn routes() -> Vec<Route> {
    Vec::new()
}

pub async fn run(_args: Args, _ctl: &Ctl) -> Result<Exit, CliError> {
    Ok(Exit::Ok)
}
