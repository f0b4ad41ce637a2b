//! The daemon's own backups, as readiness sees them: the same code, on scratch.
use super::boot::kinds;
use crate::{
    backups::{self, Backups, BackupsParts, Lock, Parse, Shelf, Wanted},
    config::{self, Paths, Settings, Sources},
    domain::{BackupId, BackupStanding, Content, Fault},
    errors::Errors,
    readiness::Safekeeping,
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// The backups of a daemon, or of a scratch one. Nothing refers to a backup yet.
pub fn of(
    settings: &watch::Receiver<Arc<Settings>>,
    config_file: Option<PathBuf>,
    paths: &Paths,
    store: &Store,
    clock: &Clock,
    errors: &Errors,
) -> Backups {
    Backups::new(BackupsParts {
        settings: settings.clone(),
        config_file,
        paths: paths.clone(),
        store: store.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
        parse: parse(),
        references: None,
    })
}

/// Reads a configuration file by the kinds that this daemon can run.
fn parse() -> Parse {
    Arc::new(|file: &Path| {
        let loaded = config::load(&Sources::file(file.to_owned()), &kinds());
        loaded.map(drop).map_err(|problems| problems.to_string())
    })
}

pub struct Safekeeper {
    backups: Backups,
    parse: Parse,
}

impl Safekeeper {
    pub fn new(backups: Backups) -> Self {
        Self { backups, parse: parse() }
    }

    /// As the daemon's own are locked, by a key that is nobody's.
    fn lock(&self) -> Lock {
        if self.backups.are_encrypted() { Lock::scratch() } else { Lock::default() }
    }
}

impl Safekeeping for Safekeeper {
    fn standing(&self) -> BoxFuture<'_, Result<BackupStanding, Fault>> {
        Box::pin(self.backups.standing())
    }

    fn make(&self, store: Store, shelf: PathBuf) -> BoxFuture<'_, Result<(PathBuf, Content), Fault>> {
        Box::pin(async move {
            let shelf = Shelf::at(shelf);
            let wanted = Wanted { by: "validate".into(), ..Wanted::default() };
            let going = Arc::new(|_, _| true);
            let manifest = backups::make(&store, &shelf, &self.lock(), wanted, &self.parse, going).await?;
            Ok((shelf.path(&manifest.id), manifest.content))
        })
    }

    fn verify(&self, shelf: PathBuf) -> BoxFuture<'_, Result<Vec<String>, Fault>> {
        Box::pin(async move {
            let shelf = Shelf::at(shelf);
            let id = only(&shelf).await?;
            backups::inspect(&shelf, &id, &self.lock(), &self.parse).await
        })
    }

    fn unpack(&self, shelf: PathBuf, to: PathBuf) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let shelf = Shelf::at(shelf);
            let id = only(&shelf).await?;
            let lock = self.lock();
            let unpacked =
                tokio::task::spawn_blocking(move || backups::unpack(&shelf, &id, &lock, &to)).await;
            unpacked.map_err(|panic| Fault::internal(format!("cannot unpack: {panic}")))?.map(drop)
        })
    }
}

async fn only(shelf: &Shelf) -> Result<BackupId, Fault> {
    let shelf = shelf.clone();
    let listed = tokio::task::spawn_blocking(move || shelf.list()).await;
    let listed = listed.map_err(|panic| Fault::internal(format!("cannot read the shelf: {panic}")))??;
    listed
        .into_iter()
        .next()
        .map(|entry| entry.id)
        .ok_or_else(|| Fault::not_found("cannot find the backup made"))
}
