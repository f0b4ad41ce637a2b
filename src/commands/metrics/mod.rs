//! Metrics: what was measured, over time. Both ends.
mod serve;
mod show;

use crate::{
    cli::{CliError, Ctl, Exit},
    domain::{Labels, Period, Stat},
};
pub use serve::routes;
use serve::{List, ListRequest, Query, QueryRequest, Top, TopRequest};

/// What is measured every ten seconds: the daemon, its store, the agents and their probes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List what is measured, or the series of one name with their last hour
    #[command(visible_alias = "ls")]
    List {
        /// Every series of this one
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Show one over time
    Query {
        /// As `metrics list` has it, such as agent_memory_bytes
        #[arg(value_name = "NAME")]
        name: String,
        /// Only series with this label, such as agent=orders; again for another
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// How far back
        #[arg(long, value_name = "PERIOD", default_value = "1h")]
        since: Period,
        /// How long ago it ends [default: now]
        #[arg(long, value_name = "PERIOD")]
        until: Option<Period>,
        /// How long each step is; a multiple of 10s [default: as fine as can be seen]
        #[arg(long, value_name = "PERIOD")]
        step: Option<Period>,
        /// avg, min, max or last of a gauge; rate or sum of a counter; p50, p95 or p99 of a histogram
        #[arg(long, value_name = "STAT")]
        stat: Option<Stat>,
    },
    /// Show what each agent used of processor and memory
    Top {
        /// How far back
        #[arg(long, value_name = "PERIOD", default_value = "1h")]
        since: Period,
        /// How long ago it ends [default: now]
        #[arg(long, value_name = "PERIOD")]
        until: Option<Period>,
        /// The most of this first
        #[arg(long, value_enum, default_value_t)]
        sort: Sort,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    #[default]
    Cpu,
    Memory,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it like agent=orders".into()),
    }
}

/// What `list` shows of a series.
const RECENT: Period = Period::secs(3600);
const RECENT_STEP: Period = Period::secs(300);

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List { name: None } => {
            let list = ctl.client.call::<List>(&ListRequest {}).await?;
            ctl.output.print(&ctl.ui, &list, |wide| show::list(ctl, &list, wide))?;
        }
        Action::List { name: Some(name) } => {
            let request = QueryRequest {
                name,
                labels: String::new(),
                since: Some(RECENT),
                until: None,
                step: Some(RECENT_STEP),
                stat: None,
            };
            let answer = ctl.client.call::<Query>(&request).await?;
            ctl.output.print(&ctl.ui, &answer, |wide| show::series(ctl, &answer, wide))?;
        }
        Action::Query { name, labels, since, until, step, stat } => {
            let labels = Labels(labels.into_iter().collect()).to_string();
            let request = QueryRequest { name, labels, since: Some(since), until, step, stat };
            let answer = ctl.client.call::<Query>(&request).await?;
            ctl.output.print(&ctl.ui, &answer, |wide| show::query(ctl, &answer, wide))?;
        }
        Action::Top { since, until, sort, limit } => {
            let mut top = ctl.client.call::<Top>(&TopRequest { since: Some(since), until }).await?;
            if sort == Sort::Memory {
                let memory = |used: &crate::metrics::Used| used.memory_bytes.unwrap_or(-1.0);
                top.agents.sort_by(|a, b| memory(b).total_cmp(&memory(a)));
            }
            let left_out = top.agents.len().saturating_sub(limit);
            top.agents.truncate(limit);
            ctl.output.print(&ctl.ui, &top, |wide| show::top(ctl, &top, left_out, wide))?;
        }
    }
    Ok(Exit::Ok)
}
