//! Approvals: what waits for somebody else's yes, and that yes or no. Both ends.
use crate::{
    cli::{CliError, Ctl, Exit, Table, escape, one_line},
    daemon::{App, Route},
    domain::{Approval, ApprovalState, Audited, Caller, Fault, Permission},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

/// Say yes or no to what somebody else wants to do.
///
/// What [approvals] in agentd.toml requires is refused (exit 6) until somebody else approved exactly that: one request
/// of one asker, once. No agent can give an approval, whatever it shows, and nobody can where nothing but goodwill
/// separates an agent from the operator.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// List what waits to be approved, or was and is not done yet
    #[command(visible_alias = "ls")]
    List {
        /// Those that were used, denied, withdrawn or have lapsed too
        #[arg(long)]
        all: bool,
    },
    /// Show the exact action: what, on what, with which request, and who asks
    Show {
        #[arg(value_name = "APPROVAL")]
        id: u64,
    },
    /// Let it happen, once
    Give {
        #[arg(value_name = "APPROVAL")]
        id: u64,
    },
    /// Say no, or take back a yes that was not used yet
    Deny {
        #[arg(value_name = "APPROVAL")]
        id: u64,
        /// Why; who asked is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// No longer ask for it: who asked may
    Withdraw {
        #[arg(value_name = "APPROVAL")]
        id: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Approvals {
    pub schema_version: u32,
    pub approvals: Vec<Approval>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "approvals/list";
    const VERB: Verb = Verb::Read;
    /// Who may not decide need not know what is asked for.
    const NEEDS: Permission = Permission::ApprovalGive;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Approvals;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DenyRequest {
    pub id: u64,
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub schema_version: u32,
    #[serde(flatten)]
    pub approval: Approval,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "approvals/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::ApprovalGive;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Reply;
}

macro_rules! word {
    ($endpoint:ident, $name:literal, $request:ty) => {
        struct $endpoint;
        impl Endpoint for $endpoint {
            const NAME: &'static str = $name;
            const VERB: Verb = Verb::Write;
            const NEEDS: Permission = Permission::ApprovalGive;
            const AUDITED: Audited = Audited::WithEffect;
            type Request = $request;
            type Reply = Reply;

            fn object(request: &$request) -> String {
                format!("approval/{}", request.id)
            }
        }
    };
}
word!(Give, "approvals/give", Request);
word!(Deny, "approvals/deny", DenyRequest);
word!(Withdraw, "approvals/withdraw", Request);

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Give, _, _>(handle_give),
        Route::to::<Deny, _, _>(handle_deny),
        Route::to::<Withdraw, _, _>(handle_withdraw),
    ]
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Approvals, Fault> {
    Ok(Approvals { schema_version: 1, approvals: app.approvals.list(request.all).await? })
}

async fn handle_show(app: App, _caller: Caller, request: Request) -> Result<Reply, Fault> {
    Ok(Reply { schema_version: 1, approval: app.approvals.find(request.id).await? })
}

async fn handle_give(app: App, caller: Caller, request: Request) -> Result<Reply, Fault> {
    let apart = app.supervisor.separation();
    let approval = app.approvals.give(&caller, request.id, apart).await?;
    tracing::info!(approval = approval.id, action = approval.action.action, by = %caller.principal, "approved");
    Ok(Reply { schema_version: 1, approval })
}

async fn handle_deny(app: App, caller: Caller, request: DenyRequest) -> Result<Reply, Fault> {
    let approval = app.approvals.deny(&caller, request.id, &request.reason).await?;
    Ok(Reply { schema_version: 1, approval })
}

async fn handle_withdraw(app: App, caller: Caller, request: Request) -> Result<Reply, Fault> {
    Ok(Reply { schema_version: 1, approval: app.approvals.withdraw(&caller, request.id).await? })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        What::List { all } => {
            let list = ctl.client.call::<List>(&ListRequest { all }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.approvals, all, wide))?;
        }
        What::Show { id } => {
            let shown = ctl.client.call::<Show>(&Request { id }).await?;
            ctl.output.print(&ctl.ui, &shown, |_| words(&shown.approval))?;
        }
        What::Give { id } => {
            let given = ctl.client.call::<Give>(&Request { id }).await?;
            ctl.output.print(&ctl.ui, &given, |_| {
                let Approval { asked_by, expires_at, .. } = &given.approval;
                let until = minute(*expires_at);
                let action = subject(&given.approval);
                format!("approval {id} is given: {asked_by} may do {action} once, until {until}\n")
            })?;
        }
        What::Deny { id, reason } => {
            let denied = ctl.client.call::<Deny>(&DenyRequest { id, reason }).await?;
            ctl.output.print(&ctl.ui, &denied, |_| {
                format!("approval {id} is denied: {}\n", subject(&denied.approval))
            })?;
        }
        What::Withdraw { id } => {
            let withdrawn = ctl.client.call::<Withdraw>(&Request { id }).await?;
            ctl.output.print(&ctl.ui, &withdrawn, |_| {
                format!("approval {id} is withdrawn: {}\n", subject(&withdrawn.approval))
            })?;
        }
    }
    Ok(Exit::Ok)
}

fn table(ctl: &Ctl, approvals: &[Approval], all: bool, wide: bool) -> String {
    if approvals.is_empty() {
        return if all { "no approval is kept\n" } else { "nothing waits for an approval\n" }.into();
    }
    let mut head = vec!["ID", "ACTION", "OBJECT", "STATE", "ASKED BY", "UNTIL"];
    head.extend(wide.then_some(["ASKED", "DECIDED BY", "REQUEST"]).into_iter().flatten());
    let mut table = Table::new(&head).figures(&[0]).painted(3, &ctl.ui, |word| match word {
        "pending" => Some("33"),
        "given" => Some("32"),
        "denied" => Some("31"),
        _ => Some("2"),
    });
    for approval in approvals {
        let mut row = vec![
            approval.id.to_string(),
            approval.action.action.clone(),
            approval.action.object.clone(),
            approval.state.as_str().into(),
            approval.asked_by.to_string(),
            minute(approval.expires_at),
        ];
        if wide {
            let by = approval.decided.as_ref().map_or_else(String::new, |decided| decided.by.to_string());
            row.extend([minute(approval.asked_at), by, approval.action.request.to_string()]);
        }
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

/// All that somebody must know before they say yes. What was asked for is indented, so that none of it can pass for
/// ours.
fn words(approval: &Approval) -> String {
    let Approval { id, action, digest, asked_by, asked_uid, asked_at, .. } = approval;
    let mut text = format!("approval {id} is {}\n\n", approval.state.as_str());
    let mut line = |what: &str, value: &str| text.push_str(&format!("{what:<10} {}\n", one_line(value)));
    line("action", &action.action);
    if !action.object.is_empty() {
        line("on", &action.object);
    }
    line("asked by", &format!("{asked_by} (uid {asked_uid}), {}", minute(*asked_at)));
    match approval.state {
        ApprovalState::Pending => line("to give by", &minute(approval.expires_at)),
        ApprovalState::Given => line("to use by", &minute(approval.expires_at)),
        _ => {}
    }
    if let Some(decided) = &approval.decided {
        let how = match approval.state {
            ApprovalState::Denied => "denied by",
            ApprovalState::Withdrawn => "withdrawn",
            _ => "given by",
        };
        line(how, &format!("{} (uid {}), {}", decided.by, decided.uid, minute(decided.at)));
        if !decided.reason.is_empty() {
            line("because", &decided.reason);
        }
    }
    if let Some(used_at) = approval.used_at {
        line("used", &minute(used_at));
    }
    line("digest", digest);
    text.push_str("request\n");
    let request = serde_json::to_string_pretty(&action.request).unwrap_or_default();
    for of_request in escape(&request).lines() {
        text.push_str(&format!("  {of_request}\n"));
    }
    text
}

fn subject(approval: &Approval) -> String {
    let action = &approval.action;
    let on = if action.object.is_empty() { String::new() } else { format!(" on {}", action.object) };
    one_line(&format!("{}{on}", action.action))
}

fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Action, Principal};

    #[test]
    fn what_is_asked_for_is_shown_whole_and_cannot_pass_for_ours() {
        let approval = Approval {
            id: 7,
            action: Action {
                action: "waivers/add".into(),
                object: "x\napproval 7 is given".into(),
                request: serde_json::json!({ "check": "SE-003", "reason": "a\u{1b}[2J\u{202e}\ndigest   0" }),
            },
            digest: "ab".repeat(32),
            state: ApprovalState::Pending,
            asked_by: Principal::user(1001),
            asked_uid: 1001,
            asked_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: jiff::Timestamp::UNIX_EPOCH,
            decided: None,
            used_at: None,
        };
        let text = words(&approval);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(text.contains("SE-003") && text.contains("user:1001 (uid 1001)"), "{text}");
        let first = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!((first("approval 7"), first("digest")), (1, 1), "{text}");
    }
}
