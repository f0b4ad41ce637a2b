//! An operation → lines; its progress while it lasts; and the exit code that its end amounts to.
use crate::{
    cli::{Exit, Table, Ui, one_line},
    domain::{Operation, OperationState, OperationStep, OperationSummary, Period, Reason, StepState},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{fmt::Write, io::IsTerminal, time::Duration};

const TICK: Duration = Duration::from_millis(200);

/// 0 only for what came to its end; 8 while there is none.
pub fn exit_of_operation(operation: &Operation) -> Exit {
    match operation.state {
        OperationState::Succeeded => Exit::Ok,
        OperationState::Unwound | OperationState::Cancelled | OperationState::Stopped => Exit::Negative,
        OperationState::Running | OperationState::Unwinding => Exit::Pending,
    }
}

pub fn operations(ui: &Ui, operations: &[OperationSummary], wide: bool) -> String {
    if operations.is_empty() {
        return "no operation is kept\n".into();
    }
    let mut head = vec!["ID", "KIND", "STATE", "STEPS", "BEGUN", "TOOK"];
    head.extend(wide.then_some(["RESOURCE", "BUDGET", "BY"]).into_iter().flatten());
    head.extend(["TITLE", "WHY"]);
    let mut table = Table::new(&head).figures(&[3, 5]).painted(2, ui, operation_style);
    for operation in operations {
        let mut row = vec![
            operation.id.to_string(),
            operation.kind.clone(),
            operation.state.as_str().into(),
            format!("{}/{}", operation.ran, operation.steps),
            operation.begun_at.strftime("%Y-%m-%d %H:%MZ").to_string(),
            lasted(operation.elapsed_ms),
        ];
        if wide {
            let budget = operation.budget.map_or_else(String::new, |budget| budget.to_string());
            row.extend([operation.resource.clone(), budget, operation.by.to_string()]);
        }
        row.push(operation.title.clone());
        row.push(operation.why.as_ref().map_or_else(String::new, |why| why.message.clone()));
        table.row(row);
    }
    table.render(ui.width().filter(|_| !wide))
}

pub fn operation(ui: &Ui, operation: &Operation) -> String {
    let state = operation.state.as_str();
    let state = operation_style(state).map_or_else(|| state.to_owned(), |style| ui.paint(style, state));
    let mut text = format!(
        "{} {}: {} is {state}\n",
        operation.id,
        one_line(&operation.kind),
        one_line(&operation.title)
    );
    let mut line = |label: &str, told: String| {
        if !told.is_empty() {
            let _ = writeln!(text, "{label:<10}{told}");
        }
    };
    let moment = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    line("begun", format!("{} by {}", moment(operation.begun_at), operation.by));
    line("took", took(operation));
    line("holds", if operation.state.is_terminal() { String::new() } else { one_line(&operation.resource) });
    let wish = operation.cancel.as_ref();
    line("cancelled", wish.map_or_else(String::new, |wish| format!("{} by {}", moment(wish.at), wish.by)));
    let (why, hint) = operation.why.as_ref().map_or_else(Default::default, told);
    line("because", why);
    line("hint", hint);
    text.push('\n');
    let mut table = Table::new(&["", "STEP", "STATE", "TOOK", "UNDO", "WHAT"])
        .figures(&[0, 3, 4])
        .painted(2, ui, step_style);
    for (place, step) in operation.steps.iter().enumerate() {
        let over = operation.state.is_terminal();
        table.row([
            (place + 1).to_string(),
            step.name.to_string(),
            step_word(step, over).to_owned(),
            step.elapsed_ms.map_or_else(String::new, lasted),
            step.undo_elapsed_ms.map_or_else(String::new, lasted),
            what(step),
        ]);
    }
    text.push_str(&table.render(ui.width()));
    if operation.state == OperationState::Stopped {
        text.push('\n');
        text.push_str(&loud(ui, operation));
    }
    text
}

/// What nobody must miss: it ended in between, and what of it is there.
pub fn loud(ui: &Ui, operation: &Operation) -> String {
    let left: Vec<_> =
        operation.steps.iter().filter(|step| step.state.is_left()).map(|step| step.name.as_str()).collect();
    let left = if left.is_empty() { "none of its steps".into() } else { one_line(&left.join(", ")) };
    let said = format!("{} STOPPED in between and needs a person; left in place: {left}", operation.id);
    format!("{}\n", ui.paint("1;31", &said))
}

/// Progress on stderr: a bar where somebody looks, a line for each step elsewhere.
pub struct OperationWatcher {
    ui: Ui,
    bar: ProgressBar,
    live: bool,
    seen: Vec<StepState>,
}

impl OperationWatcher {
    pub fn new(ui: &Ui) -> Self {
        let live = !ui.quiet && std::io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        if live {
            bar.enable_steady_tick(TICK);
        }
        Self { ui: *ui, bar, live, seen: Vec::new() }
    }

    pub fn show(&mut self, operation: &Operation) {
        let count = operation.steps.len();
        self.seen.resize(count, StepState::Waiting);
        self.bar.set_length(count as u64);
        let done = operation.steps.iter().filter(|step| step.state == StepState::Done).count();
        self.bar.set_position(done as u64);
        for (place, step) in operation.steps.iter().enumerate() {
            if std::mem::replace(&mut self.seen[place], step.state) != step.state {
                self.say(&progress(place, count, step));
            }
        }
        let under_way = |step: &&OperationStep| matches!(step.state, StepState::Running | StepState::Undoing);
        if let Some(step) = operation.steps.iter().find(under_way) {
            let note = step.note.as_ref().map_or_else(String::new, |note| format!(": {}", one_line(note)));
            let title = one_line(&step.title);
            self.bar.set_message(format!("{} {title}{note} ({})", step.state.as_str(), took(operation)));
        }
    }

    /// While a question is asked.
    pub fn aside<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.bar.suspend(ask)
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        if self.live {
            self.bar.println(line);
        } else {
            self.ui.note(line);
        }
    }
}

