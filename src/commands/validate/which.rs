//! What of a run may be chosen, whatever it runs: checks, or items of the checklist.
use crate::cli::day;
use jiff::Timestamp;

#[derive(clap::Args, Debug)]
pub struct Which {
    /// Ask only these, or what is of these categories; the answer is then for them alone
    #[arg(long, value_name = "ID|CATEGORY", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Leave these, or what is of these categories, out; the run is then partial
    #[arg(long, value_name = "ID|CATEGORY", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Judge as on that day, so that what lapses until then has lapsed: 2027-01-31 or a full timestamp
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub as_of: Option<Timestamp>,
    /// The environment that this is believed to be; refused if the daemon runs another
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
}
