//! A backup in earnest, for the operation that puts the state back: its files where that wants them, and its dumps into the
//! databases that they were made from.
use super::{
    Backups,
    dump::{self, no_way_back},
    inspect::opened,
    lock::Lock,
    make::{SEALED, blocking},
    shelf,
    unpack::extract,
};
use crate::{
    config::BackupDatabase,
    domain::{BackupFile, BackupId, BackupManifest, Fault, Part},
};
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
};

/// What becomes of an outside database when a backup is put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseFate {
    Restored,
    /// It was dumped, and is declared no more: its dump stays where it is.
    Undeclared,
    /// It cannot be put back, and why.
    Stuck(&'static str),
}

/// By name: of every database that is declared now, and every one that was dumped then.
pub fn fates(declared: &[BackupDatabase], manifest: &BackupManifest) -> Vec<(String, DatabaseFate)> {
    let dumped = dumped(manifest);
    let known: BTreeSet<&str> = declared.iter().map(|database| database.name.as_str()).collect();
    let of = |database: &BackupDatabase| match no_way_back(database) {
        _ if !dumped.contains(&database.name) => DatabaseFate::Stuck("the backup has no dump of it"),
        Some(why) => DatabaseFate::Stuck(why),
        None => DatabaseFate::Restored,
    };
    let mut fates: Vec<_> = declared.iter().map(|database| (database.name.clone(), of(database))).collect();
    let more = dumped.iter().filter(|name| !known.contains(name.as_str()));
    fates.extend(more.map(|name| (name.clone(), DatabaseFate::Undeclared)));
    fates
}

impl Backups {
    /// Which of its files are gone or of another length; what only reading them would tell is not known by this.
    pub async fn missing(&self, manifest: &BackupManifest) -> Result<Vec<String>, Fault> {
        let (_, shelf) = self.now();
        let (dir, files) = (shelf.path(&manifest.id), manifest.files.clone());
        blocking(move || {
            let length = |name: &str| fs::metadata(dir.join(name)).map(|about| about.len());
            let differs = |file: &BackupFile| match length(&file.name) {
                Ok(bytes) if bytes == file.bytes => None,
                Ok(bytes) => Some(format!("{} has {bytes} bytes instead of {}", file.name, file.bytes)),
                Err(_) => Some(format!("{} is missing", file.name)),
            };
            Ok(files.iter().filter_map(differs).collect())
        })
        .await
    }

    /// Into a directory of the daemon's own that is not there yet; what is in it after a failure is the caller's to remove.
    pub async fn unpack_for_restore(&self, id: BackupId, to: PathBuf) -> Result<BackupManifest, Fault> {
        let _turn = self.turn("unpack a backup").await?;
        let (settings, shelf) = self.now();
        let lock = Lock::of(&settings.backups).await?;
        blocking(move || {
            let (manifest, key) = opened(&shelf, &id, &lock)?;
            let made = DirBuilder::new().mode(0o700).create(&to);
            made.map_err(|error| shelf::cannot("make", &to, &error))?;
            extract(&shelf, &manifest, key.as_ref(), &to)?;
            Ok(manifest)
        })
        .await
    }

    /// Every declared database becomes what the backup has of it, one after the other; all of them again where that was
    /// cut off, under the same keys. `tell` is told which is under way. Their names.
    pub async fn put_back_databases(
        &self,
        id: BackupId,
        key: &str,
        tell: impl Fn(&str),
    ) -> Result<Vec<String>, Fault> {
        let (settings, shelf) = self.now();
        let databases = &settings.backups.databases;
        if databases.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.turn("put databases back").await?;
        let lock = Lock::of(&settings.backups).await?;
        let (bench, manifest) = blocking(move || {
            let bench = shelf.scratch()?;
            let (manifest, key) = opened(&shelf, &id, &lock)?;
            extract(&shelf, &manifest, key.as_ref(), bench.path())?;
            Ok((Arc::new(bench), manifest))
        })
        .await?;
        let stuck = fates(databases, &manifest).into_iter().find_map(|(name, fate)| match fate {
            DatabaseFate::Stuck(why) => Some(format!("cannot put back database {name}: {why}")),
            DatabaseFate::Restored | DatabaseFate::Undeclared => None,
        });
        if let Some(why) = stuck {
            return Err(Fault::new(crate::domain::FaultKind::Refused, why)
                .hint("its entry is under [[backups.database]]; nothing of the databases was changed"));
        }
        for database in databases {
            tell(&database.name);
            let dump = bench.path().join(format!("{}.dump", database.name));
            dump::put_back(database, &dump, key).await?;
        }
        Ok(databases.iter().map(|database| database.name.clone()).collect())
    }
}

fn dumped(manifest: &BackupManifest) -> BTreeSet<String> {
    let dumps = manifest.files.iter().filter(|file| file.part == Part::Dump);
    let plain = dumps.filter_map(|file| file.name.trim_end_matches(SEALED).strip_suffix(".dump"));
    plain.map(str::to_owned).collect()
}
