//! start, stop, restart, scale. The daemon takes a wish on and answers within two seconds; the terminal then watches.
use super::{
    args::{Patience, Which},
    look::no_such_agent,
    wait::{Standing, Waited, until},
};
use crate::{
    auth::Trail,
    cli::{CliError, Ctl, Exit, one_line, render::why},
    daemon::{App, Route},
    domain::{Act, AgentName, AgentState, AgentStatus, Audited, Caller, Fault, InstanceId, Permission},
    errors::{Errors, Failure},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What takes longer goes on by itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Empty together with `all`.
    #[serde(default)]
    pub agents: Vec<AgentName>,
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ScaleRequest {
    pub agent: AgentName,
    pub replicas: u32,
}

impl Request {
    /// Empty is all of them.
    fn object(&self) -> String {
        let names: Vec<String> = self.agents.iter().map(|name| format!("agent/{name}")).collect();
        names.join(" ")
    }
}

impl ScaleRequest {
    fn object(&self) -> String {
        format!("agent/{} to {}", self.agent, self.replicas)
    }
}

/// What was taken on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    pub schema_version: u32,
    pub agents: Vec<AgentName>,
    /// Done already; if not, it goes on and `agents/watch` tells how it fares.
    pub done: bool,
    /// Every instance's generation before: a later one has been started since.
    pub before: Vec<Generation>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Generation {
    pub instance: InstanceId,
    pub generation: u64,
}

macro_rules! wish {
    ($endpoint:ident, $name:literal, $request:ty) => {
        struct $endpoint;
        impl Endpoint for $endpoint {
            const NAME: &'static str = $name;
            const VERB: Verb = Verb::Write;
            const NEEDS: Permission = Permission::AgentControl;
            const AUDITED: Audited = Audited::Around;
            type Request = $request;
            type Reply = Accepted;

            fn object(request: &$request) -> String {
                request.object()
            }
        }
    };
}
wish!(Start, "agents/start", Request);
wish!(Stop, "agents/stop", Request);
wish!(Restart, "agents/restart", Request);
wish!(Scale, "agents/scale", ScaleRequest);

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Start, _, _>(handle_start),
        Route::to::<Stop, _, _>(handle_stop),
        Route::to::<Restart, _, _>(handle_restart),
        Route::to::<Scale, _, _>(handle_scale),
    ]
}

async fn handle_start(app: App, caller: Caller, request: Request) -> Result<Accepted, Fault> {
    let object = request.object();
    let (agents, before) = chosen(&app, request)?;
    let wished = agents.clone();
    let tellers = Tellers::of(&app, Act::new(&caller, Start::NAME, object));
    let work = async move { app.supervisor.start(&wished).await };
    take_on(tellers, agents, before, work).await
}

async fn handle_stop(app: App, caller: Caller, request: Request) -> Result<Accepted, Fault> {
    let object = request.object();
    let (agents, before) = chosen(&app, request)?;
    let wished = agents.clone();
    let tellers = Tellers::of(&app, Act::new(&caller, Stop::NAME, object));
    let work = async move { app.supervisor.stop(&wished).await };
    take_on(tellers, agents, before, work).await
}

async fn handle_restart(app: App, caller: Caller, request: Request) -> Result<Accepted, Fault> {
    let object = request.object();
    let (agents, before) = chosen(&app, request)?;
    let wished = agents.clone();
    let tellers = Tellers::of(&app, Act::new(&caller, Restart::NAME, object));
    let work = async move { app.supervisor.restart(&wished).await };
    take_on(tellers, agents, before, work).await
}

async fn handle_scale(app: App, caller: Caller, request: ScaleRequest) -> Result<Accepted, Fault> {
    if !(1..=1000).contains(&request.replicas) {
        return Err(Fault::usage(format!("cannot run {} instances", request.replicas))
            .hint("1 to 1000; `agentctl agent stop` stops all of them"));
    }
    let one = Request { agents: vec![request.agent.clone()], all: false };
    let (agents, before) = chosen(&app, one)?;
    let tellers = Tellers::of(&app, Act::new(&caller, Scale::NAME, request.object()));
    let work = async move { app.supervisor.scale(&request.agent, request.replicas).await };
    take_on(tellers, agents, before, work).await
}

