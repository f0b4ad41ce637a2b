//! May a principal do something in the applications? Decided here, recorded always. Both ends.
use crate::{
    auth::{Decision, Grant, Granted, Roles},
    cli::{CliError, Ctl, Exit, one_line},
    daemon::{App, Route},
    domain::{
        Act, ApiKey, ApplicationPermission, AuditOutcome, Audited, Caller, Fault, Holds, Permission,
        Principal, check_client,
    },
    protocol::{Endpoint, Verb},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a row of the audit trail says of a question at most, whatever was asked.
const LONGEST_OBJECT: usize = 300;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// agent:NAME, service:NAME or user:UID; `me` for whoever asks
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    /// Such as read_client_data; `agentctl auth role explain system` lists all 18
    #[arg(value_name = "PERMISSION")]
    permission: String,
    /// The client that it is about, as the applications call it
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

/// As text, so that what cannot be read is recorded too.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Without one, the caller itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    pub permission: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub schema_version: u32,
    pub principal: Principal,
    pub permission: ApplicationPermission,
    pub client: Option<String>,
    #[serde(flatten)]
    pub decision: Decision,
}

struct Can;
impl Endpoint for Can {
    const NAME: &'static str = "auth/can";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AccessAsk;
    /// The decision is what is recorded, and without its row there is none.
    const AUDITED: Audited = Audited::WithEffect;
    /// What applications ask before they work for somebody.
    const WORK: bool = true;
    type Request = Request;
    type Reply = Reply;

    fn object(request: &Request) -> String {
        let who = request.principal.as_deref().unwrap_or("the caller");
        object(who, &request.permission, request.client.as_deref())
    }
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Can, _, _>(handle)]
}

async fn handle(app: App, caller: Caller, request: Request) -> Result<Reply, Fault> {
    let principal = match &request.principal {
        Some(text) => text.parse().map_err(undecidable)?,
        None => caller.principal.clone(),
    };
    let permission = permission(&request.permission)?;
    if let Some(client) = &request.client {
        check_client(client).map_err(undecidable)?;
    }
    let client = request.client;
    let grants = grants(&app, &caller, &principal).await?;
    let roles = Roles::of(&app.settings.borrow());
    let decision = roles.decide(&principal, &grants, permission, client.as_deref());
    let outcome = if decision.allowed { AuditOutcome::Done } else { AuditOutcome::Refused };
    let object = object(&principal.to_string(), permission.as_str(), client.as_deref());
    app.store.record_act(Act::new(&caller, Can::NAME, object), outcome, decision.reason.clone()).await?;
    Ok(Reply { schema_version: 1, principal, permission, client, decision })
}

/// All that is known of a principal: of the caller by what it showed, of agents by the file, of others by their keys.
async fn grants(app: &App, caller: &Caller, principal: &Principal) -> Result<Vec<Granted>, Fault> {
    if *principal == caller.principal {
        return Ok(vec![Granted::from(caller)]);
    }
    let mut grants = vec![Granted::by_file(&app.settings.borrow(), principal)];
    let keys = app.keyring.keys(true).await?;
    grants.extend(
        keys.into_iter().filter(|key| key.principal == *principal).map(|key| by_key(key, app.clock.now())),
    );
    Ok(grants)
}

fn by_key(key: ApiKey, now: Timestamp) -> Granted {
    let over = match key.holds(now) {
        Holds::InForce => {
            return Granted::Now(Grant { role: key.application_role, clients: key.clients });
        }
        Holds::Expired => "has expired",
        Holds::Replaced => "was replaced by another",
        Holds::Revoked | Holds::Idle | Holds::Ended | Holds::Void => "is revoked",
    };
    Granted::Over(format!("key {} {over}", key.id))
}

fn undecidable(said: String) -> Fault {
    Fault::usage(format!("cannot decide this: {said}"))
}

fn permission(text: &str) -> Result<ApplicationPermission, Fault> {
    text.parse().map_err(|said: String| {
        let fault = undecidable(said);
        match Permission::ALL.iter().find(|own| own.as_str() == text) {
            Some(own) => fault.hint(format!(
                "{own} is a permission at agentd itself: `agentctl auth role list -o wide` shows which roles have it"
            )),
            None => fault.hint("`agentctl auth role explain system` lists all there is"),
        }
    })
}

/// `agent:orders read_client_data of client 42`: bounded and on one line, whatever was asked.
fn object(principal: &str, permission: &str, client: Option<&str>) -> String {
    let client = client.map(|client| format!(" of client {client}")).unwrap_or_default();
    one_line(&format!("{principal} {permission}{client}")).chars().take(LONGEST_OBJECT).collect()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let Args { principal, permission, client } = args;
    let principal = (principal != "me").then_some(principal);
    let reply = ctl.client.call::<Can>(&Request { principal, permission, client }).await?;
    ctl.output.print(&ctl.ui, &reply, |_| {
        let Reply { principal, permission, client, decision, .. } = &reply;
        let (word, style) = if decision.allowed { ("allowed", "32") } else { ("not allowed", "31") };
        let asked = object(&principal.to_string(), permission.as_str(), client.as_deref());
        format!("{}  {asked}\n{}\n", ctl.ui.paint(style, word), one_line(&decision.reason))
    })?;
    Ok(if reply.decision.allowed { Exit::Ok } else { Exit::Negative })
}
