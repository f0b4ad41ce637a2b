//! list and show, both ends. A row holds what others wrote: every word of it is escaped when it is shown.
use crate::{
    cli::{CliError, Ctl, Exit, Table, one_line},
    daemon::{App, Route},
    domain::{
        AuditEntry, AuditFilter, AuditStanding, Audited, Caller, CorrelationId, Fault, Period, Permission,
    },
    protocol::{Endpoint, Verb},
};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Not older: a time from now back (15m, 2d), a date (its beginning, in UTC) or a timestamp
    #[arg(long, value_name = "15m|DATE", value_parser = since)]
    since: Option<Timestamp>,
    /// Of this principal: user:UID, service:NAME or agent:NAME
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// This action, or all of a kind: agents/stop, agents
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// done, refused, failed, intended, or unknown: intended, and nobody knows how it ended
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<AuditStanding>,
    /// Of one request, by the id that its answer bore
    #[arg(long, value_name = "ID")]
    correlation: Option<CorrelationId>,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// Its number in the list
    #[arg(value_name = "SEQ")]
    seq: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Entries {
    pub schema_version: u32,
    pub entries: Vec<AuditEntry>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "audit/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AuditRead;
    const AUDITED: Audited = Audited::Not;
    type Request = AuditFilter;
    type Reply = Entries;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ShowRequest {
    pub seq: u64,
}

struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "audit/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AuditRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ShowRequest;
    type Reply = Entries;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<List, _, _>(handle_list), Route::to::<Show, _, _>(handle_show)]
}

async fn handle_list(app: App, _caller: Caller, filter: AuditFilter) -> Result<Entries, Fault> {
    Ok(Entries { schema_version: 1, entries: app.store.audit_entries(filter).await? })
}

async fn handle_show(app: App, _caller: Caller, request: ShowRequest) -> Result<Entries, Fault> {
    let entries = app.store.audit_act(request.seq).await?;
    if entries.is_empty() {
        return Err(Fault::not_found(format!("cannot find row {} of the audit trail", request.seq))
            .hint("`agentctl audit list` shows the newest; retention may have taken it"));
    }
    Ok(Entries { schema_version: 1, entries })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let Args { since, principal, action, outcome, correlation, limit } = args;
    let filter = AuditFilter { since, principal, action, outcome, correlation, limit };
    let found = ctl.client.call::<List>(&filter).await?;
    ctl.output.print(&ctl.ui, &found, |wide| table(ctl, &found.entries, wide))?;
    Ok(Exit::Ok)
}

pub async fn show(args: ShowArgs, ctl: &Ctl) -> Result<Exit, CliError> {
    let found = ctl.client.call::<Show>(&ShowRequest { seq: args.seq }).await?;
    ctl.output.print(&ctl.ui, &found, |_| {
        // The one asked for first, then what belongs to it.
        let (asked, others): (Vec<_>, Vec<_>) =
            found.entries.iter().partition(|entry| entry.event.seq == args.seq);
        let mut text: String = asked.into_iter().map(whole).collect();
        for other in others {
            text.push_str("\nof the same request\n");
            text.push_str(&whole(other));
        }
        text
    })?;
    Ok(Exit::Ok)
}

/// `15m` ago, the beginning of a day, or a timestamp.
pub fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = text.parse::<Period>() {
        let ago = SignedDuration::try_from(ago.0).unwrap_or(SignedDuration::MAX);
        return Timestamp::now().checked_sub(ago).map_err(|_| "longer ago than time goes back".into());
    }
    let day = text.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    match day {
        Some(day) => Ok(day.timestamp()),
        None => {
            text.parse().map_err(|_| "neither a time like 15m, a date like 2027-01-31 nor a timestamp".into())
        }
    }
}

fn table(ctl: &Ctl, entries: &[AuditEntry], wide: bool) -> String {
    if entries.is_empty() {
        return "no row of the audit trail is like that\n".into();
    }
    let mut head = vec!["SEQ", "AT", "OUTCOME", "PRINCIPAL", "ACTION", "OBJECT"];
    head.extend(wide.then_some(["FROM", "CORRELATION"]).into_iter().flatten());
    head.push("REASON");
    let mut table = Table::new(&head).figures(&[0]).painted(2, &ctl.ui, |word| match word {
        "refused" | "failed" => Some("31"),
        "unknown" => Some("33"),
        "intended" => Some("2"),
        _ => None,
    });
    for AuditEntry { event, standing, .. } in entries {
        let mut row = vec![
            event.seq.to_string(),
            second(event.at),
            standing.as_str().into(),
            event.principal.clone(),
            event.action.clone(),
            or_dash(&event.object),
        ];
        if wide {
            row.extend([event.from.clone(), event.correlation.to_string()]);
        }
        row.push(event.reason.clone());
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn whole(entry: &AuditEntry) -> String {
    let AuditEntry { event, standing, hash } = entry;
    let outcome = match standing {
        AuditStanding::Unknown => "unknown: it was intended, and no row says how it ended".into(),
        AuditStanding::Intended => "intended; a later row of the same request says how it ended".into(),
        other => other.as_str().to_owned(),
    };
    let lines = [
        ("row", event.seq.to_string()),
        ("at", event.at.to_string()),
        ("who", event.principal.clone()),
        ("from", event.from.clone()),
        ("action", event.action.clone()),
        ("object", or_dash(&event.object)),
        ("outcome", outcome),
        ("reason", or_dash(&event.reason)),
        ("correlation", event.correlation.to_string()),
        ("hash", hash.to_string()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12} {}\n", one_line(value))).collect()
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{ColorChoice, Ui},
        domain::{AuditEvent, AuditOutcome, Digest},
    };

    #[test]
    fn since_is_a_length_of_time_back_a_day_or_a_moment() {
        let hour = since("1h").expect("a time");
        let ago = Timestamp::now().duration_since(hour);
        assert!((3_599..=3_601).contains(&ago.as_secs()), "{ago}");
        assert_eq!(since("2027-01-31").map(|at| at.to_string()).as_deref(), Ok("2027-01-31T00:00:00Z"));
        assert!(since("2027-01-31T12:00:00Z").is_ok());
        for wrong in ["", "soon", "15", "-15m", "2027-02-30"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hostile_row_drives_no_terminal_and_takes_no_line_of_its_own() {
        let entry = AuditEntry {
            event: AuditEvent {
                seq: 7,
                at: Timestamp::UNIX_EPOCH,
                principal: "user:1\u{202e}".into(),
                from: "uid 1\n8  2026-01-01  done".into(),
                action: "agents/stop".into(),
                object: "agent/\x1b[2J".into(),
                outcome: AuditOutcome::Refused,
                reason: "no\r\nrow 9".into(),
                correlation: CorrelationId(1),
            },
            standing: AuditStanding::Refused,
            hash: Digest::default(),
        };
        let ctl = Ctl {
            client: crate::cli::Client::new("/none".into(), std::time::Duration::ZERO),
            socket_named: false,
            ui: Ui::new(ColorChoice::Never, false),
            output: crate::cli::Output::Wide,
            timeout: None,
            key_file: None,
        };
        for (text, lines) in [(table(&ctl, std::slice::from_ref(&entry), true), 2), (whole(&entry), 10)] {
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(!text.contains(['\x1b', '\u{202e}', '\r']), "{text:?}");
        }
    }
}
