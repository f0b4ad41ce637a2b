//! The daemon's end of sessions.
use crate::{
    daemon::{App, Route},
    domain::{
        Act, AgentName, Audited, Caller, Clients, Fault, Holds, Identity, Means, Permission, Principal, Role,
        Session,
    },
    protocol::{Endpoint, Verb},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct WhoamiRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Whoami {
    pub schema_version: u32,
    pub principal: Principal,
    pub means: Means,
    pub role: Role,
    pub permissions: Vec<Permission>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_role: Option<String>,
    pub clients: Clients,
    /// The process that asks.
    pub process: Identity,
}

pub struct SessionWhoami;
impl Endpoint for SessionWhoami {
    const NAME: &'static str = "sessions/whoami";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::SessionOwn;
    const AUDITED: Audited = Audited::Not;
    type Request = WhoamiRequest;
    type Reply = Whoami;
}

#[derive(Serialize, Deserialize)]
pub struct OpenRequest {}

/// The only reply that holds a session's token; it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Opened {
    pub schema_version: u32,
    #[serde(flatten)]
    pub session: Session,
    /// Shown this once.
    pub token: String,
}

pub struct SessionOpen;
impl Endpoint for SessionOpen {
    const NAME: &'static str = "sessions/open";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::SessionOwn;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = OpenRequest;
    type Reply = Opened;
}

#[derive(Serialize, Deserialize)]
pub struct CloseRequest {}

#[derive(Serialize, Deserialize)]
pub struct Closed {
    pub schema_version: u32,
    /// The session.
    pub id: String,
}

pub struct SessionClose;
impl Endpoint for SessionClose {
    const NAME: &'static str = "sessions/close";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::SessionOwn;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = CloseRequest;
    type Reply = Closed;
}

#[derive(Serialize, Deserialize)]
pub struct ListRequest {
    #[serde(default)]
    pub all: bool,
}

#[derive(Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub session: Session,
    pub holds: Holds,
}

#[derive(Serialize, Deserialize)]
pub struct Sessions {
    pub schema_version: u32,
    pub sessions: Vec<Entry>,
}

pub struct SessionList;
impl Endpoint for SessionList {
    const NAME: &'static str = "sessions/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Sessions;
}

/// One of the two.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
}

#[derive(Serialize, Deserialize)]
pub struct Revoked {
    pub schema_version: u32,
    /// How many sessions were ended.
    pub ended: u64,
}

pub struct SessionRevoke;
impl Endpoint for SessionRevoke {
    const NAME: &'static str = "sessions/revoke";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = RevokeRequest;
    type Reply = Revoked;

    fn object(request: &RevokeRequest) -> String {
        match (&request.id, &request.principal) {
            (Some(id), _) => {
                format!("session/{}", id.chars().take(40).collect::<String>().escape_debug())
            }
            (None, Some(principal)) => format!("sessions/{principal}"),
            (None, None) => String::new(),
        }
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<SessionWhoami, _, _>(handle_whoami),
        Route::to::<SessionOpen, _, _>(handle_open),
        Route::to::<SessionClose, _, _>(handle_close),
        Route::to::<SessionList, _, _>(handle_list),
        Route::to::<SessionRevoke, _, _>(handle_revoke),
    ]
}

async fn handle_whoami(_app: App, caller: Caller, _request: WhoamiRequest) -> Result<Whoami, Fault> {
    Ok(Whoami {
        schema_version: 1,
        principal: caller.principal,
        means: caller.means,
        role: caller.role,
        permissions: caller.role.permissions().to_vec(),
        agent: caller.agent,
        application_role: caller.application_role,
        clients: caller.clients,
        process: caller.identity,
    })
}

async fn handle_open(app: App, caller: Caller, _request: OpenRequest) -> Result<Opened, Fault> {
    let act = Act::new(&caller, SessionOpen::NAME, "");
    let (session, token) = app.keyring.open_session(&caller, act).await?;
    Ok(Opened { schema_version: 1, session, token: token.expose_secret().to_owned() })
}

async fn handle_close(app: App, caller: Caller, _request: CloseRequest) -> Result<Closed, Fault> {
    let act = Act::new(&caller, SessionClose::NAME, "");
    Ok(Closed { schema_version: 1, id: app.keyring.close_session(&caller, act).await? })
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Sessions, Fault> {
    let sessions = app.keyring.sessions(request.all).await?.into_iter();
    let sessions = sessions.map(|(session, holds)| Entry { session, holds }).collect();
    Ok(Sessions { schema_version: 1, sessions })
}

async fn handle_revoke(app: App, caller: Caller, request: RevokeRequest) -> Result<Revoked, Fault> {
    let act = Act::new(&caller, SessionRevoke::NAME, "");
    let ended = match (request.id, request.principal) {
        (Some(id), None) => app.keyring.end_session(&id, act).await.map(|()| 1)?,
        (None, Some(principal)) => app.keyring.end_sessions_of(principal, act).await?,
        _ => return Err(Fault::usage("cannot tell whose session to end: give an id or a principal")),
    };
    Ok(Revoked { schema_version: 1, ended })
}
