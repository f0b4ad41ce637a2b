//! What an agent tells of itself. Agents call it; the daemon's report socket serves nothing else.
use crate::{
    cli::{CliError, Client, Ctl, Exit},
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, FaultKind, InstanceId, Permission, Principal, PrincipalKind},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// An agent that cannot say that it is alive must not hang over it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Say that this instance is alive, for its heartbeat probe
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The instance; agentd sets it for every agent it starts
    #[arg(long, env = "AGENTD_INSTANCE", value_name = "AGENT/N")]
    instance: InstanceId,
    /// Where agents report; agentd sets it for every agent it starts
    #[arg(long, env = "AGENTD_REPORT_SOCKET", value_name = "PATH")]
    report_socket: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub instance: InstanceId,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {}

struct Report;
impl Endpoint for Report {
    const NAME: &'static str = "agents/report";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AgentReport;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Reply;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Report, _, _>(handle)]
}

async fn handle(app: App, caller: Caller, request: Request) -> Result<Reply, Fault> {
    speaks_for(&caller, &request.instance)?;
    // A candidate may say that it is alive; whether it is, its rollout asks.
    if request.instance.is_candidate() && app.supervisor.candidate(&request.instance.agent).is_some() {
        return Ok(Reply {});
    }
    app.monitor.heartbeat(&request.instance)?;
    Ok(Reply {})
}

/// An agent reports for itself alone; an operator may do so for any.
fn speaks_for(caller: &Caller, instance: &InstanceId) -> Result<(), Fault> {
    // By a fact of the kernel, or by an agent's key.
    let Principal { kind, name } = &caller.principal;
    if *kind == PrincipalKind::Agent && **name != *instance.agent.as_str() {
        return Err(Fault::new(
            FaultKind::Forbidden,
            format!("cannot report for {instance}: the caller is agent {name}"),
        ));
    }
    Ok(())
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let Args { instance, report_socket } = args;
    let socket = report_socket.unwrap_or_else(|| ctl.client.socket().to_owned());
    Client::new(socket, ctl.timeout.unwrap_or(PATIENCE)).call::<Report>(&Request { instance }).await?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Identity, Role};

    #[test]
    fn an_agent_reports_for_no_other() {
        let caller = |agent: Option<&str>| {
            let identity = Identity { uid: 60_001, gid: 60_001, pid: Some(7) };
            let role = if agent.is_some() { Role::Agent } else { Role::Operator };
            Caller::by_socket(identity, role, agent.map(|name| name.parse().expect("a name")))
        };
        let instance: InstanceId = "orders/1".parse().expect("an instance");
        assert!(speaks_for(&caller(Some("orders")), &instance).is_ok());
        assert!(speaks_for(&caller(None), &instance).is_ok());
        let by_key = |principal: &str| Caller {
            role: Role::Agent,
            principal: principal.parse().expect("a principal"),
            ..caller(None)
        };
        assert!(speaks_for(&by_key("agent:orders"), &instance).is_ok());
        assert!(speaks_for(&by_key("agent:billing"), &instance).is_err(), "by the key of another");
        let refused = speaks_for(&caller(Some("billing")), &instance).expect_err("not its own");
        assert_eq!(refused.kind, FaultKind::Forbidden);
    }
}
