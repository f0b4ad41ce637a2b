//! The daemon's own backups, as readiness sees them: the same code, on scratch.
use super::boot::kinds;
use crate::{
    backups::{self, Backups, BackupsParts, Lock, Parse, References, Shelf, Wanted},
    config::{self, Paths, Settings, Sources},
    deploy::checklist::{self, LastBackup},
    domain::{BackupId, BackupStanding, Content, Drill, Fault},
    errors::Errors,
    readiness::Safekeeping,
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// The backups of a daemon, or of a scratch one.
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
        references: Some(Arc::new(OfReleases(store.clone()))),
    })
}

/// A release refers to the backup that was the newest when it was recorded.
struct OfReleases(Store);

impl References for OfReleases {
    fn backups(&self) -> BoxFuture<'_, Result<BTreeSet<BackupId>, Fault>> {
        Box::pin(async {
            let releases = self.0.releases().await?;
            Ok(releases.into_iter().filter_map(|standing| standing.release.backup?.parse().ok()).collect())
        })
    }
}

/// What the checklist asks of backups.
pub struct LastMade(Backups);

impl LastMade {
    pub fn of(backups: &Backups) -> Self {
        Self(backups.clone())
    }
}

impl checklist::Backups for LastMade {
    fn last(&self) -> BoxFuture<'_, Result<Option<LastBackup>, Fault>> {
        Box::pin(async {
            let BackupStanding { newest, last_drill } = self.0.standing().await?;
            let newest = newest.and_then(|entry| Some((entry.manifest?, entry.verified)));
            Ok(newest.map(|(manifest, verified)| LastBackup {
                id: manifest.id.to_string(),
                made_at: manifest.at,
                verified_at: verified.filter(|seen| seen.problems.is_empty()).map(|seen| seen.at),
                drilled_at: last_drill.filter(Drill::passed).map(|drill| drill.at),
            }))
        })
    }
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
