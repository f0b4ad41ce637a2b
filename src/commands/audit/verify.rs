//! verify, both ends: the live trail through the daemon, the files of a state directory without one, or an export.
use crate::{
    cli::{CliError, Ctl, Exit, one_line},
    commands::daemon::ask,
    config::{Paths, Settings},
    daemon::{App, Route},
    domain::{AuditVerdict, Audited, Caller, Fault, FaultKind, Permission},
    protocol::{Endpoint, Verb},
    store::{AuditFiles, StoreError, StoreErrorKind, verify_audit_export, verify_audit_files},
};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// What `audit export` wrote; without it, the trail itself
    file: Option<PathBuf>,
    /// Read the files of this state directory, or of a copy of it, and ask no daemon
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Verified {
    pub schema_version: u32,
    #[serde(flatten)]
    pub verdict: AuditVerdict,
}

struct Verify;
impl Endpoint for Verify {
    const NAME: &'static str = "audit/verify";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::AuditRead;
    const AUDITED: Audited = Audited::Not;
    type Request = Request;
    type Reply = Verified;
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Verify, _, _>(handle)]
}

async fn handle(app: App, _caller: Caller, _request: Request) -> Result<Verified, Fault> {
    Ok(Verified { schema_version: 1, verdict: app.store.verify_audit().await? })
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    let (verified, what) = match (args.file, args.state_dir) {
        (None, None) => (ctl.client.call::<Verify>(&Request {}).await?, "the audit trail"),
        (None, Some(dir)) => {
            let files = AuditFiles::of(&dir);
            if !files.database.exists() {
                let missing = format!("cannot find {}", files.database.display());
                return Err(Fault::not_found(missing)
                    .hint("--state-dir names the directory with agentd.db, audit.key and audit.anchors in it")
                    .into());
            }
            (verified(verify_audit_files(&files))?, "the audit trail")
        }
        (Some(file), dir) => {
            let text = fs::read_to_string(&file).map_err(|error| {
                Fault::not_found(format!("cannot read {}: {error}", file.display()))
                    .hint("`agentctl audit export > FILE` writes one")
            })?;
            let files = AuditFiles::of(&state_dir(dir, ctl).await);
            (verified(verify_audit_export(&text, &files))?, "the export")
        }
    };
    ctl.output.print(&ctl.ui, &verified, |_| told(&verified.verdict, what))?;
    Ok(if verified.verdict.whole { Exit::Ok } else { Exit::Negative })
}

fn verified(outcome: Result<AuditVerdict, StoreError>) -> Result<Verified, Fault> {
    match outcome {
        Ok(verdict) => Ok(Verified { schema_version: 1, verdict }),
        // A file that is no trail at all is the operator's to mend, and no defect of ours.
        Err(error) if error.kind == StoreErrorKind::Unusable || error.kind == StoreErrorKind::Failed => {
            Err(Fault { kind: FaultKind::Config, ..error.into() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Where the key is: named, or of the daemon that answers, or where one started here would have it.
async fn state_dir(named: Option<PathBuf>, ctl: &Ctl) -> PathBuf {
    match named {
        Some(dir) => dir,
        None => match ask(&ctl.client).await {
            Ok(state) => state.state_dir.into(),
            Err(_) => Paths::new(&Settings::default()).state_dir,
        },
    }
}

fn told(verdict: &AuditVerdict, what: &str) -> String {
    let mut text = String::new();
    match verdict.breaks.first() {
        None => text.push_str(&format!("{what} is whole: {}\n", span(verdict))),
        Some(_) => text.push_str(&format!("{what} is BROKEN: {} up to there\n", span(verdict))),
    }
    for found in &verdict.breaks {
        text.push_str(&format!(
            "{:<12} at row {}: {}\n",
            found.kind.as_str(),
            found.seq,
            one_line(&found.what)
        ));
    }
    if let Some(to) = verdict.pruned_to {
        text.push_str(&format!("{:<12} rows up to {to}, by retention\n", "pruned"));
    }
    match (verdict.anchored_to, verdict.anchored_at) {
        (Some(to), Some(at)) => text.push_str(&format!("{:<12} up to row {to}, at {at}\n", "anchored")),
        _ if verdict.rows > 0 => text.push_str(&format!("{:<12} no row of these\n", "anchored")),
        _ => {}
    }
    if verdict.whole && verdict.unanchored > 0 {
        let rows = if verdict.unanchored == 1 { "row is" } else { "rows are" };
        text.push_str(&format!(
            "{:<12} {} {rows} held by the key alone; that more came after them would not show\n",
            "since", verdict.unanchored
        ));
    }
    if verdict.torn {
        text.push_str(&format!(
            "{:<12} the last line of the anchors is cut off, as a crash leaves it\n",
            "torn"
        ));
    }
    text
}

fn span(verdict: &AuditVerdict) -> String {
    match (verdict.rows, verdict.first, verdict.last) {
        (0, _, _) | (_, None, _) | (_, _, None) => "no row".into(),
        (1, Some(first), _) => format!("1 row, {first}"),
        (rows, Some(first), Some(last)) => format!("{rows} rows, {first} to {last}"),
    }
}
