//! Roles, at agentd itself and in the applications: what each may do. Answered by agentctl, with no daemon.
use crate::{
    auth::{ApplicationRole, Roles},
    cli::{CliError, Ctl, Exit, Table},
    config::{Settings, Sources, load},
    daemon::{Route, kinds},
    domain::{ApplicationPermission, Fault, FaultKind, Permission, Role, nearest},
};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// The manifest whose roles are shown too [default: $AGENTD_CONFIG, ./agentd.toml, then the user's or the machine's]
    #[arg(long, value_name = "PATH", global = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List the roles at agentd and those in the applications
    #[command(visible_alias = "ls")]
    List,
    /// Explain a role: each permission, whether it has it, and what it means
    Explain {
        /// Such as operator, conversation, or a [[role]] of the manifest
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Where a role counts.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Realm {
    Agentd,
    Applications,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    realm: Realm,
    /// Of the manifest, not shipped.
    custom: bool,
    description: String,
    /// How many it has, and every one there is.
    granted: usize,
    permissions: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    permission: &'static str,
    granted: bool,
    means: &'static str,
}

#[derive(Serialize)]
struct Listed {
    schema_version: u32,
    roles: Vec<Shown>,
}

#[derive(Serialize)]
struct Explained {
    schema_version: u32,
    #[serde(flatten)]
    role: Shown,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let roles = Roles::of(&*settings(args.config, ctl)?);
    let roles: Vec<Shown> = Role::ALL.iter().map(Shown::from).chain(roles.all().map(Shown::from)).collect();
    match args.action {
        Action::List => {
            let listed = Listed { schema_version: 1, roles };
            ctl.output.print(&ctl.ui, &listed, |wide| list(ctl, &listed.roles, wide))?;
        }
        Action::Explain { name } => {
            let names: Vec<String> = roles.iter().map(|role| role.name.clone()).collect();
            let Some(role) = roles.into_iter().find(|role| role.name == name) else {
                return Err(unknown(&name, &names).into());
            };
            let explained = Explained { schema_version: 1, role };
            ctl.output.print(&ctl.ui, &explained, |_| explain(ctl, &explained.role))?;
        }
    }
    Ok(Exit::Ok)
}

/// Of the manifest. One that was named must hold; one that was only found is left out with a word.
fn settings(named: Option<PathBuf>, ctl: &Ctl) -> Result<Arc<Settings>, CliError> {
    let asked = named.is_some();
    match load(&Sources::from_process(named, None), &kinds()) {
        Ok(loaded) => Ok(loaded.settings),
        Err(problems) if asked => Err(Fault::new(FaultKind::Config, problems.to_string())
            .hint("`agentctl config check` says what is wrong with it")
            .into()),
        Err(_) => {
            ctl.ui.note("the manifest does not hold, so its roles are not shown: `agentctl config check`");
            Ok(Arc::default())
        }
    }
}

fn unknown(name: &str, names: &[String]) -> Fault {
    let shown: String = name.chars().take(60).collect::<String>().escape_debug().collect();
    let fault = Fault::not_found(format!("cannot find a role called `{shown}`"));
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("`agentctl auth role list` shows every role"),
    }
}

impl Realm {
    fn as_str(self) -> &'static str {
        match self {
            Self::Agentd => "agentd",
            Self::Applications => "applications",
        }
    }
}

impl From<&Role> for Shown {
    fn from(role: &Role) -> Self {
        let lines = Permission::ALL.iter().map(|one| Line {
            permission: one.as_str(),
            granted: role.may(*one),
            means: one.about(),
        });
        Self::with(role.to_string(), Realm::Agentd, false, role.about().into(), lines.collect())
    }
}

impl From<&ApplicationRole> for Shown {
    fn from(role: &ApplicationRole) -> Self {
        let lines = ApplicationPermission::ALL.iter().map(|one| Line {
            permission: one.as_str(),
            granted: role.permissions.contains(one),
            means: one.about(),
        });
        let name = role.name.clone();
        Self::with(name, Realm::Applications, role.custom, role.about.clone(), lines.collect())
    }
}

impl Shown {
    fn with(name: String, realm: Realm, custom: bool, description: String, permissions: Vec<Line>) -> Self {
        let granted = permissions.iter().filter(|line| line.granted).count();
        Self { name, realm, custom, description, granted, permissions }
    }
}

fn list(ctl: &Ctl, roles: &[Shown], wide: bool) -> String {
    let mut table = Table::new(&["ROLE", "AT", "MAY", if wide { "PERMISSIONS" } else { "WHAT FOR" }]);
    for role in roles {
        let at = if role.custom { "applications, of the file" } else { role.realm.as_str() };
        let last = if wide {
            let granted = role.permissions.iter().filter(|line| line.granted);
            granted.map(|line| line.permission).collect::<Vec<_>>().join(" ")
        } else {
            role.description.clone()
        };
        let may = format!("{} of {}", role.granted, role.permissions.len());
        table.row([role.name.clone(), at.into(), may, last]);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn explain(ctl: &Ctl, role: &Shown) -> String {
    let of = if role.custom { ", a role of the file" } else { "" };
    let at = match role.realm {
        Realm::Agentd => "at agentd itself",
        Realm::Applications => "in the applications",
    };
    let head = ctl.ui.paint("1", &role.name);
    let mut table = Table::new(&["PERMISSION", "MAY", "MEANS"]).painted(1, &ctl.ui, |word| match word {
        "yes" => Some("32"),
        _ => Some("2"),
    });
    for line in &role.permissions {
        table.row([line.permission, if line.granted { "yes" } else { "no" }, line.means]);
    }
    let about = crate::cli::one_line(&role.description);
    format!("{head}  {about}\n{at}{of}\n\n{}", table.render(None))
}
