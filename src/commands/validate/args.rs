//! What a validation may be asked for.
use crate::domain::RunId;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Prove that the fleet is ready: run every check, score it, and exit by the verdict.
///
/// Exit codes: 0 READY (or a partial run that holds), 1 NOT READY, 3 INCONCLUSIVE.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    /// Run only these checks or categories; the answer is then for them alone
    #[arg(long, value_name = "ID|CATEGORY", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// Leave these checks or categories out; the run is then partial
    #[arg(long, value_name = "ID|CATEGORY", value_delimiter = ',')]
    pub(super) skip: Vec<String>,
    /// Judge as on that day, so that what lapses until then has lapsed: 2027-01-31 or a full timestamp
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub(super) as_of: Option<Timestamp>,
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum Action {
    /// List past runs, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Show the report of a run; without a number, of the last one
    Show {
        #[arg(value_name = "RUN")]
        run: Option<RunId>,
    },
}

/// A date is its end: what lapses on that day has lapsed.
fn day(text: &str) -> Result<Timestamp, String> {
    let whole = text.parse::<Date>().ok().and_then(|date| date.tomorrow().ok());
    match whole.and_then(|next| next.to_zoned(TimeZone::UTC).ok()) {
        Some(next) => Ok(next.timestamp()),
        None => text.parse().map_err(|_| "neither a date like 2027-01-31 nor a timestamp".into()),
    }
}
