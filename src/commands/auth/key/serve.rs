//! The daemon's end of keys.
use crate::{
    auth::KeyRequest,
    daemon::{App, Route},
    domain::{Act, ApiKey, Audited, Caller, Fault, Holds, Period, Permission},
    protocol::{Endpoint, Verb},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

/// How a key stands, beside what it is.
#[derive(Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub key: ApiKey,
    pub holds: Holds,
}

/// The only reply that holds a key; it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Made {
    pub schema_version: u32,
    #[serde(flatten)]
    pub key: ApiKey,
    /// Shown this once.
    pub token: String,
    /// The key in whose place it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ApiKey>,
}

pub struct KeyCreate;
impl Endpoint for KeyCreate {
    const NAME: &'static str = "keys/create";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = KeyRequest;
    type Reply = Made;

    fn object(request: &KeyRequest) -> String {
        request.principal.to_string()
    }
}

#[derive(Serialize, Deserialize)]
pub struct ListRequest {
    #[serde(default)]
    pub all: bool,
}

#[derive(Serialize, Deserialize)]
pub struct Keys {
    pub schema_version: u32,
    pub keys: Vec<Entry>,
}

pub struct KeyList;
impl Endpoint for KeyList {
    const NAME: &'static str = "keys/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Keys;
}

#[derive(Serialize, Deserialize)]
pub struct OneRequest {
    pub id: String,
}

#[derive(Serialize, Deserialize)]
pub struct One {
    pub schema_version: u32,
    #[serde(flatten)]
    pub entry: Entry,
}

pub struct KeyShow;
impl Endpoint for KeyShow {
    const NAME: &'static str = "keys/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::Not;
    type Request = OneRequest;
    type Reply = One;
}

#[derive(Serialize, Deserialize)]
pub struct RotateRequest {
    pub id: String,
    pub overlap: Period,
}

pub struct KeyRotate;
impl Endpoint for KeyRotate {
    const NAME: &'static str = "keys/rotate";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = RotateRequest;
    type Reply = Made;

    fn object(request: &RotateRequest) -> String {
        object(&request.id)
    }
}

pub struct KeyRevoke;
impl Endpoint for KeyRevoke {
    const NAME: &'static str = "keys/revoke";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::AccessManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = OneRequest;
    type Reply = One;

    fn object(request: &OneRequest) -> String {
        object(&request.id)
    }
}

/// Whatever was asked for, bounded.
fn object(id: &str) -> String {
    format!("key/{}", id.chars().take(40).collect::<String>().escape_debug())
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<KeyCreate, _, _>(handle_create),
        Route::to::<KeyList, _, _>(handle_list),
        Route::to::<KeyShow, _, _>(handle_show),
        Route::to::<KeyRotate, _, _>(handle_rotate),
        Route::to::<KeyRevoke, _, _>(handle_revoke),
    ]
}

async fn handle_create(app: App, caller: Caller, request: KeyRequest) -> Result<Made, Fault> {
    let act = Act::new(&caller, KeyCreate::NAME, "");
    let (key, token) = app.keyring.create_key(&caller, request, act).await?;
    Ok(Made { schema_version: 1, key, token: token.expose_secret().to_owned(), replaces: None })
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Keys, Fault> {
    let keys = app.keyring.keys(request.all).await?;
    Ok(Keys { schema_version: 1, keys: keys.into_iter().map(|key| entry(&app, key)).collect() })
}

async fn handle_show(app: App, _caller: Caller, request: OneRequest) -> Result<One, Fault> {
    let key = app.keyring.key(&request.id).await?;
    Ok(One { schema_version: 1, entry: entry(&app, key) })
}

async fn handle_rotate(app: App, caller: Caller, request: RotateRequest) -> Result<Made, Fault> {
    let act = Act::new(&caller, KeyRotate::NAME, "");
    let made = app.keyring.rotate_key(&caller, &request.id, request.overlap, act).await?;
    let token = made.token.expose_secret().to_owned();
    Ok(Made { schema_version: 1, key: made.new, token, replaces: Some(made.old) })
}

async fn handle_revoke(app: App, caller: Caller, request: OneRequest) -> Result<One, Fault> {
    let key = app.keyring.revoke_key(&request.id, Act::new(&caller, KeyRevoke::NAME, "")).await?;
    Ok(One { schema_version: 1, entry: entry(&app, key) })
}

fn entry(app: &App, key: ApiKey) -> Entry {
    Entry { holds: key.holds(app.clock.now()), key }
}
