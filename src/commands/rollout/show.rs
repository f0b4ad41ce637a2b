//! How rollouts look on a terminal.
use crate::{
    cli::{Ctl, Table, Ui, one_line},
    deploy::ShownRollout,
    domain::{Rollout, RolloutComparison, RolloutLine, RolloutState, Worth},
};
use std::fmt::Write;

pub fn begun(shown: &ShownRollout) -> String {
    let Rollout { agent, release, .. } = &shown.rollout;
    format!(
        "{agent}/candidate of {release} is being started: `agentctl rollout show {agent}` compares it, \
         `agentctl rollout abort {agent}` ends it\n"
    )
}

pub fn ended(shown: &ShownRollout) -> String {
    let Rollout { id, agent, state, .. } = &shown.rollout;
    format!("rollout {id} is {state}: nothing of {agent}/candidate is alive\n")
}

pub fn table(ctl: &Ctl, rollouts: &[ShownRollout], wide: bool) -> String {
    if rollouts.is_empty() {
        return "no rollout: `agentctl rollout start AGENT --to RELEASE` begins one\n".into();
    }
    let mut head = vec!["ID", "AGENT", "RELEASE", "STATE", "COMPARED", "SINCE"];
    head.extend(wide.then_some(["ENDED", "OPERATION", "BY", "REASON"]).into_iter().flatten());
    head.push("WHY");
    let mut table = Table::new(&head).figures(&[0]).painted(3, &ctl.ui, style).painted(4, &ctl.ui, style);
    for shown in rollouts {
        let rollout = &shown.rollout;
        let worth = rollout.comparison.as_ref().map_or(Worth::Unmeasured, |seen| seen.worth);
        let mut row = vec![
            rollout.id.to_string(),
            rollout.agent.to_string(),
            rollout.release.to_string(),
            rollout.state.to_string(),
            worth.to_string(),
            minute(rollout.since),
        ];
        if wide {
            row.extend([
                rollout.ended_at.map_or_else(String::new, minute),
                rollout.operation.map_or_else(String::new, |id| id.to_string()),
                rollout.by.to_string(),
                rollout.reason.clone(),
            ]);
        }
        row.push(rollout.why.clone());
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

pub fn page(ui: &Ui, shown: &ShownRollout) -> String {
    let rollout = &shown.rollout;
    let mut text = format!(
        "rollout {} of {} for {} is {} since {}, by {}: {}\n",
        rollout.id,
        rollout.release,
        rollout.agent,
        paint(ui, rollout.state.as_str()),
        rollout.since.strftime("%Y-%m-%d %H:%M:%SZ"),
        one_line(&rollout.by.to_string()),
        one_line(&rollout.reason)
    );
    if let Some(ended) = rollout.ended_at {
        let _ = writeln!(text, "ended     {}", ended.strftime("%Y-%m-%d %H:%M:%SZ"));
    }
    if !rollout.why.is_empty() {
        let _ = writeln!(text, "because   {}", one_line(&rollout.why));
    }
    if let Some(operation) = rollout.operation {
        let _ = writeln!(text, "deployed  {operation}: `agentctl operation show {operation}`");
    }
    if let Some(candidate) = &shown.candidate {
        let pid = candidate.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        let port = candidate.port.map_or_else(String::new, |port| format!(", port {port}"));
        let why = candidate.reason.as_deref().map(|why| format!(": {}", one_line(why)));
        let state = candidate.state.as_str();
        let _ = writeln!(text, "candidate {state}{pid}{port}{}", why.unwrap_or_default());
    }
    match &rollout.comparison {
        Some(comparison) => compared(&mut text, ui, rollout.state, comparison),
        None if rollout.state == RolloutState::Trying => {
            text.push_str("compared  not yet: the first figures come a few seconds after it is ready\n");
        }
        None => {}
    }
    text
}

fn compared(text: &mut String, ui: &Ui, state: RolloutState, comparison: &RolloutComparison) {
    let lasted = comparison.at.duration_since(comparison.since).as_secs_f64();
    let _ = writeln!(
        text,
        "\nthe candidate is {} against what is stable (over {lasted:.0} s)",
        paint(ui, comparison.worth.as_str())
    );
    for why in &comparison.because {
        let _ = writeln!(text, "  {}", one_line(why));
    }
    if state == RolloutState::Trying && comparison.worse_in_a_row > 0 {
        let _ = writeln!(text, "  judged worse {} times in a row", comparison.worse_in_a_row);
    }
    text.push('\n');
    let head = ["FIGURE", "STABLE", "CANDIDATE", "UNIT", "N", "VERDICT", "WHY"];
    let mut table = Table::new(&head).figures(&[1, 2, 4]).painted(5, ui, style);
    for line in &comparison.lines {
        table.row(row(line));
    }
    text.push_str(&table.render(None));
}

fn row(line: &RolloutLine) -> Vec<String> {
    let figure = |value: Option<f64>| match value {
        Some(value) if line.unit.is_empty() => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
        None => String::new(),
    };
    let n = if line.unit.is_empty() {
        String::new()
    } else if line.stable_n == line.candidate_n {
        line.stable_n.to_string()
    } else {
        format!("{}/{}", line.stable_n, line.candidate_n)
    };
    let verdict = match line.worth {
        Worth::Unmeasured => "cannot tell".to_owned(),
        worth => worth.to_string(),
    };
    vec![
        line.what.clone(),
        figure(line.stable),
        figure(line.candidate),
        line.unit.clone(),
        n,
        verdict,
        line.why.clone(),
    ]
}

fn paint(ui: &Ui, word: &str) -> String {
    style(word).map_or_else(|| word.to_owned(), |style| ui.paint(style, word))
}

fn style(word: &str) -> Option<&'static str> {
    match word {
        "better" | "same" | "promoted" => Some("32"),
        "worse" | "aborted" | "failed" => Some("31"),
        "unmeasured" | "cannot tell" | "trying" | "promoting" => Some("33"),
        _ => None,
    }
}

fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