fn progress(place: usize, count: usize, step: &OperationStep) -> String {
    let (place, title) = (place + 1, one_line(&step.title));
    let time = match step.state {
        StepState::Done | StepState::Failed => step.elapsed_ms,
        StepState::Undone | StepState::UndoFailed => step.undo_elapsed_ms,
        StepState::Waiting | StepState::Running | StepState::Undoing => None,
    };
    let time = time.map_or_else(String::new, |ms| format!(" after {}", lasted(ms)));
    let why = match step.state {
        StepState::Failed => step.why.as_ref(),
        StepState::UndoFailed => step.undo_why.as_ref(),
        _ => None,
    };
    let why = why.map_or_else(String::new, |why| format!(": {}", one_line(&why.message)));
    format!("[{place}/{count}] {title}: {}{time}{why}", step.state.as_str())
}

fn what(step: &OperationStep) -> String {
    let again = if step.attempts > 1 { format!(" (begun {} times)", step.attempts) } else { String::new() };
    let why = step.undo_why.as_ref().or(step.why.as_ref()).map(|why| format!(": {}", why.message));
    let note = || step.note.as_ref().map(|note| format!(": {note}"));
    format!("{}{again}{}", step.title, why.or_else(note).unwrap_or_default())
}

/// Nothing waits any more in what has ended, and nothing runs.
fn step_word(step: &OperationStep, over: bool) -> &'static str {
    match step.state {
        StepState::Waiting if over => "not-run",
        StepState::Running | StepState::Undoing if over => "unknown",
        state => state.as_str(),
    }
}

fn took(operation: &Operation) -> String {
    let over = if operation.over_budget { ", over its budget" } else { "" };
    let of = operation.budget.map_or_else(String::new, |budget| format!(" of {budget}"));
    format!("{}{of}{over}", lasted(operation.elapsed_ms))
}

fn told(why: &Reason) -> (String, String) {
    (one_line(&why.message), why.hint.as_deref().map(one_line).unwrap_or_default())
}

/// Tenths of a second are enough, and no less.
fn lasted(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => Period::secs(ms / 1000).to_string(),
    }
}

fn operation_style(word: &str) -> Option<&'static str> {
    match word {
        "succeeded" => Some("32"),
        "running" | "unwinding" => Some("33"),
        "unwound" | "stopped" => Some("31"),
        "cancelled" => Some("2"),
        _ => None,
    }
}

fn step_style(word: &str) -> Option<&'static str> {
    match word {
        "done" => Some("32"),
        "running" | "undoing" => Some("33"),
        "failed" | "undo-failed" | "unknown" => Some("31"),
        "waiting" | "not-run" | "undone" => Some("2"),
        _ => None,
    }
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
