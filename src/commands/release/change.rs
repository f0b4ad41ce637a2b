//! create, bless, delete.
use super::{
    look::{IdRequest, One, Show},
    show::{created, previewed},
};
use crate::{
    cli::{CliError, Ctl, Exit, Output, confirm},
    commands::{
        operation::{Made, made},
        way::Begun,
    },
    daemon::{App, Route},
    deploy::{Creation, Making, Preview, release_to_make},
    domain::{Act, Audited, Caller, Fault, FaultKind, Permission, ReleaseId},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};

const LONGEST: usize = 500;

#[derive(clap::Args, Debug)]
pub struct CreateArgs {
    /// What it brings, for whoever reads the list at night
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Say what would be recorded, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Also where a release with the same content is there already
    #[arg(long)]
    force: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CreateRequest {
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub force: bool,
}

/// What there is to copy may be large: it is an operation.
struct Create;
impl Endpoint for Create {
    const NAME: &'static str = "releases/create";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseManage;
    const AUDITED: Audited = Audited::Around;
    type Request = CreateRequest;
    type Reply = Begun;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PreviewRequest {
    #[serde(default)]
    pub note: String,
}

struct Previewed;
impl Endpoint for Previewed {
    const NAME: &'static str = "releases/preview";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::ReleaseManage;
    const AUDITED: Audited = Audited::Not;
    type Request = PreviewRequest;
    type Reply = Preview;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BlessRequest {
    pub id: ReleaseId,
    #[serde(default)]
    pub reason: String,
    /// Somebody answers for it although no soak said go for it, and says why.
    #[serde(default)]
    pub unproved: bool,
}

struct Bless;
impl Endpoint for Bless {
    const NAME: &'static str = "releases/bless";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = BlessRequest;
    type Reply = One;

    fn object(request: &BlessRequest) -> String {
        format!("release/{}", request.id)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Deleted {
    pub schema_version: u32,
    pub id: ReleaseId,
}

struct Delete;
impl Endpoint for Delete {
    const NAME: &'static str = "releases/delete";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseManage;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = IdRequest;
    type Reply = Deleted;

    fn object(request: &IdRequest) -> String {
        format!("release/{}", request.id)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Create, _, _>(handle_create),
        Route::to::<Previewed, _, _>(handle_preview),
        Route::to::<Bless, _, _>(handle_bless),
        Route::to::<Delete, _, _>(handle_delete),
    ]
}

async fn handle_create(app: App, caller: Caller, request: CreateRequest) -> Result<Begun, Fault> {
    let CreateRequest { note, force } = request;
    if note.chars().count() > LONGEST || note.chars().any(char::is_control) {
        let message = format!("cannot take this note: one line of at most {LONGEST} characters");
        return Err(Fault::usage(message).hint("--note \"booking 2.4, OPS-17\""));
    }
    let Caller { principal: by, correlation, .. } = caller;
    let making = Making { by: by.clone(), note, force, correlation };
    let operation = app.operations.begin(release_to_make(&making)?, by).await?;
    Ok(Begun { schema_version: 1, operation })
}

async fn handle_preview(app: App, caller: Caller, request: PreviewRequest) -> Result<Preview, Fault> {
    app.releases.preview(Creation { note: request.note, ..Creation::default() }, &caller).await
}

async fn handle_bless(app: App, caller: Caller, request: BlessRequest) -> Result<One, Fault> {
    let reason = request.reason.trim();
    if reason.chars().count() > LONGEST || reason.chars().any(char::is_control) {
        let message = format!("cannot take this reason: one line of at most {LONGEST} characters");
        return Err(Fault::usage(message).hint("--reason \"48 h without an incident\""));
    }
    let standing = app.releases.may_be_blessed(request.id).await?;
    let reason = match app.checklist.unsoaked(&standing).await? {
        None => reason.to_owned(),
        Some(doubt) => answered_for(request.id, &doubt, request.unproved, reason)?,
    };
    let act = Act::new(&caller, Bless::NAME, "");
    let release = app.releases.bless(request.id, reason, &caller, act).await?;
    Ok(One { schema_version: 1, at: app.clock.now(), release })
}

/// What is kept as the reason of a release that nothing has shown to hold over time; refused where nobody answers for it.
fn answered_for(id: ReleaseId, doubt: &str, unproved: bool, reason: &str) -> Result<String, Fault> {
    if unproved && !reason.is_empty() {
        return Ok(format!("{reason} (unproved: {doubt})"));
    }
    if unproved {
        let message = format!("cannot call {id} stable unproved without a reason: {doubt}");
        return Err(Fault::usage(message).hint("--unproved --reason \"48 h without an incident\""));
    }
    let hint = format!(
        "`agentctl deploy-check --phase short --release {id} --wait`; or answer for it: --unproved --reason TEXT"
    );
    Err(Fault::new(FaultKind::Refused, format!("cannot call {id} stable: {doubt}")).hint(hint))
}

async fn handle_delete(app: App, caller: Caller, request: IdRequest) -> Result<Deleted, Fault> {
    app.releases.delete(request.id, Act::new(&caller, Delete::NAME, "")).await?;
    Ok(Deleted { schema_version: 1, id: request.id })
}

pub async fn create(args: CreateArgs, ctl: &Ctl) -> Result<Exit, CliError> {
    let CreateArgs { note, dry_run, force, detach } = args;
    if dry_run {
        let preview = ctl.client.call::<Previewed>(&PreviewRequest { note }).await?;
        ctl.output.print(&ctl.ui, &preview, |_| previewed(&preview))?;
        return Ok(Exit::Ok);
    }
    let begun = ctl.client.call::<Create>(&CreateRequest { note, force }).await?;
    let left = match made(ctl, &begun, detach).await? {
        Made::Left(left) => left,
        Made::Later(exit) => return Ok(exit),
    };
    let id: ReleaseId = serde_json::from_value(left["release"].clone())
        .map_err(|error| CliError::Protocol(format!("no release is named: {error}")))?;
    let made = ctl.client.call::<Show>(&IdRequest { id }).await?;
    match ctl.output {
        Output::Name => ctl.ui.data(&format!("{id}\n"))?,
        output => output.print(&ctl.ui, &made, |_| created(&made.release))?,
    }
    Ok(Exit::Ok)
}

pub async fn bless(id: ReleaseId, reason: String, unproved: bool, ctl: &Ctl) -> Result<Exit, CliError> {
    let one = ctl.client.call::<Bless>(&BlessRequest { id, reason, unproved }).await?;
    ctl.output.print(&ctl.ui, &one, |_| format!("{id} is stable: a rollback returns to it from now on\n"))?;
    Ok(Exit::Ok)
}

pub async fn delete(id: ReleaseId, yes: bool, ctl: &Ctl) -> Result<Exit, CliError> {
    confirm(&format!("delete release {id} and its files"), yes)?;
    let deleted = ctl.client.call::<Delete>(&IdRequest { id }).await?;
    ctl.output.print(&ctl.ui, &deleted, |_| format!("{id} is deleted\n"))?;
    Ok(Exit::Ok)
}
