//! Errors: what fails, how often, since when, and who sees to it. Both ends.
mod serve;
mod show;

use crate::{
    cli::{CliError, Ctl, Exit, When, when},
    domain::{ErrorState, Fault, FaultCategory, FaultSeverity, PatternBy, Period},
};
pub use serve::routes;
use serve::{
    Assign, AssignRequest, Ignore, IgnoreRequest, List, ListRequest, Patterns, PatternsRequest, Reopen,
    ReopenRequest, Resolve, ResolveRequest, Show, ShowRequest,
};

/// What fails, grouped: list it, look into it, resolve or ignore it, and see it come back.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List error groups that are open or came back, last seen first
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        which: Which,
        /// Resolved and ignored ones, and those of low severity too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
    },
    /// Show one group with its newest occurrences
    Show {
        #[arg(value_name = "ERROR")]
        id: u64,
    },
    /// Say that it is mended; if it comes back, it has regressed
    Resolve {
        #[arg(value_name = "ERROR", required = true)]
        ids: Vec<u64>,
        /// What was done about it
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Go on counting it, and alarm nobody, until then
    Ignore {
        #[arg(value_name = "ERROR", required = true)]
        ids: Vec<u64>,
        /// A date (its end, in UTC) or a time from now; without it and --count, until it is reopened
        #[arg(long, value_name = "DATE|14d", value_parser = when)]
        until: Option<When>,
        /// Until so many more have come
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Give it to somebody
    Assign {
        #[arg(value_name = "ERROR", required = true)]
        ids: Vec<u64>,
        /// Who; best a key of [contacts]
        #[arg(long, value_name = "NAME", required_unless_present = "nobody", conflicts_with = "nobody")]
        to: Option<String>,
        /// Take it back
        #[arg(long)]
        nobody: bool,
    },
    /// Open one again that was resolved or ignored
    Reopen {
        #[arg(value_name = "ERROR", required = true)]
        ids: Vec<u64>,
    },
    /// Count failures by what they have in common, against as long a time before
    Patterns {
        /// category, operation or agent
        #[arg(long, value_name = "WHAT", default_value = "category", value_parser = pattern_by)]
        by: PatternBy,
        /// How far back; whole hours
        #[arg(long, value_name = "PERIOD", default_value = "24h")]
        since: Period,
    },
}

#[derive(clap::Args, Debug)]
struct Which {
    /// Seen in this time
    #[arg(long, value_name = "PERIOD")]
    since: Option<Period>,
    /// database, api, validation, authentication, authorization, rate-limit, timeout, network, external-service, …
    #[arg(long, value_name = "CATEGORY")]
    category: Option<FaultCategory>,
    /// Such as agents/stop or probe; `agent` is agent.start, agent.crash and so on
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// open, resolved, ignored or regressed
    #[arg(long, value_name = "STATE")]
    state: Option<ErrorState>,
    /// At least: low, medium, high or critical [default: medium]
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<FaultSeverity>,
}

fn pattern_by(text: &str) -> Result<PatternBy, String> {
    match text {
        "category" => Ok(PatternBy::Category),
        "operation" => Ok(PatternBy::Operation),
        "agent" => Ok(PatternBy::Agent),
        _ => Err("not one of category, operation, agent".into()),
    }
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List { which, all, limit } => list(which, all, limit, ctl).await?,
        Action::Show { id } => {
            let shown = ctl.client.call::<Show>(&ShowRequest { id }).await?;
            ctl.output.print(&ctl.ui, &shown, |wide| show::group(ctl, &shown, wide))?;
        }
        Action::Patterns { by, since } => {
            let request = PatternsRequest { by: Some(by), since: Some(since) };
            let counted = ctl.client.call::<Patterns>(&request).await?;
            ctl.output.print(&ctl.ui, &counted, |wide| show::patterns(ctl, &counted, wide))?;
        }
        Action::Resolve { ids, note } => {
            let ask = async |id| ctl.client.call::<Resolve>(&ResolveRequest { id, note: note.clone() }).await;
            for id in ids {
                show::changed(ctl, &ask(id).await?)?;
            }
        }
        Action::Ignore { ids, until, count, note } => {
            let (until, period) = match until {
                None => (None, None),
                Some(When::At(at)) => (Some(at), None),
                Some(When::In(period)) => (None, Some(period)),
            };
            for id in ids {
                let request = IgnoreRequest { id, until, period, count, note: note.clone() };
                show::changed(ctl, &ctl.client.call::<Ignore>(&request).await?)?;
            }
        }
        Action::Assign { ids, to, nobody: _ } => {
            for id in ids {
                let request = AssignRequest { id, to: to.clone() };
                show::changed(ctl, &ctl.client.call::<Assign>(&request).await?)?;
            }
        }
        Action::Reopen { ids } => {
            for id in ids {
                show::changed(ctl, &ctl.client.call::<Reopen>(&ReopenRequest { id }).await?)?;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn list(which: Which, all: bool, limit: u32, ctl: &Ctl) -> Result<(), CliError> {
    if limit == 0 {
        return Err(Fault::usage("cannot list nothing: --limit is 1 or more").into());
    }
    // What callers did wrong is nobody's alarm; asked for by name, it is shown.
    let hides_low = which.severity.is_none() && !all;
    let request = ListRequest {
        within: which.since,
        limit,
        category: which.category,
        operation: which.operation,
        agent: which.agent,
        state: which.state,
        severity: which.severity.or(hides_low.then_some(FaultSeverity::Medium)),
        all,
    };
    let list = ctl.client.call::<List>(&request).await?;
    ctl.output.print(&ctl.ui, &list, |wide| show::list(ctl, &list, hides_low, wide))
}
