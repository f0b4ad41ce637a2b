//! The way back: off at once, to the release that was good before, or to a backup of the database. Planned, begun, looked at.
mod rehearse;
mod status;
mod triggers;
mod triggers_show;

use super::way::{Going, exit_of_plan, go, show_plan};
use crate::{
    cli::{CliError, Ctl, Exit, render},
    daemon::{App, Route},
    deploy::Wish,
    domain::{Audited, BackupId, Caller, Digest, Fault, OperationSummary, Permission, ReleaseId, WayKind},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

/// The way back: off at once, to the release that was good before, or to a backup of the database.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Say what would be done, what it took before and what would be lost; do nothing
    Plan {
        #[command(flatten)]
        to: Target,
    },
    /// Do it
    Run {
        #[command(flatten)]
        to: Target,
        /// Why; the release and the audit trail keep it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Of the plan that was looked at: any other is refused
        #[arg(long, value_name = "DIGEST")]
        plan: Option<Digest>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Start the release on a copy of today's database, beside the fleet, and see whether it comes up
    Rehearse(rehearse::Args),
    /// What came of rehearsals, the newest first
    Rehearsals {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Deployments and rollbacks, the newest first
    #[command(visible_alias = "ls")]
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// What runs, what it would go back to, what is under way, and what acts by itself
    Status,
    /// What acts by itself: pauses deployments, or rolls back
    Triggers(triggers::Args),
}

#[derive(clap::Args, Debug)]
struct Target {
    /// immediate: the fleet is off, and stays so; full: it runs the release that was stable before; database: what agentd
    /// and the applications keep is put back to a backup
    #[arg(long, value_name = "MODE", default_value = "full")]
    mode: WayKind,
    /// Another release than the one that was stable before
    #[arg(long, value_name = "RELEASE")]
    to: Option<ReleaseId>,
    /// With --mode database: the backup; none is ever chosen for you
    #[arg(long, value_name = "BACKUP")]
    backup: Option<BackupId>,
}

impl Target {
    fn wish(self) -> Result<Wish, CliError> {
        if self.mode == WayKind::Immediate && self.to.is_some() {
            let message = "cannot go to a release by switching the fleet off";
            return Err(Fault::usage(message).hint("leave out --to, or say --mode full").into());
        }
        if self.mode == WayKind::Database && self.to.is_some() {
            let message = "cannot go to a release by putting the database back: the one that runs goes on";
            return Err(Fault::usage(message)
                .hint("leave out --to; --mode full returns to a release")
                .into());
        }
        if self.mode != WayKind::Database && self.backup.is_some() {
            let message = format!("cannot put a backup back in mode {}", self.mode);
            return Err(Fault::usage(message).hint("say --mode database, or leave out --backup").into());
        }
        Ok(Wish { kind: self.mode, to: self.to, backup: self.backup, unproved: false })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Past {
    pub schema_version: u32,
    pub operations: Vec<OperationSummary>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "ways/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Past;
}

pub fn routes() -> Vec<Route> {
    let mut routes = vec![Route::to::<List, _, _>(handle_list)];
    routes.extend(status::routes());
    routes.extend(triggers::routes());
    routes.extend(rehearse::routes());
    routes
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Past, Fault> {
    Ok(Past { schema_version: 1, operations: app.ways.past(request.limit.min(1000)) })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Plan { to } => Ok(exit_of_plan(&show_plan(ctl, &to.wish()?).await?)),
        Action::Run { to, reason, plan, dry_run, detach, yes } => {
            go(ctl, Going { wish: to.wish()?, reason, seen: plan, dry_run, detach, yes }).await
        }
        Action::Status => status::run(ctl).await,
        Action::Triggers(args) => triggers::run(args, ctl).await,
        Action::Rehearse(args) => rehearse::run(args, ctl).await,
        Action::Rehearsals { limit } => rehearse::list(limit, ctl).await,
        Action::List { limit } => {
            let past = ctl.client.call::<List>(&ListRequest { limit }).await?;
            ctl.output.print(&ctl.ui, &past, |wide| render::operations(&ctl.ui, &past.operations, wide))?;
            Ok(Exit::Ok)
        }
    }
}
