//! What answers: the daemon's version beside the client's.
use crate::{
    cli::{CliError, Ctl, Exit, escape},
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, Permission},
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
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Reply;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Version, _, _>(handle)]
}

async fn handle(_app: App, _caller: Caller, _request: Request) -> Result<Reply, Fault> {
    Ok(Reply { version: env!("CARGO_PKG_VERSION").into(), protocol: PROTOCOL })
}

/// Both ends in a machine's format.
#[derive(Serialize)]
struct Both {
    schema_version: u32,
    agentctl: &'static str,
    protocol: u32,
    /// None if it cannot be reached.
    agentd: Option<Reply>,
}

/// Our own is said even if the daemon is down; the exit code then is that of an unreachable one.
pub async fn run(_args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let daemon = ctl.client.call::<Version>(&Request {}).await;
    let (agentd, missing) = match daemon {
        Ok(reply) => (Some(reply), None),
        Err(error) => (None, Some(error)),
    };
    let both = Both { schema_version: 1, agentctl: env!("CARGO_PKG_VERSION"), protocol: PROTOCOL, agentd };
    ctl.output.print(&ctl.ui, &both, |_| {
        let mut text = format!("agentctl {} (protocol {PROTOCOL})\n", both.agentctl);
        if let Some(agentd) = &both.agentd {
            text.push_str(&escape(&format!("agentd   {} (protocol {})\n", agentd.version, agentd.protocol)));
        }
        text
    })?;
    missing.map_or(Ok(Exit::Ok), Err)
}
