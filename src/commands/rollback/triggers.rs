//! What acts by itself: how each trigger stands, when it would have fired, and holding, resuming and resetting them.
//! Both ends.
use super::triggers_show as show;
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::{App, Route},
    deploy::triggers::Backtest,
    domain::{
        Act, Audited, Caller, Fault, Period, Permission, TriggerFiring, TriggerHold, TriggerStanding,
        one_line,
    },
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

/// The longest reason that is taken, in characters.
const LONGEST: usize = 200;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// How each stands: its value now, its limit, and what it did last
    #[command(visible_alias = "ls")]
    List,
    /// Let nothing act by itself for a while, because somebody works there
    Hold {
        #[command(flatten)]
        which: Which,
        /// For how long; `max_hold` under [triggers] is the longest
        #[arg(long = "for", value_name = "2h")]
        lasts: Period,
        /// Why; whoever looks is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a hold before its time
    ReleaseHold {
        #[command(flatten)]
        which: Which,
    },
    /// Let deployments go on that a trigger paused
    Resume,
    /// Let one act by itself again whose rollback failed or did not help
    Reset {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// When each would have fired, told from what was recorded
    Backtest {
        /// Only this one
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// How far back
        #[arg(long, value_name = "7d", default_value = "1d")]
        since: Period,
    },
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    pub schema_version: u32,
    pub triggers: Vec<TriggerStanding>,
    /// What pauses, is stopped or reverts, also of triggers that are not declared any more.
    pub standing: Vec<TriggerFiring>,
    pub holds: Vec<TriggerHold>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "triggers/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Listed;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct HoldRequest {
    /// None: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    #[serde(rename = "for")]
    pub lasts: Period,
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Held {
    pub schema_version: u32,
    #[serde(flatten)]
    pub hold: TriggerHold,
}

struct Hold;
impl Endpoint for Hold {
    const NAME: &'static str = "triggers/hold";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = HoldRequest;
    type Reply = Held;

    fn object(request: &HoldRequest) -> String {
        object(request.trigger.as_deref())
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// None: those on all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Released {
    pub schema_version: u32,
    pub holds: Vec<TriggerHold>,
}

struct Release;
impl Endpoint for Release {
    const NAME: &'static str = "triggers/release";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = ReleaseRequest;
    type Reply = Released;

    fn object(request: &ReleaseRequest) -> String {
        object(request.trigger.as_deref())
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ResumeRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Firings {
    pub schema_version: u32,
    pub firings: Vec<TriggerFiring>,
}

struct Resume;
impl Endpoint for Resume {
    const NAME: &'static str = "triggers/resume";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = ResumeRequest;
    type Reply = Firings;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ResetRequest {
    pub name: String,
}

struct Reset;
impl Endpoint for Reset {
    const NAME: &'static str = "triggers/reset";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = ResetRequest;
    type Reply = Firings;

    fn object(request: &ResetRequest) -> String {
        object(Some(&request.name))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BacktestRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub since: Period,
}

/// It looks at much: not for everybody who may look.
struct Replay;
impl Endpoint for Replay {
    const NAME: &'static str = "triggers/backtest";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::ReleaseManage;
    const AUDITED: Audited = Audited::Not;
    type Request = BacktestRequest;
    type Reply = Backtest;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Hold, _, _>(handle_hold),
        Route::to::<Release, _, _>(handle_release),
        Route::to::<Resume, _, _>(handle_resume),
        Route::to::<Reset, _, _>(handle_reset),
        Route::to::<Replay, _, _>(handle_backtest),
    ]
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<Listed, Fault> {
    let triggers = app.triggers.list().await?;
    let (standing, holds) = (app.triggers.open().await?, app.triggers.holds().await?);
    Ok(Listed { schema_version: 1, triggers, standing, holds })
}

async fn handle_hold(app: App, caller: Caller, request: HoldRequest) -> Result<Held, Fault> {
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST || reason.chars().any(char::is_control) {
        let message = format!("cannot hold triggers without a reason: one line of 1 to {LONGEST} characters");
        return Err(Fault::usage(message).hint("--reason \"database maintenance, OPS-17\""));
    }
    let act = Act::new(&caller, Hold::NAME, "");
    let hold = app.triggers.hold(request.trigger, request.lasts, reason.to_owned(), &caller, act).await?;
    Ok(Held { schema_version: 1, hold })
}

async fn handle_release(app: App, caller: Caller, request: ReleaseRequest) -> Result<Released, Fault> {
    let act = Act::new(&caller, Release::NAME, "");
    Ok(Released { schema_version: 1, holds: app.triggers.release(request.trigger, &caller, act).await? })
}

async fn handle_resume(app: App, caller: Caller, _request: ResumeRequest) -> Result<Firings, Fault> {
    let act = Act::new(&caller, Resume::NAME, "");
    Ok(Firings { schema_version: 1, firings: app.triggers.resume(&caller, act).await? })
}

async fn handle_reset(app: App, caller: Caller, request: ResetRequest) -> Result<Firings, Fault> {
    let act = Act::new(&caller, Reset::NAME, "");
    Ok(Firings { schema_version: 1, firings: app.triggers.reset(request.name, &caller, act).await? })
}

async fn handle_backtest(app: App, _caller: Caller, request: BacktestRequest) -> Result<Backtest, Fault> {
    app.triggers.backtest(request.name.as_deref(), request.since).await
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let listed = ctl.client.call::<List>(&ListRequest {}).await?;
            ctl.output.print(&ctl.ui, &listed, |wide| {
                let mut text = show::triggers(&ctl.ui, &listed.triggers, wide);
                text.push_str(&show::standing(&listed.standing, &listed.holds));
                text
            })?;
        }
        Action::Hold { which, lasts, reason } => {
            let request = HoldRequest { trigger: which.name, lasts, reason };
            let held = ctl.client.call::<Hold>(&request).await?;
            ctl.output.print(&ctl.ui, &held, |_| sentence(&held.hold.sentence()))?;
        }
        Action::ReleaseHold { which } => {
            let request = ReleaseRequest { trigger: which.name };
            let released = ctl.client.call::<Release>(&request).await?;
            ctl.output.print(&ctl.ui, &released, |_| {
                let ended =
                    released.holds.iter().map(|hold| sentence(&format!("released: {}", hold.sentence())));
                ended.collect()
            })?;
        }
        Action::Resume => {
            let resumed = ctl.client.call::<Resume>(&ResumeRequest {}).await?;
            ctl.output.print(&ctl.ui, &resumed, |_| show::firings("resumed", &resumed.firings))?;
        }
        Action::Reset { name } => {
            let reset = ctl.client.call::<Reset>(&ResetRequest { name }).await?;
            ctl.output.print(&ctl.ui, &reset, |_| show::firings("reset", &reset.firings))?;
        }
        Action::Backtest { name, since } => {
            let replayed = ctl.client.call::<Replay>(&BacktestRequest { name, since }).await?;
            ctl.output.print(&ctl.ui, &replayed, |wide| show::backtest(&ctl.ui, &replayed, wide))?;
        }
    }
    Ok(Exit::Ok)
}

fn object(trigger: Option<&str>) -> String {
    trigger.map_or_else(|| "triggers".into(), |name| format!("trigger/{name}"))
}

fn sentence(text: &str) -> String {
    format!("{}\n", one_line(text))
}
