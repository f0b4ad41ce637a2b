//! Deploy a release: gate, off, switch, on, verified; back by itself if it does not come up.
use super::way::{Going, go};
use crate::{
    cli::{CliError, Ctl, Exit},
    daemon::Route,
    deploy::Wish,
    domain::{ReleaseId, WayKind},
};

/// Deploy a release over the one that runs, and go back by itself if it does not come up.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// As `agentctl release list` has it
    #[arg(value_name = "RELEASE")]
    release: ReleaseId,
    /// Why; the release and the audit trail keep it
    #[arg(long, value_name = "TEXT", default_value = "a deployment")]
    reason: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on although nothing has just proved that the fleet is ready; say why with --reason
    #[arg(long)]
    unproved: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub fn routes() -> Vec<Route> {
    super::way::routes()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let Args { release, reason, dry_run, unproved, detach, yes } = args;
    let wish = Wish { kind: WayKind::Deploy, to: Some(release), backup: None, unproved };
    go(ctl, Going { wish, reason, seen: None, dry_run, detach, yes }).await
}
