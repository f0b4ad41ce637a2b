//! API keys: create, list, show, rotate, revoke. Both ends.
mod serve;
mod show;

use crate::{
    auth::KeyRequest,
    cli::{CliError, Ctl, Exit, When, confirm, may_write_key, one_line, when, write_key},
    domain::{ApiKey, Clients, Holds, Network, Period, Principal, Role},
};
use secrecy::SecretString;
use serve::{
    Entry, KeyCreate, KeyList, KeyRevoke, KeyRotate, KeyShow, ListRequest, Made, One, OneRequest,
    RotateRequest,
};
use show::{described, table};
use std::path::PathBuf;

pub use serve::routes;
pub use show::minute;

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
