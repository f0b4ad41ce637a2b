//! The switch over all agents: off and on again, and how it stands. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit, confirm, one_line},
    daemon::{App, Route},
    domain::{Audited, Caller, Fault, FaultKind, InstanceId, Limited, Permission, Principal, SwitchedOff},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::{fmt::Write, time::Duration};

/// The longest reason that is taken, in characters.
const LONGEST: usize = 200;
/// Clients that it may be limited to.
const MOST_CLIENTS: usize = 100;
/// What the switch is called off for is called for in minutes; agents that hang are killed before.
const OFF_WITHIN: Duration = Duration::from_secs(60);

/// The switch over all agents: whatever the manifest says, off is off, and limited works for a few.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// How it stands, and what of the fleet is alive
    Show,
    /// Stop every agent and start none, over restarts and reloads, until it is on again
    Off {
        /// Why; whoever looks is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let the fleet run, and work for these alone, over restarts and reloads, until it is on again
    Limited {
        /// Whose work is taken: service:NAME, user:UID or agent:NAME
        #[arg(long, value_name = "PRINCIPAL", value_delimiter = ',', required = true)]
        clients: Vec<Principal>,
        /// Why; whoever is refused is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let agents start again, and work for everybody
    On,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Standing {
    pub schema_version: u32,
    /// on, limited or off
    pub agent_system: String,
    /// None where the manifest alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_off: Option<SwitchedOff>,
    /// Whom alone it works for; while it is off, whom it will work for unless it is switched on for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
    /// Processes of the fleet that are alive.
    pub alive: usize,
    /// Candidates of rollouts that were ended first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates_ended: Vec<InstanceId>,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "system/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ShowRequest;
    type Reply = Standing;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OffRequest {
    pub reason: String,
}

struct Off;
impl Endpoint for Off {
    const NAME: &'static str = "system/off";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AgentControl;
    const AUDITED: Audited = Audited::Around;
    type Request = OffRequest;
    type Reply = Standing;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct LimitRequest {
    pub clients: Vec<Principal>,
    pub reason: String,
}

struct Limit;
impl Endpoint for Limit {
    const NAME: &'static str = "system/limited";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AgentControl;
    const AUDITED: Audited = Audited::Around;
    type Request = LimitRequest;
    type Reply = Standing;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OnRequest {}

struct On;
impl Endpoint for On {
    const NAME: &'static str = "system/on";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AgentControl;
    const AUDITED: Audited = Audited::Around;
    type Request = OnRequest;
    type Reply = Standing;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Off, _, _>(handle_off),
        Route::to::<Limit, _, _>(handle_limit),
        Route::to::<On, _, _>(handle_on),
    ]
}

async fn handle_show(app: App, _caller: Caller, _request: ShowRequest) -> Result<Standing, Fault> {
    standing(&app).await
}

async fn handle_off(app: App, caller: Caller, request: OffRequest) -> Result<Standing, Fault> {
    let candidates = app.supervisor.candidates().into_iter().map(|candidate| candidate.id).collect();
    let reason = reasoned(&request.reason, "switch the fleet off")?;
    let off = SwitchedOff { at: app.clock.now(), by: Some(caller.principal), reason };
    app.supervisor.switch_off(off, OFF_WITHIN).await?;
    let standing = Standing { candidates_ended: candidates, ..standing(&app).await? };
    if standing.alive > 0 {
        let message = format!("cannot say that the fleet is off: {} of its processes live", standing.alive);
        return Err(Fault::new(FaultKind::Timeout, message)
            .hint("nothing new is started; the daemon's log names what survives; try again"));
    }
    Ok(standing)
}

async fn handle_limit(app: App, caller: Caller, request: LimitRequest) -> Result<Standing, Fault> {
    let reason = reasoned(&request.reason, "limit the fleet")?;
    let mut clients = request.clients;
    clients.sort();
    clients.dedup();
    if clients.is_empty() || clients.len() > MOST_CLIENTS {
        let message =
            format!("cannot limit the fleet to {} clients: name 1 to {MOST_CLIENTS}", clients.len());
        return Err(Fault::usage(message).hint("`agentctl system off` takes no work of anybody"));
    }
    app.supervisor.limit(Limited { at: app.clock.now(), by: caller.principal, reason, clients }).await?;
    standing(&app).await
}

async fn handle_on(app: App, _caller: Caller, _request: OnRequest) -> Result<Standing, Fault> {
    app.supervisor.open().await?;
    standing(&app).await
}

fn reasoned(reason: &str, what: &str) -> Result<String, Fault> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST || reason.chars().any(char::is_control) {
        let message = format!("cannot {what} without a reason: one line of 1 to {LONGEST} characters");
        return Err(Fault::usage(message).hint("--reason \"answers are wrong since 14:10, OPS-17\""));
    }
    Ok(reason.to_owned())
}

async fn standing(app: &App) -> Result<Standing, Fault> {
    Ok(Standing {
        schema_version: 1,
        agent_system: app.supervisor.admission().as_str().into(),
        switched_off: app.supervisor.switched_off(),
        limited: app.supervisor.limited(),
        alive: app.supervisor.living().await?.len(),
        candidates_ended: Vec::new(),
    })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let standing = match args.action {
        Action::Show => ctl.client.call::<Show>(&ShowRequest {}).await?,
        Action::Off { reason, yes } => {
            confirm("stop every agent, and start none until `agentctl system on`", yes)?;
            ctl.client.call::<Off>(&OffRequest { reason }).await?
        }
        Action::Limited { clients, reason } => {
            ctl.client.call::<Limit>(&LimitRequest { clients, reason }).await?
        }
        Action::On => ctl.client.call::<On>(&OnRequest {}).await?,
    };
    ctl.output.print(&ctl.ui, &standing, |_| shown(&standing))?;
    Ok(Exit::Ok)
}

fn shown(standing: &Standing) -> String {
    let mut text = format!("the agent system is {}", standing.agent_system);
    match &standing.switched_off {
        None if standing.agent_system == "limited" => {
            let limited = standing.limited.as_ref().map(ToString::to_string).unwrap_or_default();
            text = format!("the agent system is {}", one_line(&limited));
        }
        Some(off) => {
            let by = off.by.as_ref().map_or_else(|| "nobody knows whom".into(), ToString::to_string);
            let at = off.at.strftime("%Y-%m-%d %H:%M:%SZ");
            let _ = write!(text, " since {at}, by {}: {}", one_line(&by), one_line(&off.reason));
        }
        None if standing.agent_system == "off" => text.push_str(": agent_system in the manifest says so"),
        None => {}
    }
    for candidate in &standing.candidates_ended {
        let _ = write!(text, "\n{candidate} was ended with it");
    }
    if let Some(limited) = standing.limited.as_ref().filter(|_| standing.agent_system == "off") {
        let _ = write!(text, "\nwhen a rollback starts it again it is {}", one_line(&limited.to_string()));
    }
    let _ = writeln!(text, "\n{} processes of the fleet are alive", standing.alive);
    text
}
