//! What the checks are and why: answered by agentctl itself, with no daemon.
use crate::{
    cli::{CliError, Ctl, Exit, render},
    daemon::Route,
    readiness::{CheckInfo, Readiness},
};
use serde::Serialize;

/// List the checks behind `validate`, or explain one.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
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
    match args.action {
        Action::List => {
            let listed = Listed { schema_version: 1, checks: Readiness::checks() };
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
            let check = Readiness::explain(&id)?;
            let explained = Explained { schema_version: 1, check };
            let CheckInfo { id, title, category, why, how, fix, weight, .. } = &explained.check;
            let gate = if explained.check.exercised {
                "a gate: exercised, its negative case included"
            } else {
                "no gate"
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
