//! API keys: create, list, show, rotate, revoke. Both ends.
use crate::{
    auth::KeyRequest,
    cli::{CliError, Ctl, Exit, Table, When, confirm, may_write_key, one_line, when, write_key},
    daemon::{App, Route},
    domain::{
        Act, ApiKey, Audited, Caller, Clients, Fault, Holds, Network, Period, Permission, Principal, Role,
    },
    protocol::{Endpoint, Verb},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// API keys: what a service or an agent proves itself by
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Make a key; it is shown this once
    Create(Create),
    /// List the keys in force
    #[command(visible_alias = "ls")]
    List {
        /// Those that expired, were replaced or revoked too
        #[arg(long)]
        all: bool,
    },
    /// Show all that is known of one key
    Show {
        #[arg(value_name = "KEY")]
        id: String,
    },
    /// Put another key in the place of one; both are good while they overlap
    Rotate {
        #[arg(value_name = "KEY")]
        id: String,
        /// How long the old one stays good; 0s ends it at once
        #[arg(long, value_name = "PERIOD", default_value = "1h")]
        overlap: Period,
        /// Write the new key to this file, readable by you alone, instead of to standard output
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
    },
    /// End a key, and the sessions that were opened with it, now
    Revoke {
        #[arg(value_name = "KEY")]
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(clap::Args, Debug)]
struct Create {
    /// service:NAME or agent:NAME
    #[arg(value_name = "PRINCIPAL")]
    principal: Principal,
    /// At agentd: viewer, operator, admin or service [default: service; an agent's is always agent]
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// In the applications, such as support or readonly
    #[arg(long, value_name = "NAME")]
    application_role: Option<String>,
    /// Whose data it may see: all, none, or names with commas between
    #[arg(long, value_name = "all|none|NAME,…", default_value = "none", value_parser = clients)]
    clients: Clients,
    /// Only from this network, such as 10.0.0.0/8; over the Unix socket, which has no addresses, it is then refused.
    /// Repeatable
    #[arg(long, value_name = "NETWORK")]
    from: Vec<Network>,
    /// When it ends: a date (its end, in UTC), a time from now, or never
    #[arg(long, value_name = "DATE|90d|never", default_value = "90d", value_parser = ends)]
    expires: Ends,
    /// Write the key to this file, readable by you alone, instead of to standard output
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Never,
    When(When),
}

fn ends(text: &str) -> Result<Ends, String> {
    if text == "never" { Ok(Ends::Never) } else { when(text).map(Ends::When) }
}

fn role(text: &str) -> Result<Role, String> {
    Role::ALL.iter().copied().find(|role| role.as_str() == text).ok_or_else(|| {
        let roles: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("one of {}", roles.join(", "))
    })
}

fn clients(text: &str) -> Result<Clients, String> {
    match text {
        "all" => Ok(Clients::All),
        "none" => Ok(Clients::None),
        names if names.split(',').all(|name| !name.trim().is_empty()) => {
            Ok(Clients::Only(names.split(',').map(|name| name.trim().to_owned()).collect()))
        }
        _ => Err("all, none, or names with commas between".into()),
    }
}

/// How a key stands, beside what it is.
#[derive(Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    key: ApiKey,
    holds: Holds,
}

/// The only reply that holds a key; it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Made {
    schema_version: u32,
    #[serde(flatten)]
    key: ApiKey,
    /// Shown this once.
    token: String,
    /// The key in whose place it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<ApiKey>,
}

struct KeyCreate;
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
    all: bool,
}

#[derive(Serialize, Deserialize)]
pub struct Keys {
    schema_version: u32,
    keys: Vec<Entry>,
}

struct KeyList;
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
    id: String,
}

#[derive(Serialize, Deserialize)]
pub struct One {
    schema_version: u32,
    #[serde(flatten)]
    entry: Entry,
}

struct KeyShow;
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
    id: String,
    overlap: Period,
}

struct KeyRotate;
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

struct KeyRevoke;
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

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Create(args) => create(args, ctl).await?,
        Action::List { all } => {
            let list = ctl.client.call::<KeyList>(&ListRequest { all }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.keys, all, wide))?;
        }
        Action::Show { id } => {
            let one = ctl.client.call::<KeyShow>(&OneRequest { id }).await?;
            ctl.output.print(&ctl.ui, &one, |_| described(&one.entry))?;
        }
        Action::Rotate { id, overlap, to } => {
            to.as_deref().map_or(Ok(()), may_write_key)?;
            let made = ctl.client.call::<KeyRotate>(&RotateRequest { id, overlap }).await?;
            if let Some(old) = &made.replaces {
                let until = old.expires_at.map_or_else(|| "now".into(), minute);
                ctl.ui.note(&one_line(&format!("key {} stays good until {until}", old.id)));
            }
            hand_out(ctl, made, to)?;
        }
        Action::Revoke { id, yes } => {
            confirm(&format!("end key {} and its sessions at once", one_line(&id)), yes)?;
            let one = ctl.client.call::<KeyRevoke>(&OneRequest { id }).await?;
            ctl.output.print(&ctl.ui, &one, |_| {
                let ApiKey { id, principal, .. } = &one.entry.key;
                format!("{}\n", one_line(&format!("key {id} of {principal} is revoked")))
            })?;
        }
    }
    Ok(Exit::Ok)
}

