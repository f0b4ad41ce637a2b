//! What answers: the daemon's version beside the client's.
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::{App, Route},
    domain::{Caller, Fault, Permission},
    protocol::{Endpoint, PROTOCOL, Verb},
};
use serde::{Deserialize, Serialize};

/// Show the version of agentctl and of the daemon that answers.
#[derive(clap::Args, Debug)]
pub struct Args {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub version: String,
    pub protocol: u32,
}

pub struct Version;
impl Endpoint for Version {
    const NAME: &'static str = "version";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    type Request = Request;
    type Reply = Reply;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Version, _, _>(handle)]
}

async fn handle(_app: App, _caller: Caller, _request: Request) -> Result<Reply, Fault> {
    Ok(Reply { version: env!("CARGO_PKG_VERSION").into(), protocol: PROTOCOL })
}

pub async fn run(_args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let daemon = ctl.client.call::<Version>(&Request {}).await?;
    ctl.output.print(&ctl.ui, &daemon, |_| {
        format!(
            "agentctl {}\nagentd   {} (protocol {})\n",
            env!("CARGO_PKG_VERSION"),
            daemon.version,
            daemon.protocol
        )
    })?;
    Ok(Exit::Ok)
}