/// Every agent named, or an error that names the first which is not there; nothing is done by halves.
fn chosen(app: &App, request: Request) -> Result<(Vec<AgentName>, Vec<Generation>), Fault> {
    let fleet = app.supervisor.snapshot();
    let names = match (request.all, request.agents.is_empty()) {
        (true, true) => fleet.agents.iter().map(|agent| agent.name.clone()).collect(),
        (false, false) => request.agents,
        _ => return Err(Fault::usage("cannot tell which agents: give their names, or all")),
    };
    if let Some(unknown) = names.iter().find(|name| fleet.agent(name.as_str()).is_none()) {
        return Err(no_such_agent(unknown, &fleet));
    }
    let before = fleet
        .instances()
        .filter(|(agent, _)| names.contains(&agent.name))
        .map(|(_, instance)| Generation { instance: instance.id.clone(), generation: instance.generation })
        .collect();
    Ok((names, before))
}

/// Who writes down how a wish ended when its answer was given before.
struct Tellers {
    act: Act,
    trail: Trail,
    errors: Errors,
}

impl Tellers {
    fn of(app: &App, act: Act) -> Self {
        Self { act, trail: app.trail.clone(), errors: app.errors.clone() }
    }
}

/// Runs to its end even if the client hangs up or the answer is due before; then its end is written by itself.
async fn take_on(
    Tellers { act, trail, errors }: Tellers,
    agents: Vec<AgentName>,
    before: Vec<Generation>,
    work: impl Future<Output = Result<(), Fault>> + Send + 'static,
) -> Result<Accepted, Fault> {
    let only = Some(&agents).filter(|agents| agents.len() == 1).map(|agents| agents[0].clone());
    let answered = Arc::new(AtomicBool::new(false));
    let unheard = Arc::clone(&answered);
    let mut task = tokio::spawn(async move {
        work.await.inspect_err(|fault| {
            tracing::warn!("a wish for agents was not granted: {fault}");
            // Who asked has gone on with an answer; before that, the failure is that of the request.
            if unheard.load(Ordering::Relaxed) {
                errors.record(Failure::new("agents/wish", fault.clone()).of_agent(only));
            }
        })
    });
    let done = match tokio::time::timeout(ANSWER_WITHIN, &mut task).await {
        Err(_goes_on) => {
            answered.store(true, Ordering::Relaxed);
            trail.take_over(act, async move {
                task.await.unwrap_or_else(|panic| Err(Fault::internal(format!("cannot do this: {panic}"))))
            });
            false
        }
        Ok(Ok(outcome)) => {
            outcome?;
            true
        }
        Ok(Err(panic)) => return Err(Fault::internal(format!("cannot do this: {panic}"))),
    };
    Ok(Accepted { schema_version: 1, agents, done, before })
}

pub async fn start(which: Which, patience: &Patience, ctl: &Ctl) -> Result<Exit, CliError> {
    let accepted = ctl.client.call::<Start>(&request(which)).await?;
    finish("started", accepted, patience, ctl, |agents, _| come_up(agents)).await
}

pub async fn stop(which: Which, patience: &Patience, ctl: &Ctl) -> Result<Exit, CliError> {
    let accepted = ctl.client.call::<Stop>(&request(which)).await?;
    finish("stopped", accepted, patience, ctl, |agents, _| go_down(agents)).await
}

pub async fn restart(which: Which, patience: &Patience, ctl: &Ctl) -> Result<Exit, CliError> {
    let accepted = ctl.client.call::<Restart>(&request(which)).await?;
    finish("restarted", accepted, patience, ctl, |agents, before| {
        if all_newer(agents, before) { come_up(agents) } else { Standing::Pending }
    })
    .await
}

