//! Does a report say of itself what its findings amount to? Without a daemon, and of a file that anybody wrote.
use super::read::{named, text};
use crate::{
    cli::{CliError, Ctl, Exit, Table, one_line},
    domain::{Fault, Interval, RunId, Verdict},
    readiness::{Claim, Disagreement, claim, parse, verify},
};
use serde::Serialize;
use std::path::PathBuf;

/// What is longer is a sentence, and has lines of its own.
const FIGURE: usize = 32;

/// Compute every number of a report again and say where it disagrees
///
/// Takes a report in JSON, or a bare table in CSV: `category,score,weight` a line, and one `claimed,89.8`.
/// Exit codes: 0 it holds, 1 it does not, 2 it is no report.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A report in JSON or a table in CSV; `-` reads stdin
    file: PathBuf,
}

#[derive(Serialize)]
struct OfReport {
    schema_version: u32,
    holds: bool,
    run: RunId,
    environment: String,
    verdict: Verdict,
    score: Interval,
    checks: usize,
    disagreements: Vec<Disagreement>,
}

#[derive(Serialize)]
struct OfTable {
    schema_version: u32,
    holds: bool,
    #[serde(flatten)]
    claim: Claim,
}

pub fn run(args: &Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let text = text(&args.file)?;
    let holds =
        if text.trim_start().starts_with(['{', '[']) { of_report(&text, ctl) } else { of_table(&text, ctl) };
    let holds = holds.map_err(|error| match error {
        CliError::Fault(fault) => Fault { message: named(&args.file, &fault.message), ..fault }.into(),
        error => error,
    })?;
    Ok(if holds { Exit::Ok } else { Exit::Negative })
}

fn of_report(text: &str, ctl: &Ctl) -> Result<bool, CliError> {
    let report = parse(text)?;
    let disagreements = verify(&report);
    let told = OfReport {
        schema_version: 1,
        holds: disagreements.is_empty(),
        run: report.run,
        environment: report.environment,
        verdict: report.verdict,
        score: report.score,
        checks: report.findings.len(),
        disagreements,
    };
    ctl.output.print(&ctl.ui, &told, |_| of_report_text(&told))?;
    Ok(told.holds)
}

fn of_report_text(told: &OfReport) -> String {
    let what = format!("run {} of {}, {} checks", told.run, one_line(&told.environment), told.checks);
    if told.holds {
        return format!("it holds: {what}: {}, score {} of 100\n", told.verdict.as_str(), told.score);
    }
    let (figures, sentences): (Vec<_>, Vec<_>) =
        told.disagreements.iter().partition(|one| one.given.len().max(one.recomputed.len()) <= FIGURE);
    let count = told.disagreements.len();
    let places = if count == 1 { "place" } else { "places" };
    let mut text =
        format!("it does not hold: {what}: it disagrees with its own findings in {count} {places}\n");
    let mut table = Table::new(&["WHAT", "GIVEN", "RECOMPUTED"]);
    for Disagreement { what, given, recomputed } in &figures {
        table.row([what, given, recomputed]);
    }
    if !figures.is_empty() {
        text.push_str(&table.render(None));
    }
    for Disagreement { what, given, recomputed } in sentences {
        let (what, given, recomputed) = (one_line(what), one_line(given), one_line(recomputed));
        text.push_str(&format!("{what}\n  given       {given}\n  recomputed  {recomputed}\n"));
    }
    text
}

fn of_table(text: &str, ctl: &Ctl) -> Result<bool, CliError> {
    let claim = claim(text)?;
    let told = OfTable { schema_version: 1, holds: claim.holds(), claim };
    ctl.output.print(&ctl.ui, &told, |_| of_table_text(&told))?;
    Ok(told.holds)
}

fn of_table_text(told: &OfTable) -> String {
    let Claim { rows, equal_mean, weighted_mean, claimed, .. } = &told.claim;
    let weighted = weighted_mean.map_or_else(|| "none: it gives no weights".into(), |mean| mean.to_string());
    let verdict = match (claimed, told.holds) {
        (None, _) => "nothing is claimed".to_owned(),
        (Some(claimed), true) => format!("the claim of {claimed} holds"),
        (Some(claimed), false) => {
            let mean = weighted_mean.unwrap_or(*equal_mean);
            format!("the claim of {claimed} does not hold: it is {:+.2} from {mean}", claimed - mean)
        }
    };
    format!("{verdict}\ncategories     {rows}\nequal mean     {equal_mean}\nweighted mean  {weighted}\n")
}
