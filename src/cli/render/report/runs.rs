//! The list of runs, and the trend of their low ends. Only full runs of one environment are held beside each other:
//! a partial one answers another question, and an interrupted one answers none.
use super::lines::{columns, rows};
use crate::{
    cli::{escape, render::sparkline::bar},
    domain::{RunState, RunSummary, moment, percent},
};
use comfy_table::CellAlignment;

/// More than this is no line that an eye takes in.
const MOST: usize = 60;

/// Newest first, a line each, and the trend of each environment below.
pub fn runs(runs: &[RunSummary]) -> String {
    if runs.is_empty() {
        return "no validation has run yet: `agentctl validate`\n".into();
    }
    let mut table = columns(&["RUN", "STARTED", "ENVIRONMENT", "VERDICT", "SCORE", "CHANGE", "COVERAGE"]);
    for (index, run) in runs.iter().enumerate() {
        let verdict = match (run.state, run.verdict) {
            (RunState::Finished, Some(verdict)) => verdict.as_str(),
            (RunState::Finished, None) => "-",
            (RunState::Running, _) => "running",
            (RunState::Interrupted, _) => "interrupted",
            (RunState::Cancelled, _) => "cancelled",
        };
        table.add_row([
            run.run.to_string(),
            moment(run.started_at),
            escape(&run.environment),
            format!("{verdict}{}", if run.partial { " (partial)" } else { "" }),
            run.score.map_or_else(|| "-".into(), |score| score.to_string()),
            change(run, &runs[index + 1..]),
            run.coverage.map_or_else(|| "-".into(), percent),
        ]);
    }
    if let Some(column) = table.column_mut(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    rows(&table) + &trends(runs)
}

/// Of the low end, since the full run of the same environment before; nothing where there is none in the list.
fn change(run: &RunSummary, older: &[RunSummary]) -> String {
    let before = older.iter().filter(|other| other.environment == run.environment).find_map(low_of_full);
    match (low_of_full(run), before) {
        (Some(now), Some(before)) => signed(now - before),
        _ => "-".into(),
    }
}

fn trends(runs: &[RunSummary]) -> String {
    let mut environments: Vec<&str> = Vec::new();
    for run in runs {
        if !environments.contains(&run.environment.as_str()) {
            environments.push(&run.environment);
        }
    }
    let lines: Vec<String> = environments.into_iter().filter_map(|name| trend(name, runs)).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("\nlow ends of the full runs above, oldest to newest, each bar from 0 to 100\n{}", lines.concat())
}

/// None with fewer than two points: one is no trend.
fn trend(environment: &str, runs: &[RunSummary]) -> Option<String> {
    let mine = || runs.iter().rev().filter(|run| run.environment == environment);
    let all: Vec<f64> = mine().filter_map(low_of_full).collect();
    let (first, last) = (all.first()?, all.last().filter(|_| all.len() > 1)?);
    let shown = &all[all.len().saturating_sub(MOST)..];
    let line: String = shown.iter().map(|low| bar(*low, 100.0)).collect();
    let count = |state: RunState| mine().filter(|run| run.state == state).count();
    let left_out: Vec<String> = [
        (mine().filter(|run| run.partial && run.state == RunState::Finished).count(), "partial"),
        (count(RunState::Interrupted), "interrupted"),
        (count(RunState::Cancelled), "cancelled"),
        (count(RunState::Running), "running"),
        (all.len() - shown.len(), "older"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let besides =
        if left_out.is_empty() { String::new() } else { format!(" (not drawn: {})", left_out.join(", ")) };
    let (runs, change) = (all.len(), signed(last - first));
    Some(format!("{}  {line}  {change} over {runs} runs{besides}\n", escape(environment)))
}

/// What it is known to be worth at least, of a run that finished and asked everything.
fn low_of_full(run: &RunSummary) -> Option<f64> {
    run.score.filter(|_| run.state == RunState::Finished && !run.partial).map(|score| score.low)
}

fn signed(change: f64) -> String {
    let text = format!("{change:+.2}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "+" | "-" | "+0" | "-0" => "0".into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Interval, RunId, Verdict};

    fn run(number: u64, environment: &str, low: f64) -> RunSummary {
        RunSummary {
            run: RunId(number),
            state: RunState::Finished,
            started_at: jiff::Timestamp::UNIX_EPOCH,
            environment: environment.into(),
            verdict: Some(Verdict::NotReady),
            score: Some(Interval { low, high: 100.0 }),
            coverage: Some(0.5),
            partial: false,
            phase: None,
        }
    }

    fn ended(number: u64, state: RunState) -> RunSummary {
        RunSummary { state, verdict: None, score: None, coverage: None, ..run(number, "staging", 0.0) }
    }

    #[test]
    fn the_trend_is_of_full_runs_of_one_environment_and_says_what_it_leaves_out() {
        let listed = [
            ended(9, RunState::Running),
            run(8, "staging", 83.05),
            RunSummary { partial: true, ..run(7, "staging", 5.0) },
            ended(6, RunState::Interrupted),
            run(5, "production", 100.0),
            ended(4, RunState::Cancelled),
            run(3, "staging", 0.0),
            run(2, "staging", 60.0),
        ];
        let text = runs(&listed);
        assert!(
            text.contains("staging  ▅▁▇  +23.05 over 3 runs (not drawn: 1 partial, 1 interrupted, 1 cancelled, 1 running)\n"),
            "{text}"
        );
        assert!(!text.contains("\nproduction  "), "one run is no trend: {text}");
        let changes: Vec<&str> = text
            .lines()
            .skip(1)
            .take(8)
            .map(|l| l.split_whitespace().rev().nth(2).expect("a change"))
            .collect();
        assert_eq!(changes, ["-", "+83.05", "-", "-", "-", "-", "-60", "-"], "{text}");
    }

    #[test]
    fn a_change_of_nothing_has_no_sign_and_a_long_line_is_cut_aloud() {
        for (change, text) in [(0.0, "0"), (-0.001, "0"), (10.0, "+10"), (-4.5, "-4.5"), (0.25, "+0.25")] {
            assert_eq!(signed(change), text);
        }
        let many: Vec<RunSummary> = (0..75).map(|n| run(n, "x", 50.0)).collect();
        assert!(runs(&many).contains("0 over 75 runs (not drawn: 15 older)"));
    }

    #[test]
    fn an_environment_cannot_drive_the_terminal() {
        let hostile = "\x1b[2Jx";
        assert!(!runs(&[run(2, hostile, 1.0), run(1, hostile, 2.0)]).contains('\x1b'));
    }
}
