//! What may be asked about a deployment.
use super::attest;
use crate::{
    commands::validate::{Files, Which},
    domain::{Period, Phase, RunId},
};
use jiff::{SignedDuration, Timestamp};

/// Run the checklist of a deployment item by item: go or no-go, with reasons.
///
/// Items are [[checklist.item]] in agentd.toml. What is measured is measured here and now; what no machine can check needs
/// the word of a person, which expires (`deploy-check attest`). The phases short and extended are judged by what was
/// recorded since the release went on trial, and say nothing before that is long enough. A required item that is
/// unmeasured is never a go.
///
/// Exit codes: 0 GO (or a partial run that holds), 1 NO-GO, 3 INCONCLUSIVE, 7 while a validation or another check runs, 8
/// when --wait took too long, 130 interrupted. With --quiet nothing is said of a run that exits 0.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    /// Which items: `pre` before a deployment, `post` in the half hour after it, `short` over its first hours, `extended`
    /// over its first days
    #[arg(long, value_name = "PHASE", default_value = "pre", value_parser = phase)]
    pub(super) phase: Phase,
    /// What is to be deployed, or was; attestations that were given for another release do not count [default of a soak: the
    /// release on trial]
    #[arg(long, value_name = "RELEASE")]
    pub(super) release: Option<String>,
    /// Judge a soak from then on, and not from when its release went on trial: 2h, or 2027-01-31T15:00Z
    #[arg(long, value_name = "PERIOD|TIME", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// Wait until the window of a soak is long enough, also while agentd restarts, and judge then; --timeout bounds it
    #[arg(long)]
    pub(super) wait: bool,
    #[command(flatten)]
    pub(super) which: Which,
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
    #[command(visible_alias = "history")]
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
        /// Only of this phase
        #[arg(long, value_name = "PHASE", value_parser = phase)]
        phase: Option<Phase>,
    },
    /// Show the report of a run; without a number, of the last one
    Show {
        #[arg(value_name = "RUN")]
        run: Option<RunId>,
        /// The last of this phase
        #[arg(long, value_name = "PHASE", value_parser = phase, conflicts_with = "run")]
        phase: Option<Phase>,
        #[command(flatten)]
        files: Files,
    },
    /// Answer for an item that no machine can check, until it expires; list and revoke what was answered for
    Attest(attest::Args),
}

fn phase(text: &str) -> Result<Phase, String> {
    let all = [Phase::Pre, Phase::Post, Phase::Short, Phase::Extended];
    all.into_iter()
        .find(|phase| phase.as_str() == text)
        .ok_or_else(|| "there are pre, post, short and extended".into())
}

/// Fixed here: whoever waits must not see the beginning move along.
fn since(text: &str) -> Result<Timestamp, String> {
    let Ok(period) = text.parse::<Period>() else {
        return text.parse().map_err(|_| "neither a time like 2h nor a moment like 2027-01-31T15:00Z".into());
    };
    let back = SignedDuration::try_from(period.0).map_err(|_| "longer than time itself".to_owned())?;
    Timestamp::now().checked_sub(back).map_err(|_| "longer than time itself".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_one_of_four_and_a_beginning_is_a_time_or_a_moment() {
        assert_eq!((phase("pre"), phase("extended")), (Ok(Phase::Pre), Ok(Phase::Extended)));
        assert!(phase("Pre").is_err_and(|why| why.contains("short")) && phase("").is_err());
        let moment = Timestamp::from_second(1_700_000_000).expect("a time");
        assert_eq!(since("2023-11-14T22:13:20Z"), Ok(moment));
        let ago = Timestamp::now().duration_since(since("2h").expect("a period"));
        assert!((7190..7260).contains(&ago.as_secs()), "{ago}");
        for wrong in ["", "soon", "-2h", "2027-02-30T00:00Z", "2", "99999999999999h"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
