//! What a validation may be asked for.
use super::{
    baseline::{Named, named},
    deliver::Files,
    diff,
    which::Which,
};
use crate::domain::{FailOn, RunId};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// Prove that the fleet is ready: run every check, score it, and exit by the verdict.
///
/// Exit codes: 0 READY (or a partial run that holds), 1 NOT READY or a demand that is not met, 3 INCONCLUSIVE, 7 while
/// another runs, 130 interrupted. With --quiet nothing is said of a run that exits 0.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    #[command(flatten)]
    pub(super) which: Which,
    /// Exit 1 if the low end of the score is under N, 0 to 100
    #[arg(long, value_name = "N", value_parser = score)]
    pub(super) fail_under: Option<f64>,
    /// Exit 1 if a check that no waiver speaks for fails, fails or warns, newly does, or is worse than in the baseline
    #[arg(long, value_name = "WHICH", value_parser = fail_on())]
    pub(super) fail_on: Option<FailOn>,
    /// What to compare with: the last full run of this environment, a run's number, or a report in JSON
    #[arg(long, value_name = "last|RUN|FILE", value_parser = named)]
    pub(super) baseline: Option<Named>,
    /// On a private daemon in a temporary directory, gone afterwards; it has no runs and no waivers
    #[arg(long)]
    pub(super) ephemeral: bool,
    /// The manifest of the private daemon [default: as agentd finds its own]
    #[arg(long, value_name = "FILE", requires = "ephemeral")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) files: Files,
}

impl Args {
    /// What it answers with is a report, which has formats of its own.
    pub fn shows_report(&self) -> bool {
        matches!(self.action, None | Some(Action::Show { .. }))
    }
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
        #[command(flatten)]
        files: Files,
    },
    /// Show what changed from one report to another, check by check
    Diff(diff::Args),
}

fn score(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "no number from 0 to 100".into())
}

fn fail_on() -> impl TypedValueParser<Value = FailOn> {
    PossibleValuesParser::new(["fail", "warn", "new", "regressed"]).map(|word| match word.as_str() {
        "fail" => FailOn::Fail,
        "warn" => FailOn::Warn,
        "new" => FailOn::New,
        _ => FailOn::Regressed,
    })
}
