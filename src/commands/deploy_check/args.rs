//! What may be asked about a deployment.
use super::attest;
use crate::{
    cli::day,
    commands::validate::Files,
    domain::{Phase, RunId},
};
use jiff::Timestamp;

/// Run the checklist of a deployment item by item: go or no-go, with reasons.
///
/// Items are [[checklist.item]] in agentd.toml. What is measured is measured here and now; what no machine can check needs
/// the word of a person, which expires (`deploy-check attest`). A required item that is unmeasured is never a go.
///
/// Exit codes: 0 GO (or a partial run that holds), 1 NO-GO, 3 INCONCLUSIVE, 7 while a validation or another check runs, 130
/// interrupted. With --quiet nothing is said of a run that exits 0.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    /// Which items: `pre` before a deployment, `post` in the half hour after it
    #[arg(long, value_name = "PHASE", default_value = "pre", value_parser = phase)]
    pub(super) phase: Phase,
    /// The environment that this is believed to be; refused if the daemon runs another
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Option<String>,
    /// What is to be deployed; attestations that were given for another release do not count
    #[arg(long, value_name = "RELEASE")]
    pub(super) release: Option<String>,
    /// Ask only these items or groups; the answer is then for them alone
    #[arg(long, value_name = "ID|GROUP", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// Leave these items or groups out; the run is then partial
    #[arg(long, value_name = "ID|GROUP", value_delimiter = ',')]
    pub(super) skip: Vec<String>,
    /// Judge as on that day, so that what lapses until then has lapsed: 2027-01-31 or a full timestamp
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub(super) as_of: Option<Timestamp>,
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
    /// List the items of the checklist: when they are asked, and who sees to them
    Items,
    /// List past runs of the checklist, newest first
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
    /// Answer for an item that no machine can check, until it expires; list and revoke what was answered for
    Attest(attest::Args),
}

fn phase(text: &str) -> Result<Phase, String> {
    match text {
        "pre" => Ok(Phase::Pre),
        "post" => Ok(Phase::Post),
        "short" | "extended" => {
            Err("it is judged by recorded metrics over hours, and agentd records none yet; \
             there are pre and post"
                .into())
        }
        _ => Err("there are pre and post".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_cannot_be_judged_is_refused_with_the_reason() {
        assert_eq!((phase("pre"), phase("post")), (Ok(Phase::Pre), Ok(Phase::Post)));
        for soak in ["short", "extended"] {
            assert!(phase(soak).is_err_and(|why| why.contains("recorded metrics")), "{soak}");
        }
        assert!(phase("Pre").is_err());
    }
}
