//! The daemon's end of `agentctl backup`.
use crate::{
    commands::way::Begun,
    daemon::{App, Route},
    deploy::{Making, backup_to_make},
    domain::{
        Act, Audited, BackupEntry, BackupId, BackupManifest, Caller, Drill, Fault, Permission, Verified,
        visible,
    },
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// The longest note that is taken, in characters.
const LONGEST: usize = 200;
const MOST_DRILLS: u32 = 100;

#[derive(Debug, Serialize, Deserialize)]
pub struct CreateRequest {
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct One {
    pub schema_version: u32,
    #[serde(flatten)]
    pub backup: BackupEntry,
    #[serde(default)]
    pub drills: Vec<Drill>,
}

pub struct Create;
impl Endpoint for Create {
    const NAME: &'static str = "backups/create";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::BackupMake;
    const AUDITED: Audited = Audited::Around;
    type Request = CreateRequest;
    type Reply = Begun;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    pub schema_version: u32,
    pub backups: Vec<BackupEntry>,
}

pub struct List;
impl Endpoint for List {
    const NAME: &'static str = "backups/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Listed;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct IdRequest {
    pub id: BackupId,
}

pub struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "backups/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = IdRequest;
    type Reply = One;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Looked {
    pub schema_version: u32,
    pub id: BackupId,
    #[serde(flatten)]
    pub verified: Verified,
}

pub struct Verify;
impl Endpoint for Verify {
    const NAME: &'static str = "backups/verify";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::BackupMake;
    const AUDITED: Audited = Audited::Around;
    type Request = IdRequest;
    type Reply = Looked;

    fn object(request: &IdRequest) -> String {
        format!("backup/{}", request.id)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreRequest {
    pub id: BackupId,
    pub to: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Restored {
    pub schema_version: u32,
    pub to: PathBuf,
    /// What was unpacked.
    pub backup: BackupManifest,
}

pub struct Restore;
impl Endpoint for Restore {
    const NAME: &'static str = "backups/restore";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::ReleaseDeploy;
    const AUDITED: Audited = Audited::Around;
    type Request = RestoreRequest;
    type Reply = Restored;

    fn object(request: &RestoreRequest) -> String {
        format!("backup/{}", request.id)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DrillRequest {
    #[serde(default)]
    pub id: Option<BackupId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Drilled {
    pub schema_version: u32,
    #[serde(flatten)]
    pub drill: Drill,
}

/// Its row in the trail is written with that of the drill.
pub struct Try;
impl Endpoint for Try {
    const NAME: &'static str = "backups/drill";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::BackupMake;
    const AUDITED: Audited = Audited::WithEffect;
    type Request = DrillRequest;
    type Reply = Drilled;

    fn object(request: &DrillRequest) -> String {
        request.id.as_ref().map(|id| format!("backup/{id}")).unwrap_or_default()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Drills {
    pub schema_version: u32,
    pub drills: Vec<Drill>,
}

pub struct ListDrills;
impl Endpoint for ListDrills {
    const NAME: &'static str = "backups/drills";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = Drills;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Deleted {
    pub schema_version: u32,
    pub id: BackupId,
}

pub struct Delete;
impl Endpoint for Delete {
    const NAME: &'static str = "backups/delete";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::BackupMake;
    const AUDITED: Audited = Audited::Around;
    type Request = IdRequest;
    type Reply = Deleted;

    fn object(request: &IdRequest) -> String {
        format!("backup/{}", request.id)
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<Create, _, _>(handle_create),
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Verify, _, _>(handle_verify),
        Route::to::<Restore, _, _>(handle_restore),
        Route::to::<Try, _, _>(handle_drill),
        Route::to::<ListDrills, _, _>(handle_drills),
        Route::to::<Delete, _, _>(handle_delete),
    ]
}

async fn handle_create(app: App, caller: Caller, request: CreateRequest) -> Result<Begun, Fault> {
    let note = request.note.trim().to_owned();
    if note.chars().count() > LONGEST {
        return Err(Fault::usage(format!(
            "cannot make a backup: its note is longer than {LONGEST} characters"
        )));
    }
    if visible(&note) != note || note.contains(['\n', '\t']) {
        return Err(Fault::usage("cannot make a backup: its note holds what is no text of one line"));
    }
    let Caller { principal: by, correlation, .. } = caller;
    let making = Making { by: by.clone(), note, force: false, correlation };
    let operation = app.operations.begin(backup_to_make(&making)?, by).await?;
    Ok(Begun { schema_version: 1, operation })
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<Listed, Fault> {
    Ok(Listed { schema_version: 1, backups: app.backups.list().await? })
}

async fn handle_show(app: App, _caller: Caller, request: IdRequest) -> Result<One, Fault> {
    let (backup, drills) = app.backups.show(request.id).await?;
    Ok(One { schema_version: 1, backup, drills })
}

async fn handle_verify(app: App, caller: Caller, request: IdRequest) -> Result<Looked, Fault> {
    let by = caller.principal.to_string();
    let verified = app.backups.verify(request.id.clone(), by, quiet()).await?;
    Ok(Looked { schema_version: 1, id: request.id, verified })
}

async fn handle_restore(app: App, _caller: Caller, request: RestoreRequest) -> Result<Restored, Fault> {
    let RestoreRequest { id, to } = request;
    let backup = app.backups.unpack(id, to.clone(), quiet()).await?;
    Ok(Restored { schema_version: 1, to, backup })
}

async fn handle_drill(app: App, caller: Caller, request: DrillRequest) -> Result<Drilled, Fault> {
    let act = Act::new(&caller, Try::NAME, "");
    Ok(Drilled { schema_version: 1, drill: app.backups.drill(request.id, act, quiet()).await? })
}

async fn handle_drills(app: App, _caller: Caller, _request: ListRequest) -> Result<Drills, Fault> {
    Ok(Drills { schema_version: 1, drills: app.backups.drills(MOST_DRILLS).await? })
}

async fn handle_delete(app: App, _caller: Caller, request: IdRequest) -> Result<Deleted, Fault> {
    app.backups.delete(request.id.clone()).await?;
    Ok(Deleted { schema_version: 1, id: request.id })
}

/// Nobody follows these yet.
fn quiet() -> crate::backups::Tell {
    Arc::new(|_| {})
}
