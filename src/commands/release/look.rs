//! list, show, diff, verify: nothing is changed.
use super::show::{diffed, page, table};
use crate::{
    cli::{CliError, Ctl, Exit, one_line},
    daemon::{App, Route},
    deploy::{ReleaseDiff, ReleaseEntry, Verification},
    domain::{Audited, Caller, Fault, Permission, ReleaseId},
    protocol::{Endpoint, Verb},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

#[derive(Debug, Serialize, Deserialize)]
pub struct ListRequest {}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseList {
    pub schema_version: u32,
    pub at: Timestamp,
    /// Newest first.
    pub releases: Vec<ReleaseEntry>,
    /// What lies among the releases and is none, a sentence each.
    pub strays: Vec<String>,
}

struct List;
impl Endpoint for List {
    const NAME: &'static str = "releases/list";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = ListRequest;
    type Reply = ReleaseList;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct IdRequest {
    pub id: ReleaseId,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct One {
    pub schema_version: u32,
    pub at: Timestamp,
    pub release: ReleaseEntry,
}

pub struct Show;
impl Endpoint for Show {
    const NAME: &'static str = "releases/show";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = IdRequest;
    type Reply = One;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DiffRequest {
    pub from: ReleaseId,
    pub to: ReleaseId,
}

struct Diff;
impl Endpoint for Diff {
    const NAME: &'static str = "releases/diff";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::FleetRead;
    const AUDITED: Audited = Audited::Not;
    type Request = DiffRequest;
    type Reply = ReleaseDiff;
}

/// A look, but one that reads every file: not for whoever may only watch.
struct Verify;
impl Endpoint for Verify {
    const NAME: &'static str = "releases/verify";
    const VERB: Verb = Verb::Read;
    const NEEDS: Permission = Permission::ReleaseManage;
    const AUDITED: Audited = Audited::Not;
    type Request = IdRequest;
    type Reply = Verification;
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::to::<List, _, _>(handle_list),
        Route::to::<Show, _, _>(handle_show),
        Route::to::<Diff, _, _>(handle_diff),
        Route::to::<Verify, _, _>(handle_verify),
    ]
}

async fn handle_list(app: App, _caller: Caller, _request: ListRequest) -> Result<ReleaseList, Fault> {
    let (releases, strays) = app.releases.list().await?;
    Ok(ReleaseList { schema_version: 1, at: app.clock.now(), releases, strays })
}

async fn handle_show(app: App, _caller: Caller, request: IdRequest) -> Result<One, Fault> {
    let release = app.releases.get(request.id).await?;
    Ok(One { schema_version: 1, at: app.clock.now(), release })
}

async fn handle_diff(app: App, _caller: Caller, request: DiffRequest) -> Result<ReleaseDiff, Fault> {
    app.releases.diff(request.from, request.to).await
}

async fn handle_verify(app: App, _caller: Caller, request: IdRequest) -> Result<Verification, Fault> {
    app.releases.verify(request.id).await
}

pub async fn list(ctl: &Ctl) -> Result<Exit, CliError> {
    let list = ctl.client.call::<List>(&ListRequest {}).await?;
    ctl.output.print(&ctl.ui, &list, |wide| {
        let mut text = table(ctl, &list.releases, list.at, wide);
        for stray in &list.strays {
            let _ = writeln!(text, "\n{}", one_line(stray));
        }
        text
    })?;
    Ok(Exit::Ok)
}

pub async fn show(id: ReleaseId, ctl: &Ctl) -> Result<Exit, CliError> {
    let one = ctl.client.call::<Show>(&IdRequest { id }).await?;
    ctl.output.print(&ctl.ui, &one, |_| page(&one.release, one.at))?;
    Ok(Exit::Ok)
}

pub async fn diff(from: ReleaseId, to: ReleaseId, ctl: &Ctl) -> Result<Exit, CliError> {
    let diff = ctl.client.call::<Diff>(&DiffRequest { from, to }).await?;
    ctl.output.print(&ctl.ui, &diff, |_| diffed(&diff, &ctl.ui))?;
    Ok(Exit::Ok)
}

pub async fn verify(id: ReleaseId, ctl: &Ctl) -> Result<Exit, CliError> {
    let found = ctl.client.call::<Verify>(&IdRequest { id }).await?;
    ctl.output.print(&ctl.ui, &found, |_| {
        if found.sound {
            return format!("{id} is as it was recorded: {} files, {} bytes\n", found.files, found.bytes);
        }
        let mut text = format!("{id} is not as it was recorded:\n");
        for problem in &found.problems {
            let _ = writeln!(text, "  {}", one_line(problem));
        }
        text
    })?;
    Ok(if found.sound { Exit::Ok } else { Exit::Negative })
}
