//! The demo agent as a subcommand, hidden: templates, quickstart, tests and readiness proofs run it.
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
    demo::{Face, Program, Trouble, lurk},
    domain::{Fault, InstanceId},
};
use std::net::{IpAddr, Ipv4Addr};

/// Run the demo agent: a small real agent with selectable faults.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    face: Shape,
}

#[derive(clap::Subcommand, Debug)]
enum Shape {
    /// Newline-delimited JSON-RPC 2.0 on stdin and stdout: ping, whoami, echo, sleep, crash
    Stdio {
        #[command(flatten)]
        common: Common,
    },
    /// HTTP: GET /health, /ready and /data, POST /echo
    Http {
        #[command(flatten)]
        common: Common,
        #[arg(long, env = "AGENTD_PORT")]
        port: u16,
        #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
        host: IpAddr,
    },
    /// What the fault double-fork leaves behind
    #[command(hide = true)]
    Lurk { role: String },
}

#[derive(clap::Args, Debug)]
struct Common {
    /// What it calls itself [default: the agent it was started as]
    #[arg(long)]
    name: Option<String>,
    /// A fault to have; repeatable
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Trouble>,
}

pub fn routes() -> Vec<Route> {
    Vec::new()
}

pub async fn run(args: Args, _ctl: &Ctl) -> Result<Exit, CliError> {
    let (common, face) = match args.face {
        Shape::Stdio { common } => (common, Face::Stdio),
        Shape::Http { common, port, host } => (common, Face::Http { host, port }),
        Shape::Lurk { role } => return lurk(&role).await.map(|()| Exit::Ok).map_err(failed),
    };
    let name = common.name.unwrap_or_else(started_as);
    Program::new(name, common.faults).run(face).await.map(|()| Exit::Ok).map_err(failed)
}

fn started_as() -> String {
    std::env::var("AGENTD_INSTANCE")
        .ok()
        .and_then(|text| text.parse::<InstanceId>().ok())
        .map_or_else(|| "demo".to_owned(), |id| id.agent.to_string())
}

fn failed(error: std::io::Error) -> CliError {
    Fault::internal(format!("cannot run the demo agent: {error}")).into()
}
