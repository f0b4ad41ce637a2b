//! export, both ends: pages of rows with their hashes, between a line that says what the first rests on and one that
//! seals both ends.
use super::list::since;
use crate::{
    cli::{CliError, Ctl, Exit, Output},
    daemon::{App, Route},
    domain::{AuditEntry, Audited, Caller, Digest, Fault, Permission},
    protocol::{Endpoint, Verb},
    store::{ExportLine, ExportRow},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const PAGE: u32 = 1_000;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// From the first row that is not older: 15m, 2d, a date or a timestamp; all of them by default
    #[arg(long, value_name = "15m|DATE", value_parser = since)]
    since: Option<Timestamp>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// Rows after this one.
    pub after: u64,
    /// Counts on the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Where the export began; 0 on its first page.
    #[serde(default)]
    pub first: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    pub schema_version: u32,
    pub entries: Vec<AuditEntry>,
    /// What the first of them rests on.
    pub previous: Option<Digest>,
    /// Of all from the export's first to the last here.
    pub seal: Digest,
}

struct Export;
impl Endpoint for Export {
    const NAME: &'static str = "audit/export";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AuditRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Page;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Export, _, _>(handle)]
}

async fn handle(app: App, _caller: Caller, request: Request) -> Result<Page, Fault> {
    let after = match request.since {
        // Nothing is so young: after the last there can be.
        Some(since) => app.store.audit_before(since).await?.unwrap_or(u64::MAX),
        None => request.after,
    };
    let page = app.store.audit_page(after, PAGE).await?;
    let ends = page.entries.first().zip(page.entries.last());
    let seal = match ends {
        Some((first, last)) => {
            let from = if request.first == 0 { first.event.seq } else { request.first };
            app.store.seal_audit(from, last.event.seq, &last.hash)
        }
        None => app.store.seal_audit(0, 0, &Digest::default()),
    };
    Ok(Page { schema_version: 1, entries: page.entries, previous: page.previous, seal })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    if !matches!(ctl.output, Output::Table | Output::Jsonl) {
        return Err(Fault::usage(format!("cannot export as {}: an export is JSON lines", ctl.output.name()))
            .hint("leave -o out; `agentctl audit list` takes the other formats")
            .into());
    }
    let mut page = ctl.client.call::<Export>(&Request { since: args.since, ..Request::default() }).await?;
    let first = page.entries.first().map_or(0, |entry| entry.event.seq);
    let previous = page.previous.unwrap_or_default();
    line(ctl, &ExportLine::Begin { schema_version: 1, export: "audit".into(), first, previous })?;
    let (mut rows, mut end, mut seal) = (0, 0, page.seal);
    while let Some(last) = page.entries.last() {
        (end, seal) = (last.event.seq, page.seal);
        rows += page.entries.len() as u64;
        for AuditEntry { event, hash, .. } in std::mem::take(&mut page.entries) {
            line(ctl, &ExportLine::Row(Box::new(ExportRow { event, hash })))?;
        }
        page = ctl.client.call::<Export>(&Request { after: end, since: None, first }).await?;
    }
    line(ctl, &ExportLine::End { end, rows, seal })?;
    Ok(Exit::Ok)
}

fn line(ctl: &Ctl, line: &ExportLine) -> Result<(), CliError> {
    let text = serde_json::to_string(line).map_err(|error| CliError::Protocol(error.to_string()))?;
    ctl.ui.data(&(text + "\n"))
}