async fn create(args: Create, ctl: &Ctl) -> Result<(), CliError> {
    let Create { principal, role, application_role, clients, from, expires, to } = args;
    to.as_deref().map_or(Ok(()), may_write_key)?;
    let (expires_at, expires_in) = match expires {
        Ends::Never => (None, None),
        Ends::When(When::At(at)) => (Some(at), None),
        Ends::When(When::In(length)) => (None, Some(length)),
    };
    let request =
        KeyRequest { principal, role, application_role, clients, networks: from, expires_at, expires_in };
    hand_out(ctl, ctl.client.call::<KeyCreate>(&request).await?, to)
}

/// The key alone goes to standard output, so that `> file` keeps it; what it is goes beside it.
fn hand_out(ctl: &Ctl, mut made: Made, to: Option<PathBuf>) -> Result<(), CliError> {
    let ApiKey { id, principal, role, expires_at, networks, .. } = &made.key;
    let until =
        expires_at.map_or_else(|| "it never expires".into(), |end| format!("good until {}", minute(end)));
    ctl.ui.note(&one_line(&format!("key {id} of {principal} as {role}, {until}")));
    if !networks.is_empty() {
        ctl.ui.note("it is good from certain networks only, and so refused over the Unix socket");
    }
    if let Some(file) = to {
        write_key(&file, &SecretString::from(std::mem::take(&mut made.token)))?;
        ctl.ui.note(&format!("it is in {}; show it with --key-file", file.display()));
        let shown = One { schema_version: 1, entry: Entry { holds: Holds::InForce, key: made.key } };
        return ctl.output.print(&ctl.ui, &shown, |_| String::new());
    }
    ctl.ui.note("keep it now: it is shown this once");
    ctl.output.print(&ctl.ui, &made, |_| format!("{}\n", made.token))
}

fn table(ctl: &Ctl, keys: &[Entry], all: bool, wide: bool) -> String {
    if keys.is_empty() {
        return if all { "no key is kept\n" } else { "no key is in force\n" }.into();
    }
    let mut head = vec!["ID", "PRINCIPAL", "ROLE", "STANDING", "EXPIRES", "LAST USED"];
    head.extend(
        wide.then_some(["APPLICATION ROLE", "CLIENTS", "FROM", "CREATED", "BY"]).into_iter().flatten(),
    );
    let mut table = Table::new(&head).painted(3, &ctl.ui, |word| match word {
        "in force" => Some("32"),
        _ => Some("2"),
    });
    for Entry { key, holds } in keys {
        let mut row = vec![
            key.id.clone(),
            key.principal.to_string(),
            key.role.to_string(),
            standing(key, *holds),
            key.expires_at.map_or_else(|| "never".into(), minute),
            key.last_used_at.map_or_else(|| "never".into(), minute),
        ];
        if wide {
            row.extend([
                key.application_role.clone().unwrap_or_else(|| "none".into()),
                whose(&key.clients),
                places(&key.networks),
                minute(key.created_at),
                key.created_by.to_string(),
            ]);
        }
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn described(Entry { key, holds }: &Entry) -> String {
    let mut lines = vec![
        format!("key {} of {}: {}", key.id, key.principal, standing(key, *holds)),
        format!("role              {}", key.role),
        format!("application role  {}", key.application_role.as_deref().unwrap_or("none")),
        format!("clients           {}", whose(&key.clients)),
        format!("from              {}", places(&key.networks)),
        format!("created           {} by {}", minute(key.created_at), key.created_by),
        format!("expires           {}", key.expires_at.map_or_else(|| "never".into(), minute)),
        format!("last used         {}", key.last_used_at.map_or_else(|| "never".into(), minute)),
    ];
    lines.extend(key.revoked_at.map(|at| format!("revoked           {}", minute(at))));
    lines.extend(key.replaced_by.as_ref().map(|id| format!("replaced by       {id}")));
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

fn standing(key: &ApiKey, holds: Holds) -> String {
    match (holds, &key.replaced_by) {
        (Holds::InForce, Some(_)) => "overlapping".into(),
        (holds, _) => holds.as_str().into(),
    }
}

fn whose(clients: &Clients) -> String {
    match clients {
        Clients::All => "all".into(),
        Clients::None => "none".into(),
        Clients::Only(clients) => clients.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn places(networks: &[Network]) -> String {
    match networks {
        [] => "anywhere".into(),
        networks => networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", "),
    }
}

pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
