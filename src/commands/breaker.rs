//! Breakers: what is called, what is left alone, and holding one open by hand. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit, Table, one_line},
    daemon::{App, Route},
    domain::{Act, Audited, BreakerState, BreakerStatus, Caller, Fault, Permission},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The longest reason that is taken, in characters.
const LONGEST: usize = 200;

/// Breakers: which dependencies are called, and which are left alone.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List every breaker and how it stands
    #[command(visible_alias = "ls")]
    List,
    /// Show one, with the policy around it
    Show {
        /// As the list names it: a dependency, or a policy
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Hold it open, so that nothing is called, until it is reset
    Trip {
        #[arg(value_name = "NAME")]
        name: String,
        /// Why; whoever looks is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Close it, whatever opened it
    Reset {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Breakers {
    pub schema_version: u32,
    pub breakers: Vec<BreakerStatus>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "breakers/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Breakers;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct NameRequest {
    pub name: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct One {
    pub schema_version: u32,
    #[serde(flatten)]
    pub breaker: BreakerStatus,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "breakers/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = NameRequest;
    type Reply = One;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TripRequest {
    pub name: String,
    pub reason: String,
}

struct Trip;
impl Endpoint for Trip {
    const NAME: &'static str = "breakers/trip";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::BreakerControl;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = TripRequest;
    type Reply = One;
}

struct Reset;
impl Endpoint for Reset {
    const NAME: &'static str = "breakers/reset";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::BreakerControl;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = NameRequest;
    type Reply = One;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Trip, _, _>(handle_trip),
        Route::to::<Reset, _, _>(handle_reset),
    ]
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<Breakers, Fault> {
    Ok(Breakers { schema_version: 1, breakers: app.breakers() })
}

async fn handle_show(app: App, _caller: Caller, request: NameRequest) -> Result<One, Fault> {
    Ok(One { schema_version: 1, breaker: app.breaker(&request.name)? })
}

async fn handle_trip(app: App, caller: Caller, request: TripRequest) -> Result<One, Fault> {
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST || reason.chars().any(char::is_control) {
        let message =
            format!("cannot trip a breaker without a reason: one line of 1 to {LONGEST} characters");
        return Err(Fault::usage(message).hint("--reason \"database is being moved, OPS-17\""));
    }
    let act = Act::new(&caller, Trip::NAME, "");
    let breaker = app.trip_breaker(&request.name, reason.to_owned(), act).await?;
    Ok(One { schema_version: 1, breaker })
}

async fn handle_reset(app: App, caller: Caller, request: NameRequest) -> Result<One, Fault> {
    let act = Act::new(&caller, Reset::NAME, "");
    Ok(One { schema_version: 1, breaker: app.reset_breaker(&request.name, act).await? })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List => {
            let list = ctl.client.call::<List>(&ListRequest {}).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.breakers, wide))?;
        }
        Action::Show { name } => {
            let one = ctl.client.call::<Show>(&NameRequest { name }).await?;
            ctl.output.print(&ctl.ui, &one, |_| shown(&one.breaker))?;
        }
        Action::Trip { name, reason } => {
            let one = ctl.client.call::<Trip>(&TripRequest { name, reason }).await?;
            ctl.output.print(&ctl.ui, &one, |_| {
                let name = one_line(&one.breaker.name);
                format!(
                    "breaker {name} is held open: nothing is called until `agentctl breaker reset {name}`\n"
                )
            })?;
        }
        Action::Reset { name } => {
            let one = ctl.client.call::<Reset>(&NameRequest { name }).await?;
            ctl.output
                .print(&ctl.ui, &one, |_| format!("breaker {} is closed\n", one_line(&one.breaker.name)))?;
        }
    }
    Ok(Exit::Ok)
}

fn table(ctl: &Ctl, breakers: &[BreakerStatus], wide: bool) -> String {
    if breakers.is_empty() {
        return "no breaker: the manifest has no dependency, and no check with a policy\n".into();
    }
    let mut head = vec!["BREAKER", "STATE", "SINCE", "AGAIN IN", "FAILURES", "OPENED"];
    head.extend(wide.then_some(["UNDER WAY", "WAITING", "OPENS"]).into_iter().flatten());
    head.push("WHY");
    let figures: &[usize] = if wide { &[4, 5, 6, 7] } else { &[4, 5] };
    let mut table = Table::new(&head).figures(figures).painted(1, &ctl.ui, |word| match word {
        "closed" => Some("32"),
        "half-open" => Some("33"),
        _ => Some("31"),
    });
    for breaker in breakers {
        let mut row = vec![
            breaker.name.clone(),
            breaker.state.as_str().into(),
            breaker.since.map_or_else(String::new, minute),
            again(breaker),
            breaker.failures.to_string(),
            breaker.opened.to_string(),
        ];
        if wide {
            let opens = breaker.policy.breaker.clone();
            row.extend([breaker.under_way.to_string(), breaker.waiting.to_string(), opens]);
        }
        row.push(why(breaker));
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn shown(breaker: &BreakerStatus) -> String {
    let mut text = format!("{} is {}", one_line(&breaker.name), breaker.state.as_str());
    if let Some(since) = breaker.since {
        let _ = write!(text, " since {}", since.strftime("%Y-%m-%d %H:%M:%SZ"));
    }
    text.push('\n');
    let (why, again, policy) = (why(breaker), again(breaker), &breaker.policy);
    let rate = policy.rate.map_or(String::new(), |rate| format!(", at most {rate} a second"));
    for (label, told) in [
        ("because", why),
        ("again in", again),
        ("failures", format!("{} in a row", breaker.failures)),
        ("opened", format!("by itself: {}", breaker.opened)),
        ("opens", one_line(&policy.breaker)),
        (
            "attempts",
            format!("{}, waits of {}, {} each", policy.attempts, one_line(&policy.backoff), policy.timeout),
        ),
        ("deadline", policy.deadline.to_string()),
        ("retries", format!("at most {:.0}% of the calls", policy.retry_budget * 100.0)),
        (
            "calls",
            format!(
                "{} of {} under way, {} of {} waiting{rate}",
                breaker.under_way, policy.concurrency, breaker.waiting, policy.queue
            ),
        ),
    ] {
        if !told.is_empty() {
            let _ = writeln!(text, "{label:<10}{told}");
        }
    }
    text
}

fn again(breaker: &BreakerStatus) -> String {
    match (breaker.state, breaker.again_in) {
        (BreakerState::Open, None) => "when reset".into(),
        (_, Some(left)) => format!("{} s", left.0.as_millis().div_ceil(1000)),
        _ => String::new(),
    }
}

fn why(breaker: &BreakerStatus) -> String {
    match (&breaker.tripped, &breaker.why) {
        (Some(trip), _) => one_line(&format!("held by {}: {}", trip.by, trip.reason)),
        (None, Some(why)) => one_line(why),
        (None, None) => String::new(),
    }
}

fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