pub async fn scale(
    agent: AgentName,
    replicas: u32,
    patience: &Patience,
    ctl: &Ctl,
) -> Result<Exit, CliError> {
    let accepted = ctl.client.call::<Scale>(&ScaleRequest { agent, replicas }).await?;
    let wanted = replicas as usize;
    finish("scaled", accepted, patience, ctl, move |agents, _| match agents {
        [agent] if agent.instances.len() == wanted => come_up(agents),
        _ => Standing::Pending,
    })
    .await
}

fn request(which: Which) -> Request {
    Request { agents: which.agents, all: which.all }
}

/// Ready is done. Latched, failed or switched off is failed, since no wait mends it; the rest is on its way.
fn come_up(agents: &[AgentStatus]) -> Standing {
    let is = |state| agents.iter().any(|agent| agent.state == state);
    if agents.iter().all(|agent| matches!(agent.state, AgentState::Ready)) {
        Standing::Done
    } else if is(AgentState::Failed) || is(AgentState::CrashLooping) || is(AgentState::Disabled) {
        Standing::Failed
    } else {
        Standing::Pending
    }
}

fn go_down(agents: &[AgentStatus]) -> Standing {
    let down = |agent: &AgentStatus| matches!(agent.state, AgentState::Stopped | AgentState::Disabled);
    if agents.iter().all(down) { Standing::Done } else { Standing::Pending }
}

/// Has every instance that is still wanted been started since?
fn all_newer(agents: &[AgentStatus], before: &[Generation]) -> bool {
    let instances = agents.iter().flat_map(|agent| &agent.instances);
    instances.into_iter().all(|instance| {
        let earlier = before.iter().find(|earlier| earlier.instance == instance.id);
        earlier.is_none_or(|earlier| instance.generation > earlier.generation)
    })
}

async fn finish(
    done: &str,
    accepted: Accepted,
    patience: &Patience,
    ctl: &Ctl,
    judge: impl Fn(&[AgentStatus], &[Generation]) -> Standing,
) -> Result<Exit, CliError> {
    if !patience.waits() {
        ctl.output.print(&ctl.ui, &accepted, |_| format!("to be {done}: {}\n", names(&accepted.agents)))?;
        return Ok(Exit::Ok);
    }
    let Waited { standing, agents } =
        until(ctl, &accepted.agents, |agents| judge(agents, &accepted.before)).await?;
    ctl.output.print(&ctl.ui, &agents, |_| match standing {
        Standing::Done => format!("{done}: {}\n", names(&accepted.agents)),
        Standing::Failed | Standing::Pending => agents
            .iter()
            .filter(|agent| standing == Standing::Pending || agent.state.needs_a_look())
            .map(|agent| format!("{} is {}: {}\n", agent.name, agent.state.as_str(), one_line(&why(agent))))
            .collect(),
    })?;
    Ok(match standing {
        Standing::Done => Exit::Ok,
        Standing::Failed => {
            ctl.ui.note(&way_out(&agents));
            Exit::Negative
        }
        Standing::Pending => {
            ctl.ui
                .note("still under way; `agentctl status --watch` shows how it goes, --timeout waits longer");
            Exit::Pending
        }
    })
}

/// What to do about the first that will not come up by itself.
fn way_out(agents: &[AgentStatus]) -> String {
    let lost = |agent: &&AgentStatus| agent.state.needs_a_look() || agent.state == AgentState::Disabled;
    match agents.iter().find(lost) {
        Some(AgentStatus { name, state: AgentState::Disabled, .. }) => format!(
            "next: take `enabled = false` from {name} in agentd.toml (or switch the agent system on), \
             then `agentctl config reload`"
        ),
        Some(AgentStatus { name, .. }) => format!(
            "next: `agentctl agent logs {name}` shows what it printed; when that is mended, \
             `agentctl agent start {name}` tries again"
        ),
        None => "next: `agentctl status` shows the fleet".into(),
    }
}

fn names(agents: &[AgentName]) -> String {
    match agents {
        few if few.len() <= 5 => few.iter().map(AgentName::as_str).collect::<Vec<_>>().join(", "),
        many => format!("{} agents", many.len()),
    }
}
