//! What can be done with backups when no daemon runs: they are read where they lie, and nothing beside them is touched.
use super::{
    args::Offline,
    serve::{Listed, Looked, Restored},
};
use crate::{
    backups::{Lock, Parse, Shelf, inspect, unpack},
    config::{self, Sources},
    daemon,
    domain::{BackupId, Fault, Verified},
};
use jiff::Timestamp;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub async fn list(from: &Path) -> Result<Listed, Fault> {
    let shelf = shelf(from)?;
    let listed = tokio::task::spawn_blocking(move || shelf.list()).await;
    let backups = listed.map_err(|panic| Fault::internal(format!("cannot read the backups: {panic}")))??;
    Ok(Listed { schema_version: 1, backups })
}

pub async fn verify(id: BackupId, from: &Path, offline: &Offline) -> Result<Looked, Fault> {
    let (shelf, lock) = (shelf(from)?, lock(offline).await?);
    let problems = inspect(&shelf, &id, &lock, &parse()).await?;
    let by = format!("uid {}", rustix::process::geteuid().as_raw());
    Ok(Looked { schema_version: 1, id, verified: Verified { at: Timestamp::now(), by, problems } })
}

pub async fn restore(id: BackupId, to: PathBuf, from: &Path, offline: &Offline) -> Result<Restored, Fault> {
    let (shelf, lock) = (shelf(from)?, lock(offline).await?);
    let place = to.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(&shelf, &id, &lock, &place)).await;
    let backup =
        unpacked.map_err(|panic| Fault::internal(format!("cannot unpack the backup: {panic}")))??;
    Ok(Restored { schema_version: 1, to, backup })
}

fn shelf(from: &Path) -> Result<Shelf, Fault> {
    if from.is_dir() {
        return Ok(Shelf::at(from.to_owned()));
    }
    Err(Fault::not_found(format!("cannot find backups in {}: it is no directory", from.display()))
        .hint("they lie in `backups` of the state directory, or in `dir` of [backups]"))
}

async fn lock(offline: &Offline) -> Result<Lock, Fault> {
    Lock::from(offline.passphrase.as_deref(), offline.key_file.as_deref()).await
}

/// By the kinds of agents that this program knows.
fn parse() -> Parse {
    Arc::new(|file| {
        let loaded = config::load(&Sources::file(file.to_owned()), &daemon::kinds());
        loaded.map(drop).map_err(|problems| problems.to_string())
    })
}
