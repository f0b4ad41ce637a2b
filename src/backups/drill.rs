//! A drill: a backup restored to scratch as it would be in earnest, opened as the daemon opens its own, and compared. What
//! it takes is measured; nothing of it is left.
use super::{
    dump,
    inspect::{Parse, contents, opened},
    lock::Lock,
    make::{SEALED, blocking},
    shelf::Shelf,
    unpack::extract,
};
use crate::{
    config::{BackupDatabase, StoreSettings},
    domain::{BackupId, BackupManifest, Fault, FaultKind, Part, one_line},
    resilience::Clock,
    store::{AuditFiles, Store},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// What is needed to try one out.
pub(super) struct Rehearsal<'a> {
    pub shelf: &'a Shelf,
    pub lock: &'a Lock,
    pub parse: &'a Parse,
    pub store: &'a StoreSettings,
    pub databases: &'a [BackupDatabase],
    pub clock: &'a Clock,
}

pub(super) struct Tried {
    pub manifest: BackupManifest,
    pub problems: Vec<String>,
    pub took: Duration,
}

impl Rehearsal<'_> {
    /// A fault where nothing could be tried: it is not there, or there is no key to it.
    pub async fn of(&self, id: &BackupId) -> Result<Tried, Fault> {
        let began = self.clock.instant();
        let bench = {
            let shelf = self.shelf.clone();
            Arc::new(blocking(move || shelf.scratch()).await?)
        };
        let (manifest, mut problems) = {
            let (shelf, id, lock, parse) =
                (self.shelf.clone(), id.clone(), self.lock.clone(), Arc::clone(self.parse));
            let bench = Arc::clone(&bench);
            blocking(move || {
                let (manifest, key) = opened(&shelf, &id, &lock)?;
                let problems = match extract(&shelf, &manifest, key.as_ref(), bench.path()) {
                    Ok(()) => contents(bench.path(), &manifest, &parse),
                    Err(fault) if fault.kind == FaultKind::Refused => vec![fault.message],
                    Err(fault) => return Err(fault),
                };
                Ok((manifest, problems))
            })
            .await?
        };
        if problems.is_empty() {
            problems
                .extend(self.started(bench.path(), &manifest).await.map_err(|f| one_line(&f.message)).err());
            problems.extend(self.tried_out(bench.path(), &manifest).await);
        }
        Ok(Tried { manifest, problems, took: began.elapsed() })
    }

    /// A daemon could start on it: it is brought to our version, answers, and is whole then.
    async fn started(&self, dir: &Path, manifest: &BackupManifest) -> Result<(), Fault> {
        let settings = StoreSettings { readers_min: 1, readers_max: 2, ..self.store.clone() };
        let (database, clock) = (AuditFiles::of(dir).database, self.clock.clone());
        let aside: PathBuf = dir.join("migrated");
        let store = blocking(move || Ok(Store::open(&database, &aside, &settings, clock)?)).await?;
        let asked = async {
            let (version, head) = store.version().await?;
            let whole = store.integrity().await?;
            let trail = store.verify_audit().await?;
            let problem = if version != i64::from(head) {
                Some(format!("the restored database stays at version {version}"))
            } else if let Some(line) = whole.damage.first() {
                Some(format!("the restored database is damaged: {line}"))
            } else if manifest.trail_whole && !trail.whole {
                Some("the restored audit trail does not verify".into())
            } else {
                None
            };
            problem.map_or(Ok(()), |why| Err(Fault::internal(why)))
        };
        let outcome = asked.await;
        store.close().await;
        outcome
    }

    /// Dumps that have a database for drills.
    async fn tried_out(&self, dir: &Path, manifest: &BackupManifest) -> Vec<String> {
        let mut problems = Vec::new();
        for database in self.databases {
            let name = format!("{}.dump", database.name);
            let dumped = manifest
                .files
                .iter()
                .any(|file| file.part == Part::Dump && file.name.trim_end_matches(SEALED) == name);
            if !dumped {
                continue;
            }
            if let Some(Err(fault)) = dump::try_out(database, &dir.join(&name)).await {
                problems.push(one_line(&fault.message));
            }
        }
        problems
    }
}
