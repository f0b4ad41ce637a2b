//! The terminal's end: groups, occurrences and patterns as lines.
use super::serve::{Changed, Counted, Groups, Shown};
use crate::{
    cli::{
        CliError, Ctl, Table, one_line,
        render::{age, sparkline},
    },
    domain::{ErrorGroup, ErrorState, Occurrence, PatternBy, moment, percent},
};
use jiff::Timestamp;
use std::fmt::Write;

/// Occurrences shown on a page; `-o json` has all that are kept.
const MOST_SHOWN: usize = 5;

pub fn list(ctl: &Ctl, list: &Groups, hides_low: bool, wide: bool) -> String {
    if list.errors.is_empty() {
        return if hides_low {
            "no error is open; --all shows resolved, ignored and small ones too\n".into()
        } else {
            "no error like that is kept\n".into()
        };
    }
    let mut head = vec!["ID", "STATE", "SEVERITY", "COUNT", "SEEN", "LAST 24H", "AGENT", "OPERATION"];
    head.extend(wide.then_some(["CATEGORY", "FIRST", "ASSIGNEE", "FINGERPRINT"]).into_iter().flatten());
    head.push("MESSAGE");
    let mut table = Table::new(&head)
        .figures(&[0, 3])
        .painted(1, &ctl.ui, |word| match word {
            "regressed" | "spiking" => Some("31"),
            "resolved" | "ignored" => Some("2"),
            _ => None,
        })
        .painted(2, &ctl.ui, |word| match word {
            "critical" => Some("1;31"),
            "high" => Some("31"),
            _ => None,
        });
    for group in &list.errors {
        let alike = &group.alike;
        let mut row = vec![
            group.id.to_string(),
            standing(group).into(),
            alike.severity.to_string(),
            group.count.to_string(),
            format!("{} ago", age(group.last_at, list.at)),
            sparkline::counts(&group.hours),
            alike.agent.as_ref().map_or_else(|| "-".into(), ToString::to_string),
            alike.operation.clone(),
        ];
        if wide {
            row.extend([
                alike.category.to_string(),
                moment(group.first_at),
                group.assignee.clone().unwrap_or_else(|| "-".into()),
                alike.fingerprint.to_string(),
            ]);
        }
        row.push(group.message.clone());
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

pub fn group(ctl: &Ctl, shown: &Shown, wide: bool) -> String {
    let Shown { at, group, occurrences, .. } = shown;
    let alike = &group.alike;
    let mut text =
        format!("error {}  {}  {}\n", group.id, ctl.ui.paint("1", standing(group)), one_line(&group.message));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {}", one_line(&value));
    };
    line(
        "what",
        format!(
            "{} {}, {}, {}",
            alike.severity,
            alike.category,
            alike.kind.as_str(),
            worth_a_try(alike.retryable)
        ),
    );
    let agent = alike.agent.as_ref().map_or_else(String::new, |agent| format!(" of {agent}"));
    line("where", format!("{}{agent}", alike.operation));
    line(
        "seen",
        format!(
            "{} since {}, last {} ago",
            times(group.count),
            moment(group.first_at),
            age(group.last_at, *at)
        ),
    );
    line("last 24h", sparkline::counts(&group.hours));
    if let Some(spike) = &group.spike {
        line(
            "spike",
            format!("{} in an hour, and {:.0} is usual (up to {:.0})", spike.count, spike.usual, spike.limit),
        );
    }
    if let Some(assignee) = &group.assignee {
        line("assigned to", assignee.clone());
    }
    for (name, value) in told(group, *at) {
        line(name, value);
    }
    line("fingerprint", alike.fingerprint.to_string());
    if let Some(hint) = &group.hint {
        line("hint", hint.clone());
    }
    let most = if wide { usize::MAX } else { MOST_SHOWN };
    if !occurrences.is_empty() {
        let kept = occurrences.len();
        let _ = writeln!(text, "\nnewest {} of {}", kept.min(most), group.count);
    }
    for occurrence in occurrences.iter().take(most) {
        write_occurrence(&mut text, occurrence);
    }
    text
}

pub fn patterns(ctl: &Ctl, counted: &Counted, wide: bool) -> String {
    let by = match counted.by {
        PatternBy::Category => "CATEGORY",
        PatternBy::Operation => "OPERATION",
        PatternBy::Agent => "AGENT",
    };
    if counted.patterns.is_empty() {
        return format!("nothing has failed since {}\n", moment(counted.since));
    }
    let mut table =
        Table::new(&[by, "GROUPS", "COUNT", "SHARE", "BEFORE", "TREND"]).figures(&[1, 2, 3, 4, 5]);
    for pattern in &counted.patterns {
        table.row([
            if pattern.name.is_empty() { "(none)".into() } else { pattern.name.clone() },
            pattern.groups.to_string(),
            pattern.count.to_string(),
            percent(pattern.share),
            pattern.before.to_string(),
            trend(pattern.count, pattern.before),
        ]);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

pub fn changed(ctl: &Ctl, changed: &Changed) -> Result<(), CliError> {
    let group = &changed.group;
    ctl.output.print(&ctl.ui, changed, |_| {
        let to = group.assignee.as_ref().map(|to| format!(", assigned to {to}")).unwrap_or_default();
        format!("error {} is {}{}\n", group.id, group.state, one_line(&to))
    })
}

/// Its state; of an open one, whether it spikes.
fn standing(group: &ErrorGroup) -> &'static str {
    match group.state {
        ErrorState::Open if group.spike.is_some() => "spiking",
        state => state.as_str(),
    }
}

fn told(group: &ErrorGroup, at: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(resolution) = &group.resolution {
        let note = if resolution.note.is_empty() { String::new() } else { format!(": {}", resolution.note) };
        lines.push((
            "resolved",
            format!(
                "{} by {} after {}{note}",
                moment(resolution.at),
                resolution.by,
                seconds(resolution.took_s)
            ),
        ));
    }
    if group.regressions > 0 {
        lines.push((
            "came back",
            format!("{}; open again since {}", times(group.regressions.into()), moment(group.opened_at)),
        ));
    } else if group.state == ErrorState::Open {
        lines.push(("open for", age(group.opened_at, at)));
    }
    if let Some(ignored) = &group.ignored {
        let until = match (ignored.until, ignored.until_count) {
            (None, None) => "until it is reopened".into(),
            (Some(at), None) => format!("until {}", moment(at)),
            (None, Some(count)) => format!("until there are {count}"),
            (Some(at), Some(count)) => format!("until {} or until there are {count}", moment(at)),
        };
        let note = if ignored.note.is_empty() { String::new() } else { format!(": {}", ignored.note) };
        lines.push(("ignored", until + &note));
    }
    lines
}

fn write_occurrence(text: &mut String, occurrence: &Occurrence) {
    let mut who = Vec::new();
    who.extend(occurrence.instance.as_ref().map(ToString::to_string));
    who.extend(occurrence.client.as_ref().map(|client| format!("asked by {client}")));
    who.extend(occurrence.correlation.map(|id| format!("correlation {id}")));
    let who = if who.is_empty() { String::new() } else { format!("  ({})", one_line(&who.join(", "))) };
    let _ = writeln!(text, "  {}  {}{}", moment(occurrence.at), one_line(&occurrence.message), who);
    if !occurrence.context.is_empty() {
        let _ = writeln!(text, "    context: {}", one_line(&occurrence.context));
    }
    for cause in &occurrence.causes {
        let _ = writeln!(text, "    caused by: {}", one_line(cause));
    }
}

fn worth_a_try(retryable: bool) -> &'static str {
    if retryable { "may pass when tried again" } else { "trying again does not help" }
}

fn times(count: u64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn seconds(seconds: u64) -> String {
    let end = Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    age(Timestamp::UNIX_EPOCH, end)
}

/// `+40 %`, `new`, `gone`, `=`.
fn trend(now: u64, before: u64) -> String {
    match (now, before) {
        (0, _) => "gone".into(),
        (_, 0) => "new".into(),
        (now, before) if now == before => "=".into(),
        (now, before) => format!("{:+.0} %", (now as f64 / before as f64 - 1.0) * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_against_as_long_a_time_before() {
        for (now, before, text) in
            [(0, 5, "gone"), (5, 0, "new"), (5, 5, "="), (7, 5, "+40 %"), (1, 4, "-75 %")]
        {
            assert_eq!(trend(now, before), text);
        }
        assert_eq!((seconds(0), seconds(3725)), ("0s".into(), "1h 2m".into()));
    }
}
