//! Waiting for agents: asks again from the last version of the fleet until what was wanted holds, failed or is late.
use super::look::no_such_agent;
use crate::{
    cli::{CliError, Ctl},
    daemon::{App, Route},
    domain::{AgentName, AgentStatus, Audited, Caller, Fault, Permission},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The longest a request is held.
const HOLD: Duration = Duration::from_secs(25);
/// How long an operator waits who names no --timeout.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Comma between them; empty is the whole fleet.
    pub names: String,
    /// The version of the fleet last seen; 0 answers at once.
    #[serde(default)]
    pub after: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub version: u64,
    pub agents: Vec<AgentStatus>,
}

struct Watch;
impl Endpoint for Watch {
    const NAME: &'static str = "agents/watch";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Reply;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Watch, _, _>(handle)]
}

async fn handle(app: App, _caller: Caller, request: Request) -> Result<Reply, Fault> {
    let names = request
        .names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::parse)
        .collect::<Result<Vec<AgentName>, _>>()
        .map_err(|why| Fault::usage(format!("cannot watch: {why}")))?;
    let mut changes = app.supervisor.changes();
    // Late is no failure: the answer is then what stands.
    let _ = timeout(HOLD, changes.wait_for(|version| *version > request.after)).await;
    let fleet = app.supervisor.snapshot();
    if let Some(unknown) = names.iter().find(|name| fleet.agent(name.as_str()).is_none()) {
        return Err(no_such_agent(unknown, &fleet));
    }
    let wanted = |agent: &AgentStatus| names.is_empty() || names.contains(&agent.name);
    let agents =
        fleet.agents.iter().filter(|agent| wanted(agent)).map(|agent| AgentStatus::clone(agent)).collect();
    Ok(Reply { version: fleet.version, agents })
}

/// Where a wish stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Done,
    Failed,
    Pending,
}

/// How a wait ended, with the agents as last seen.
pub struct Waited {
    pub standing: Standing,
    pub agents: Vec<AgentStatus>,
}

/// Until `judge` says done or failed, or the operator's --timeout is over.
pub async fn until(
    ctl: &Ctl,
    names: &[AgentName],
    judge: impl Fn(&[AgentStatus]) -> Standing,
) -> Result<Waited, CliError> {
    let deadline = Instant::now() + ctl.timeout.unwrap_or(PATIENCE);
    let names = names.iter().map(AgentName::as_str).collect::<Vec<_>>().join(",");
    let mut request = Request { names, after: 0 };
    let mut agents = Vec::new();
    loop {
        match timeout_at(deadline, ctl.client.call::<Watch>(&request)).await {
            Err(_late) => return Ok(Waited { standing: Standing::Pending, agents }),
            Ok(reply) => {
                let reply = reply?;
                (request.after, agents) = (reply.version, reply.agents);
            }
        }
        let standing = judge(&agents);
        if standing != Standing::Pending {
            return Ok(Waited { standing, agents });
        }
    }
}
