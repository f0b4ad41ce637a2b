//! What changed from one report to another, check by check. A look: it judges nothing.
use super::{
    baseline::{Named, named},
    serve::{Show, ShowRequest},
};
use crate::{
    cli::{CliError, Ctl, Exit, Ui, one_line},
    commands::report,
    domain::{Comparison, Interval, Report, RunId, Verdict},
    readiness::{Change, Move, State, changes, compare},
};
use jiff::Timestamp;
use serde::Serialize;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The earlier report: the number of a run, `last`, or a file
    #[arg(value_name = "A", value_parser = named)]
    before: Named,
    /// The later one
    #[arg(value_name = "B", value_parser = named)]
    after: Named,
}

#[derive(Serialize)]
struct Difference {
    schema_version: u32,
    before: Side,
    after: Side,
    comparison: Comparison,
    changes: Vec<Change>,
    /// Checks that both asked and that ended as they had.
    unchanged: usize,
}

#[derive(Serialize)]
struct Side {
    report: String,
    run: RunId,
    environment: String,
    started_at: Timestamp,
    verdict: Verdict,
    score: Interval,
    partial: bool,
}

pub async fn run(args: &Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let before = read(&args.before, ctl).await?;
    let after = read(&args.after, ctl).await?;
    let changes = changes(&before, &after);
    let of_after = changes.iter().filter(|change| change.after.is_some()).count();
    let difference = Difference {
        schema_version: 1,
        before: side(&args.before, &before),
        after: side(&args.after, &after),
        comparison: Comparison { against: name(&args.before, &before), ..compare(&before, &after) },
        unchanged: after.findings.len().saturating_sub(of_after),
        changes,
    };
    ctl.output.print(&ctl.ui, &difference, |wide| table(&ctl.ui, &difference, wide))?;
    Ok(Exit::Ok)
}

async fn read(which: &Named, ctl: &Ctl) -> Result<Report, CliError> {
    let run = match which {
        Named::File(path) => return Ok(report::read(path)?),
        Named::Run(run) => Some(*run),
        Named::Last => None,
    };
    ctl.client.call::<Show>(&ShowRequest { run }).await
}

fn name(which: &Named, report: &Report) -> String {
    match which {
        Named::File(path) => path.display().to_string(),
        Named::Last | Named::Run(_) => format!("run {}", report.run),
    }
}

fn side(which: &Named, report: &Report) -> Side {
    Side {
        report: name(which, report),
        run: report.run,
        environment: report.environment.clone(),
        started_at: report.started_at,
        verdict: report.verdict,
        score: report.score,
        partial: report.partial,
    }
}

/// The bad first. What only reads otherwise is shown by `wide`.
fn table(ui: &Ui, difference: &Difference, wide: bool) -> String {
    let mut text = format!("{}{}", of_side(&difference.before), of_side(&difference.after));
    let (before, after) = (&difference.before, &difference.after);
    if before.environment != after.environment {
        text.push_str("they are of different environments\n");
    }
    if before.partial || after.partial {
        text.push_str("a partial run answers for what it ran alone: the scores are not of the same checks\n");
    }
    text.push_str(&format!("{}\n", one_line(&difference.comparison.sentence())));
    for (moved, word, style) in [
        (Move::Regressed, "REGRESSED", "1;31"),
        (Move::New, "NEW", "1;31"),
        (Move::Gone, "GONE", "33"),
        (Move::Improved, "IMPROVED", "32"),
        (Move::Changed, "CHANGED", "2"),
    ] {
        for change in difference.changes.iter().filter(|change| change.moved == moved) {
            text.push_str(&of_change(ui, change, word, style, wide));
        }
    }
    let same = difference.unchanged;
    let checks = if same == 1 { "check ended as it had" } else { "checks ended as they had" };
    text + &format!("\n{same} {checks}\n")
}

fn of_side(side: &Side) -> String {
    let partial = if side.partial { " (partial)" } else { "" };
    let Side { report, environment, verdict, score, started_at, .. } = side;
    let started = started_at.strftime("%Y-%m-%d %H:%M:%SZ");
    let (report, environment) = (one_line(report), one_line(environment));
    format!("{report} · {environment} · {started} · {}{partial} · {score} of 100\n", verdict.as_str())
}

fn of_change(ui: &Ui, change: &Change, word: &str, style: &str, wide: bool) -> String {
    let ended = |state: &Option<State>| match state {
        None => "not asked".to_owned(),
        Some(state) => format!("{}{}", state.outcome.as_str(), if state.waived { " (waived)" } else { "" }),
    };
    let (before, after) = (ended(&change.before), ended(&change.after));
    let (id, title) = (one_line(&change.id), one_line(&change.title));
    let mut text =
        format!("\n{} {id}  {title}\n  {before} → {after}\n", ui.paint(style, &format!("{word:<10}")));
    // What it says now, or said last; with `wide` what it said before as well.
    let now = change.after.as_ref().or(change.before.as_ref());
    let then = change.before.as_ref().filter(|_| wide && change.after.is_some());
    for (label, state) in [("before: ", then), ("", now)] {
        if let Some(state) = state {
            text.push_str(&format!("  {label}{}\n", one_line(&state.summary)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::ColorChoice,
        domain::{Category, Outcome, Severity, sample},
    };

    #[test]
    fn the_bad_comes_first_and_hostile_text_stays_in_its_line() {
        let before = sample::rich();
        let mut after = sample::rich();
        after.findings.retain(|finding| finding.id != "PE-001");
        after.findings.push(sample::finding("ZZ-001", Category::Security, Severity::Minor, Outcome::Warn));
        for (id, outcome) in
            [("EH-001", Outcome::Fail), ("CF-002", Outcome::Pass), ("DB-003", Outcome::Error)]
        {
            after.findings.iter_mut().filter(|f| f.id == id).for_each(|f| f.outcome = outcome);
        }
        let changes = changes(&before, &after);
        let difference = Difference {
            schema_version: 1,
            before: side(&Named::Run(RunId(12)), &before),
            after: side(&Named::File("b.json".into()), &after),
            comparison: compare(&before, &after),
            changes,
            unchanged: 7,
        };
        let text = table(&Ui::new(ColorChoice::Never, true), &difference, false);
        let words: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once(' ').map(|(word, _)| word))
            .filter(|word| word.len() > 2 && *word == word.to_uppercase())
            .collect();
        assert_eq!(words, ["REGRESSED", "NEW", "GONE", "IMPROVED", "CHANGED"], "{text}");
        assert!(
            !text.contains('\x1b') && text.contains("pass → fail") && text.contains("fail → error"),
            "{text}"
        );
        assert!(text.contains("a partial run answers for what it ran alone"), "{text}");
        let wide = table(&Ui::new(ColorChoice::Never, true), &difference, true);
        assert!(wide.contains("  before: the database said "), "{wide}");
    }
}
