//! Attestations: who answers for an item that no machine can check, with what to show, and until when. Both ends.
use super::evidence;
use crate::{
    cli::{CliError, Ctl, Exit, Table, When, one_line, when},
    daemon::{App, Route},
    deploy::checklist::{AttestRequest, AttestationEntry, Shown},
    domain::{Act, Attestation, Audited, Caller, Fault, Permission, Standing, moment},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Of kind attest, as `deploy-check items` shows it
    #[arg(value_name = "ITEM", required = true)]
    item: Option<String>,
    /// Who answers for it; who is seen to say so is kept beside it
    #[arg(long, value_name = "NAME", required = true)]
    by: Option<String>,
    /// What was seen or done
    #[arg(long, value_name = "TEXT", required = true)]
    note: Option<String>,
    /// A file that shows it, of at most 640 KiB; it is kept
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// When it ends: a date (its end, in UTC) or a time from now [default: as the item or the manifest says]
    #[arg(long, value_name = "DATE|7d", value_parser = when)]
    expires: Option<When>,
    /// For this release alone
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// The environment that this is believed to be; refused if the daemon runs another
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List the attestations that have not lapsed, and how each stands
    #[command(visible_alias = "ls")]
    List {
        /// Those that expired or were revoked too
        #[arg(long)]
        all: bool,
    },
    /// End an attestation before its time
    Revoke {
        #[arg(value_name = "ATTESTATION")]
        id: u64,
    },
    /// Write the file that was shown with an attestation
    Evidence {
        #[arg(value_name = "ATTESTATION")]
        id: u64,
        /// A file that does not exist yet
        #[arg(long, value_name = "FILE")]
        save: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    pub schema_version: u32,
    #[serde(flatten)]
    pub attestation: Attestation,
}

struct Add;
impl Endpoint for Add {
    const NAME: &'static str = "attestations/add";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ChecklistAttest;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = AttestRequest;
    type Reply = Kept;

    /// It has no number before it is kept.
    fn object(request: &AttestRequest) -> String {
        format!("item/{}", request.item)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Attestations {
    pub schema_version: u32,
    pub attestations: Vec<AttestationEntry>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "attestations/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Attestations;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct One {
    pub id: u64,
}

struct Revoke;
impl Endpoint for Revoke {
    const NAME: &'static str = "attestations/revoke";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ChecklistAttest;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = One;
    type Reply = Kept;

    fn object(request: &One) -> String {
        format!("attestation/{}", request.id)
    }
}

struct Evidence;
impl Endpoint for Evidence {
    const NAME: &'static str = "attestations/evidence";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::ChecklistAttest;
    const AUDITED: Audited = Audited::Read;
    type Request = One;
    type Reply = Shown;

    fn object(request: &One) -> String {
        format!("attestation/{}", request.id)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Add, _, _>(handle_add),
        Route::to::<List, _, _>(handle_list),
        Route::to::<Revoke, _, _>(handle_revoke),
        Route::to::<Evidence, _, _>(handle_evidence),
    ]
}

async fn handle_add(app: App, caller: Caller, request: AttestRequest) -> Result<Kept, Fault> {
    let act = Act::new(&caller, Add::NAME, "");
    Ok(Kept { schema_version: 1, attestation: app.checklist.attest(request, &caller, act).await? })
}

async fn handle_list(app: App, _caller: Caller, request: ListRequest) -> Result<Attestations, Fault> {
    Ok(Attestations { schema_version: 1, attestations: app.checklist.attestations(request.all).await? })
}

async fn handle_revoke(app: App, caller: Caller, request: One) -> Result<Kept, Fault> {
    let act = Act::new(&caller, Revoke::NAME, "");
    Ok(Kept { schema_version: 1, attestation: app.checklist.revoke(request.id, &caller, act).await? })
}

async fn handle_evidence(app: App, _caller: Caller, request: One) -> Result<Shown, Fault> {
    app.checklist.evidence(request.id).await
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        None => {
            let (expires_at, expires_in) = match args.expires {
                Some(When::At(at)) => (Some(at), None),
                Some(When::In(period)) => (None, Some(period)),
                None => (None, None),
            };
            let request = AttestRequest {
                item: args.item.unwrap_or_default(),
                by: args.by.unwrap_or_default(),
                note: args.note.unwrap_or_default(),
                evidence: args.evidence.as_deref().map(evidence::read).transpose()?,
                expires_at,
                expires_in,
                release: args.release,
                environment: args.environment,
            };
            let kept = ctl.client.call::<Add>(&request).await?;
            ctl.output.print(&ctl.ui, &kept, |_| {
                let Attestation { id, item, by, principal, .. } = &kept.attestation;
                let until = moment(kept.attestation.expires_at);
                sentence(&format!(
                    "attestation {id} of {item} until {until}: {by} answers for it ({principal})"
                ))
            })?;
        }
        Some(Action::List { all }) => {
            let list = ctl.client.call::<List>(&ListRequest { all }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.attestations, wide))?;
        }
        Some(Action::Revoke { id }) => {
            let kept = ctl.client.call::<Revoke>(&One { id }).await?;
            ctl.output.print(&ctl.ui, &kept, |_| {
                sentence(&format!("attestation {id} of {} is revoked", kept.attestation.item))
            })?;
        }
        Some(Action::Evidence { id, save }) => {
            let shown = ctl.client.call::<Evidence>(&One { id }).await?;
            let bytes = shown.bytes()?;
            evidence::write(&save, &bytes)?;
            ctl.ui.note(&sentence(&format!(
                "{} bytes of {} are in {}",
                bytes.len(),
                shown.name,
                save.display()
            )));
        }
    }
    Ok(Exit::Ok)
}

fn table(ctl: &Ctl, entries: &[AttestationEntry], wide: bool) -> String {
    if entries.is_empty() {
        return "nobody answers for anything: `agentctl deploy-check attest ITEM --by NAME --note TEXT`\n"
            .into();
    }
    let mut head = vec!["ID", "ITEM", "STANDING", "UNTIL", "BY", "RELEASE"];
    head.extend(wide.then_some(["GIVEN", "PRINCIPAL", "UID", "EVIDENCE"]).into_iter().flatten());
    head.push("NOTE");
    let mut table = Table::new(&head).figures(&[0]).painted(2, &ctl.ui, |word| match word {
        "in force" => Some("32"),
        "void" => Some("31"),
        _ => Some("2"),
    });
    for AttestationEntry { attestation: word, standing } in entries {
        let ended = match standing {
            Standing::Revoked => word.revoked_at.unwrap_or(word.expires_at),
            Standing::InForce | Standing::Void | Standing::Expired => word.expires_at,
        };
        let mut row = vec![
            word.id.to_string(),
            word.item.clone(),
            standing.as_str().into(),
            moment(ended),
            word.by.clone(),
            word.release.clone().unwrap_or_else(|| "(any)".into()),
        ];
        if wide {
            let shown = word.evidence.as_ref().map_or_else(
                || "-".into(),
                |file| format!("{} ({} bytes, sha256 {})", file.name, file.bytes, file.sha256),
            );
            row.extend([moment(word.attested_at), word.principal.to_string(), word.uid.to_string(), shown]);
        }
        row.push(word.note.clone());
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn sentence(text: &str) -> String {
    format!("{}\n", one_line(text))
}
