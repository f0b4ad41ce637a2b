//! What the checks are and why, our own and those of the manifest: answered by agentctl itself, with no daemon.
use crate::{
    cli::{CliError, Ctl, Exit, render},
    config::{CheckSettings, Sources, load},
    daemon::{Route, kinds},
    domain::{Fault, FaultKind, Severity},
    readiness::{CheckInfo, Readiness},
};
use serde::Serialize;
use std::path::PathBuf;

/// List the checks behind `validate`, or explain one.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// The manifest whose checks are shown too [default: $AGENTD_CONFIG, ./agentd.toml, then the user's or the machine's]
    #[arg(long, value_name = "PATH", global = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List every check by category
    List,
    /// Explain a check: why it matters, how it is measured, what to do when it fails
    Explain {
        /// As the report names it, such as DB-001
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Serialize)]
struct Listed {
    schema_version: u32,
    checks: Vec<CheckInfo>,
}

#[derive(Serialize)]
struct Explained {
    schema_version: u32,
    #[serde(flatten)]
    check: CheckInfo,
}

pub fn routes() -> Vec<Route> {
    vec![]
}

#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let declared = declared(args.config, ctl)?;
    match args.action {
        Action::List => {
            let listed = Listed { schema_version: 1, checks: Readiness::checks_with(&declared) };
            ctl.output.print(&ctl.ui, &listed, |wide| {
                let rows = listed.checks.iter().map(|c| render::CheckRow {
                    id: &c.id,
                    category: c.category,
                    severity: c.severity,
                    weight: c.weight,
                    title: &c.title,
                    how: &c.how,
                });
                render::checks(&ctl.ui, rows, wide)
            })?;
        }
        Action::Explain { id } => {
            let check = Readiness::explain(&declared, &id)?;
            let explained = Explained { schema_version: 1, check };
            let CheckInfo { id, title, category, why, how, fix, weight, .. } = &explained.check;
            let gate = match &explained.check {
                check if check.exercised => "a gate: exercised, its negative case included",
                check if check.declared && check.severity == Severity::Blocker => {
                    "a gate: declared in the manifest"
                }
                check if check.declared => "declared in the manifest, no gate",
                _ => "no gate",
            };
            ctl.output.print(&ctl.ui, &explained, |_| {
                let head = ctl.ui.paint("1", &format!("{id}  {title}"));
                format!(
                    "{head}\n{category}, weight {weight}, {gate}\n\nWhy    {why}\nHow    {how}\nFix    {fix}\n"
                )
            })?;
        }
    }
    Ok(Exit::Ok)
}

/// What the manifest declares. One that was named must hold; one that was only found is left out with a word.
fn declared(named: Option<PathBuf>, ctl: &Ctl) -> Result<Vec<CheckSettings>, CliError> {
    let asked = named.is_some();
    match load(&Sources::from_process(named, None), &kinds()) {
        Ok(loaded) => Ok(loaded.settings.checks.clone()),
        Err(problems) if asked => Err(Fault::new(FaultKind::Config, problems.to_string())
            .hint("`agentctl config check` says what is wrong with it")
            .into()),
        Err(_) => {
            ctl.ui.note("the manifest does not hold, so its checks are not shown: `agentctl config check`");
            Ok(Vec::new())
        }
    }
}
