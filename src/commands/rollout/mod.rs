//! Rollouts: one more copy of an agent runs another release beside what is stable, is compared, promoted or ended.
//! Both ends.
mod serve;
mod show;

use super::way::{Plan, PlanRequest, follow_way, planned};
use crate::{
    cli::{CliError, Ctl, Exit, confirm},
    daemon::Route,
    domain::{AgentName, Fault, FaultKind, ReleaseId, RolloutState, Share, WayKind, Worth},
};
use serve::{
    Abort, AgentRequest, EndRequest, List, ListRequest, One, Promote, PromoteRequest, Show, Start,
    StartRequest,
};

/// Try a release with one more copy of an agent, beside what is stable, before the fleet is brought to it.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Start a candidate of the agent from a release; both are asked the same probes from then on
    Start {
        #[arg(value_name = "AGENT")]
        agent: AgentName,
        /// Whose artifact and configuration it runs
        #[arg(long, value_name = "RELEASE")]
        to: ReleaseId,
        /// Why; the rollout and the audit trail keep it
        #[arg(long, value_name = "TEXT", default_value = "a rollout")]
        reason: String,
        /// Give it so much of the agent's tasks: 10, 50 or 100; refused while nothing gives tasks
        #[arg(long, value_name = "PERCENT")]
        share: Option<Share>,
    },
    /// Compare the two; exits 0 if the candidate is the same or better, 1 if it is worse, 3 if too little was seen
    Show {
        #[arg(value_name = "AGENT")]
        agent: AgentName,
    },
    /// Rollouts, the newest first
    #[command(visible_alias = "ls")]
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// End the candidate and deploy its release to the whole fleet; refused while it is not the same or better
    Promote {
        #[arg(value_name = "AGENT")]
        agent: AgentName,
        /// Why; the release and the audit trail keep it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Go on although the comparison or the validation does not say so
        #[arg(long, requires = "reason")]
        unproved: bool,
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
    /// End the candidate; what is stable is not touched
    Abort {
        #[arg(value_name = "AGENT")]
        agent: AgentName,
        /// Why; the rollout and the audit trail keep it
        #[arg(long, value_name = "TEXT", default_value = "by hand")]
        reason: String,
    },
}

pub fn routes() -> Vec<Route> {
    serve::routes()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Start { agent, to, reason, share } => {
            let one = ctl.client.call::<Start>(&StartRequest { agent, to, reason, share }).await?;
            ctl.output.print(&ctl.ui, &one, |_| show::begun(&one.shown))?;
            Ok(Exit::Ok)
        }
        Action::Show { agent } => {
            let one = ctl.client.call::<Show>(&AgentRequest { agent }).await?;
            ctl.output.print(&ctl.ui, &one, |_| show::page(&ctl.ui, &one.shown))?;
            Ok(exit(&one))
        }
        Action::List { limit } => {
            let list = ctl.client.call::<List>(&ListRequest { limit }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| show::table(ctl, &list.rollouts, wide))?;
            Ok(Exit::Ok)
        }
        Action::Promote { agent, reason, unproved, dry_run, detach, yes } => {
            let one = ctl.client.call::<Show>(&AgentRequest { agent: agent.clone() }).await?;
            let to = Some(one.shown.rollout.release);
            let plan = ctl
                .client
                .call::<Plan>(&PlanRequest { kind: WayKind::Deploy, to, backup: None, unproved })
                .await?;
            if dry_run {
                ctl.output.print(&ctl.ui, &plan, |_| planned(&plan))?;
                return Ok(super::way::exit_of_plan(&plan));
            }
            ctl.ui.note(planned(&plan).trim_end());
            if !plan.against.is_empty() {
                let message = format!("cannot promote it: {}", plan.against.join("; "));
                return Err(Fault::new(FaultKind::Refused, message)
                    .hint("nothing was changed; the candidate still runs")
                    .into());
            }
            let steps = plan.steps.len();
            confirm(&format!("end the candidate and do that to the whole fleet ({steps} steps)"), yes)?;
            let reason = reason.unwrap_or_else(|| format!("a rollout of {agent}"));
            let request = PromoteRequest { agent, plan: plan.digest, unproved, reason };
            let begun = ctl.client.call::<Promote>(&request).await?;
            if detach {
                ctl.output.print(&ctl.ui, &begun, |_| format!("{} is under way\n", begun.operation))?;
                return Ok(Exit::Ok);
            }
            follow_way(ctl, begun.operation).await
        }
        Action::Abort { agent, reason } => {
            let one = ctl.client.call::<Abort>(&EndRequest { agent, reason }).await?;
            ctl.output.print(&ctl.ui, &one, |_| show::ended(&one.shown))?;
            Ok(Exit::Ok)
        }
    }
}

fn exit(one: &One) -> Exit {
    let rollout = &one.shown.rollout;
    match (rollout.state, rollout.comparison.as_ref().map(|seen| seen.worth)) {
        (RolloutState::Promoted, _) | (RolloutState::Trying, Some(Worth::Same | Worth::Better)) => Exit::Ok,
        (RolloutState::Promoting, _) => Exit::Pending,
        (RolloutState::Trying, Some(Worth::Unmeasured) | None) => Exit::Inconclusive,
        (RolloutState::Trying, Some(Worth::Worse)) | (RolloutState::Aborted | RolloutState::Failed, _) => {
            Exit::Negative
        }
    }
}
