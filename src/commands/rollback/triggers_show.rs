//! Triggers, what they did and would have done → lines.
use crate::{
    cli::{Table, Ui, one_line},
    deploy::triggers::Backtest,
    domain::{FiringState, TriggerFiring, TriggerHold, TriggerStanding, measured, moment, percent},
};
use std::fmt::Write;

/// Of each trigger, in a table for people.
const FIRINGS_SHOWN: usize = 5;

pub fn triggers(ui: &Ui, triggers: &[TriggerStanding], wide: bool) -> String {
    if triggers.is_empty() {
        return "no trigger is declared: [[trigger]] in the manifest\n".into();
    }
    let mut head = vec!["NAME", "STATE", "ACTION", "VALUE", "LIMIT", "WINDOW", "OBSERVED", "LAST FIRED"];
    head.extend(wide.then_some(["METRIC", "STATISTIC", "OF", "SAMPLES"]).into_iter().flatten());
    head.push("NOTE");
    let mut table = Table::new(&head).figures(&[3, 6]).painted(1, ui, style);
    for trigger in triggers {
        let reading = &trigger.reading;
        let value = |value| measured(value, trigger.unit, trigger.statistic);
        let mut row = vec![
            trigger.name.clone(),
            trigger.state.as_str().into(),
            trigger.action.to_string(),
            reading.value.map_or_else(|| "-".into(), value),
            trigger.limit.clone(),
            trigger.window.to_string(),
            percent(reading.observed),
            trigger.last_fired.as_ref().map_or_else(|| "never".into(), fired),
        ];
        if wide {
            let of = reading.of.as_ref().map(ToString::to_string).unwrap_or_default();
            let statistic = trigger.statistic.as_str().to_owned();
            row.extend([trigger.metric.clone(), statistic, of, reading.samples.to_string()]);
        }
        row.push(trigger.note.clone().unwrap_or_default());
        table.row(row);
    }
    table.render(ui.width().filter(|_| !wide))
}

/// What an operator has to know of before anything else.
pub fn standing(firings: &[TriggerFiring], holds: &[TriggerHold]) -> String {
    let mut text = String::new();
    for firing in firings {
        let TriggerFiring { trigger, told, why, operation, .. } = firing;
        let since = moment(firing.at);
        let next = match firing.state {
            FiringState::Paused => " (`agentctl rollback triggers resume`)".to_owned(),
            FiringState::Stopped => format!(" (`agentctl rollback triggers reset {trigger}`)"),
            _ => operation.map(|id| format!(" (`agentctl operation show {id}`)")).unwrap_or_default(),
        };
        let why = if why.is_empty() { told } else { why };
        let line = format!("{}: trigger {trigger} since {since}: {why}{next}", firing.state.as_str());
        let _ = writeln!(text, "{}", one_line(&line));
    }
    for hold in holds {
        let _ = writeln!(text, "{}", one_line(&format!("held: {}", hold.sentence())));
    }
    text
}

pub fn firings(what: &str, firings: &[TriggerFiring]) -> String {
    let line = |firing: &TriggerFiring| {
        format!("{}\n", one_line(&format!("{what}: trigger {} of {}", firing.trigger, moment(firing.at))))
    };
    firings.iter().map(line).collect()
}

pub fn backtest(ui: &Ui, replayed: &Backtest, wide: bool) -> String {
    if replayed.triggers.is_empty() {
        return "no trigger is declared: [[trigger]] in the manifest\n".into();
    }
    let mut table =
        Table::new(&["NAME", "WOULD FIRE", "BEYOND", "UNMEASURED", "OBSERVED", "FIRST", "LAST", "DOUBT"])
            .figures(&[1, 2, 3, 4]);
    for one in &replayed.triggers {
        let at = |firing: Option<&crate::deploy::triggers::WouldFire>| {
            firing.map_or_else(String::new, |firing| moment(firing.at))
        };
        table.row([
            one.name.clone(),
            one.fired.to_string(),
            percent(one.breached),
            percent(one.unmeasured),
            percent(one.observed),
            at(one.firings.first()),
            at(one.firings.last()),
            one.doubts.join("; "),
        ]);
    }
    let mut text = table.render(ui.width().filter(|_| !wide));
    let (since, until) = (moment(replayed.since), moment(replayed.until));
    let _ = writeln!(text, "judged every {} s from {since} to {until}", replayed.step_s);
    for one in replayed.triggers.iter().filter(|one| one.fired > 2 && wide) {
        for firing in one.firings.iter().take(FIRINGS_SHOWN) {
            let _ = writeln!(text, "{}: {}", one_line(&one.name), moment(firing.at));
        }
    }
    text
}

fn fired(firing: &TriggerFiring) -> String {
    format!("{} ({})", moment(firing.at), firing.state.as_str())
}

fn style(word: &str) -> Option<&'static str> {
    match word {
        "quiet" => Some("32"),
        "stopped" => Some("31;1"),
        "pending" | "reverting" => Some("31"),
        "unmeasured" | "cooling" | "held" => Some("33"),
        _ => None,
    }
}
