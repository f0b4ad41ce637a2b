//! Quotas: what is left of them, for whom, and making one whole again. Both ends.
use crate::{
    auth::{HourUsed, Penalty, QuotaStanding},
    cli::{CliError, Ctl, Exit, Table, one_line},
    daemon::{App, Route},
    domain::{Act, Audited, Caller, Fault, Period, Permission, Principal},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// What everybody used of this hour, and what is left
    #[command(visible_alias = "ls")]
    List,
    /// One of them: its bounds, what is left, its last hours
    Show {
        /// user:UID, service:NAME or agent:NAME
        #[arg(value_name = "PRINCIPAL")]
        name: Principal,
    },
    /// Give a principal its hour anew, and forgive its wrong keys
    Reset {
        /// user:UID, service:NAME or agent:NAME
        #[arg(value_name = "PRINCIPAL")]
        name: Principal,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct QuotaList {
    pub schema_version: u32,
    pub quotas: Vec<QuotaStanding>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "quotas/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = QuotaList;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OneRequest {
    pub name: Principal,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OneQuota {
    pub schema_version: u32,
    #[serde(flatten)]
    pub quota: QuotaStanding,
    /// Newest first.
    pub hours: Vec<HourUsed>,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "quotas/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = OneRequest;
    type Reply = OneQuota;
}

struct Reset;
impl Endpoint for Reset {
    const NAME: &'static str = "quotas/reset";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = OneRequest;
    type Reply = OneQuota;

    fn object(request: &OneRequest) -> String {
        format!("quota/{}", request.name)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Reset, _, _>(handle_reset),
    ]
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<QuotaList, Fault> {
    Ok(QuotaList { schema_version: 1, quotas: app.meter.standings().await? })
}

async fn handle_show(app: App, _caller: Caller, request: OneRequest) -> Result<OneQuota, Fault> {
    let (quota, hours) = app.meter.standing_of(request.name).await?;
    Ok(OneQuota { schema_version: 1, quota, hours })
}

async fn handle_reset(app: App, caller: Caller, request: OneRequest) -> Result<OneQuota, Fault> {
    app.meter.reset(request.name.clone(), Act::new(&caller, Reset::NAME, "")).await?;
    handle_show(app, caller, request).await
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List => {
            let list = ctl.client.call::<List>(&ListRequest {}).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.quotas, wide))?;
        }
        Action::Show { name } => {
            let one = ctl.client.call::<Show>(&OneRequest { name }).await?;
            ctl.output.print(&ctl.ui, &one, |_| page(&one))?;
        }
        Action::Reset { name } => {
            let one = ctl.client.call::<Reset>(&OneRequest { name }).await?;
            ctl.output.print(&ctl.ui, &one, |_| format!("{}\n", one_line(&reset(&one.quota))))?;
        }
    }
    Ok(Exit::Ok)
}

fn table(ctl: &Ctl, quotas: &[QuotaStanding], wide: bool) -> String {
    let Some(first) = quotas.first() else {
        return "nobody has used anything of this hour's quotas, and nobody waits\n".into();
    };
    let resets = resets(first);
    let mut head = vec!["PRINCIPAL", "USED", "LIMIT", "LEFT", "REFUSED", "SPEED", "PENALTY"];
    head.extend(wide.then_some(["BURST", "AT ONCE"]).into_iter().flatten());
    let mut table = Table::new(&head).figures(&[1, 2, 3, 4]).painted(3, &ctl.ui, |left| match left {
        "0" => Some("31"),
        _ => None,
    });
    for quota in quotas {
        let mut row = vec![
            quota.name.to_string(),
            quota.used.to_string(),
            quota.per_hour.map_or_else(|| "unbounded".into(), |limit| limit.to_string()),
            quota.remaining.map_or_else(|| "-".into(), |left| left.to_string()),
            quota.refused.to_string(),
            quota.per_second.map_or_else(|| "unbounded".into(), |rate| format!("{rate}/s")),
            quota.penalty.map_or_else(|| "-".into(), penalty),
        ];
        if wide {
            row.extend([quota.burst, quota.at_once].map(|n| n.map_or_else(|| "-".into(), |n| n.to_string())));
        }
        table.row(row);
    }
    format!("{}\n{resets}\n", table.render(ctl.ui.width().filter(|_| !wide)))
}

fn page(one: &OneQuota) -> String {
    let OneQuota { quota, hours, .. } = one;
    let mut lines = vec![one_line(&quota.name.to_string())];
    lines.push(match quota.per_hour.zip(quota.remaining) {
        Some((limit, left)) => {
            format!("  this hour  {} of {limit} used, {left} left; {}", quota.used, resets(quota))
        }
        None => "  this hour  unbounded".into(),
    });
    lines.push(match quota.per_second.zip(quota.burst).zip(quota.at_once) {
        Some(((rate, burst), now)) => {
            format!("  speed      {rate} a second, {burst} at once; {now} at once now")
        }
        None => "  speed      unbounded".into(),
    });
    lines.push(format!("  refused    {} in this hour", quota.refused));
    lines.extend(quota.penalty.map(|of| format!("  penalty    {}", penalty(of))));
    if hours.is_empty() {
        lines.push("  no hour of it is kept".into());
    } else {
        lines.push("  last hours, rounded up to what was reserved:".into());
    }
    for HourUsed { hour, reserved } in hours {
        lines.push(format!("    {}  {reserved:>9}", hour.strftime("%Y-%m-%d %H:%MZ")));
    }
    lines.join("\n") + "\n"
}

fn reset(quota: &QuotaStanding) -> String {
    match quota.per_hour {
        Some(limit) => format!("{} has all {limit} requests of this hour again", quota.name),
        None => format!("{} is unbounded; nothing stands against it any more", quota.name),
    }
}

fn resets(quota: &QuotaStanding) -> String {
    let at = quota.resets_at.strftime("%H:%MZ");
    format!("whole again at {at}, in {}", Period::secs(quota.resets_in_s))
}

fn penalty(of: Penalty) -> String {
    let Penalty { failures, waits_s } = of;
    let keys = if failures == 1 { "1 wrong key".into() } else { format!("{failures} wrong keys") };
    if waits_s == 0 { keys } else { format!("{keys}, waits {}", Period::secs(waits_s)) }
}
