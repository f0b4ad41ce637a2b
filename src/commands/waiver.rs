//! Waivers: who answers for a finding, why, and until when. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit, Table, When, when},
    daemon::{App, Route},
    domain::{Act, Audited, Caller, Fault, Permission, Standing, Waiver},
    protocol::{Endpoint, Verb},
    readiness::{WaiverEntry, WaiverRequest},
};
use serde::{Deserialize, Serialize};

/// Answer for a finding until a day: its gate is lifted, and no points are earned.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Waive a check, or one resource of it, until it expires
    Add {
        /// As the report names it, such as SE-001
        #[arg(value_name = "CHECK")]
        check: String,
        /// Only this one of those that the last report names; void when what was found there changes
        #[arg(long, value_name = "RESOURCE")]
        resource: Option<String>,
        /// Who answers for it; best a key of [contacts]
        #[arg(long, value_name = "NAME")]
        owner: String,
        /// Why it may be so until then
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends: a date (its end, in UTC) or a time from now; at most a year ahead by default
        #[arg(long, value_name = "DATE|14d", value_parser = when)]
        expires: When,
    },
    /// List the waivers in force
    #[command(visible_alias = "ls")]
    List {
        /// Those that expired or were revoked too
        #[arg(long)]
        all: bool,
    },
    /// End a waiver before its time
    Revoke {
        #[arg(value_name = "WAIVER")]
        id: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Added {
    pub schema_version: u32,
    #[serde(flatten)]
    pub waiver: Waiver,
}

struct Add;
impl Endpoint for Add {
    const NAME: &'static str = "waivers/add";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReadinessWaive;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = WaiverRequest;
    type Reply = Added;

    /// It has no number before it is added.
    fn object(request: &WaiverRequest) -> String {
        format!("check/{}", request.check)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Waivers {
    pub schema_version: u32,
    pub waivers: Vec<WaiverEntry>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "waivers/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Waivers;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RevokeRequest {
    pub id: u64,
}

struct Revoke;
impl Endpoint for Revoke {
    const NAME: &'static str = "waivers/revoke";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReadinessWaive;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = RevokeRequest;
    type Reply = Added;

    fn object(request: &RevokeRequest) -> String {
        format!("waiver/{}", request.id)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Add, _, _>(handle_add),
        Route::to::<List, _, _>(handle_list),
        Route::to::<Revoke, _, _>(handle_revoke),
    ]
}

async fn handle_add(app: App, caller: Caller, request: WaiverRequest) -> Result<Added, Fault> {
    let act = Act::new(&caller, Add::NAME, "");
    Ok(Added { schema_version: 1, waiver: app.readiness.waive(request, &caller, act).await? })
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Waivers, Fault> {
    Ok(Waivers { schema_version: 1, waivers: app.readiness.waivers(request.all).await? })
}

async fn handle_revoke(app: App, caller: Caller, request: RevokeRequest) -> Result<Added, Fault> {
    let act = Act::new(&caller, Revoke::NAME, "");
    Ok(Added { schema_version: 1, waiver: app.readiness.revoke(request.id, &caller, act).await? })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Add { check, resource, owner, reason, expires } => {
            let (expires_at, expires_in) = match expires {
                When::At(at) => (Some(at), None),
                When::In(period) => (None, Some(period)),
            };
            let request = WaiverRequest { check, resource, owner, reason, expires_at, expires_in };
            let added = ctl.client.call::<Add>(&request).await?;
            ctl.output.print(&ctl.ui, &added, |_| {
                let waiver = &added.waiver;
                let until = until(waiver);
                sentence(&format!("waiver {} of {} until {until}", waiver.id, subject(waiver)))
            })?;
        }
        Action::List { all } => {
            let list = ctl.client.call::<List>(&ListRequest { all }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.waivers, all, wide))?;
        }
        Action::Revoke { id } => {
            let revoked = ctl.client.call::<Revoke>(&RevokeRequest { id }).await?;
            ctl.output.print(&ctl.ui, &revoked, |_| {
                sentence(&format!("waiver {id} of {} is revoked", subject(&revoked.waiver)))
            })?;
        }
    }
    Ok(Exit::Ok)
}

fn table(ctl: &Ctl, waivers: &[WaiverEntry], all: bool, wide: bool) -> String {
    if waivers.is_empty() {
        return if all { "no waiver is kept\n" } else { "no waiver is in force\n" }.into();
    }
    let mut head = vec!["ID", "CHECK", "RESOURCE", "STANDING", "UNTIL", "OWNER"];
    head.extend(wide.then_some(["ADDED", "BY"]).into_iter().flatten());
    head.push("REASON");
    let mut table = Table::new(&head).figures(&[0]).painted(3, &ctl.ui, |word| match word {
        "in force" => Some("32"),
        "void" => Some("31"),
        _ => Some("2"),
    });
    for WaiverEntry { waiver, standing } in waivers {
        let ended = match standing {
            Standing::Revoked => waiver.revoked_at.unwrap_or(waiver.expires_at),
            Standing::InForce | Standing::Void | Standing::Expired => waiver.expires_at,
        };
        let mut row = vec![
            waiver.id.to_string(),
            waiver.check.clone(),
            waiver.resource.clone().unwrap_or_else(|| "(whole check)".into()),
            standing.as_str().into(),
            minute(ended),
            waiver.owner.clone(),
        ];
        if wide {
            row.extend([minute(waiver.added_at), waiver.added_by.clone()]);
        }
        row.push(waiver.reason.clone());
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn subject(waiver: &Waiver) -> String {
    match &waiver.resource {
        Some(resource) => format!("{} for {resource}", waiver.check),
        None => format!("the whole of {}", waiver.check),
    }
}

fn until(waiver: &Waiver) -> String {
    format!("{}, {} answers for it", minute(waiver.expires_at), waiver.owner)
}

fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn sentence(text: &str) -> String {
    format!("{}\n", crate::cli::one_line(text))
}
