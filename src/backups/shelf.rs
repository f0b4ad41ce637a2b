//! Where backups lie: a directory for each, complete or not there. What is unfinished has another name, and is swept away
//! at the next start.
use super::manifest::{self, MANIFEST};
use crate::{
    config::{BackupSettings, Paths},
    domain::{BackupEntry, BackupId, Fault, FaultKind, Verified},
    resilience::durable,
};
use jiff::Timestamp;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How a backup was last verified, beside its manifest: a restore of the database does not take it away.
pub(super) const VERIFIED: &str = "verified.json";
/// What is not finished, and what is going.
const UNFINISHED: [&str; 2] = [".part", ".gone"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    dir: PathBuf,
    /// Where plain copies are worked on, whatever becomes of them: never off this machine.
    bench: PathBuf,
    /// Whose unfinished backups these are: others may share the shelf.
    fleet: String,
}

impl Shelf {
    pub fn of(settings: &BackupSettings, paths: &Paths, fleet: &str) -> Self {
        Self {
            dir: settings.dir.clone().unwrap_or_else(|| paths.backups.clone()),
            bench: paths.backups.clone(),
            fleet: fleet.to_owned(),
        }
    }

    /// Both in one directory: one that no daemon looks after.
    pub fn at(dir: PathBuf) -> Self {
        Self { bench: dir.clone(), dir, fleet: "none".into() }
    }

    pub fn path(&self, id: &BackupId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn bench(&self) -> &Path {
        &self.bench
    }

    /// The oldest first; what is damaged is in it.
    pub fn list(&self) -> Result<Vec<BackupEntry>, Fault> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| cannot("read", &self.dir, &error))?,
        };
        let mut ids: Vec<BackupId> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        ids.sort();
        let mut listed: Vec<BackupEntry> = ids.into_iter().map(|id| self.entry(id)).collect();
        listed.sort_by_key(|entry| entry.manifest.as_ref().map(|manifest| manifest.at));
        Ok(listed)
    }

    pub fn find(&self, id: &BackupId) -> Result<BackupEntry, Fault> {
        if !self.path(id).is_dir() {
            return Err(Fault::not_found(format!("cannot find backup {id} in {}", self.dir.display()))
                .hint("`agentctl backup list` names those that there are"));
        }
        Ok(self.entry(id.clone()))
    }

    fn entry(&self, id: BackupId) -> BackupEntry {
        let dir = self.path(&id);
        let read = fs::read(dir.join(VERIFIED)).ok();
        let verified = read.and_then(|bytes| serde_json::from_slice::<Verified>(&bytes).ok());
        match manifest::read(&dir, &id) {
            Ok(manifest) => BackupEntry { id, manifest: Some(manifest), damage: None, verified },
            Err(why) => BackupEntry { id, manifest: None, damage: Some(why), verified },
        }
    }

    /// Two private directories to work in, one on the shelf and one on the bench, which go when they are dropped unless
    /// the first is kept.
    pub(super) fn draft(&self, now: Timestamp) -> Result<Draft, Fault> {
        for dir in [&self.dir, &self.bench] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|error| cannot("make", dir, &error))?;
        }
        for number in 1..1_000 {
            let id = BackupId::new(now, number);
            let part = self.dir.join(format!(".{id}.{}.part", self.fleet));
            if self.path(&id).exists() {
                continue;
            }
            match DirBuilder::new().mode(0o700).create(&part) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot("write to", &self.dir, &error)),
                Ok(()) => {
                    let plain = Bench::new(&self.bench)?;
                    return Ok(Draft { kept: self.path(&id), id, part, plain, done: false });
                }
            }
        }
        Err(Fault::internal(format!(
            "cannot name a backup in {}: too many of this second",
            self.dir.display()
        )))
    }

    /// A private directory that goes when it is dropped.
    pub(super) fn scratch(&self) -> Result<Bench, Fault> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.bench)
            .map_err(|error| cannot("make", &self.bench, &error))?;
        Bench::new(&self.bench)
    }

    pub(super) fn keep_verified(&self, id: &BackupId, verified: &Verified) -> Result<(), Fault> {
        let dir = self.path(id);
        let text = serde_json::to_vec_pretty(verified).map_err(io::Error::from);
        let kept = text.and_then(|text| durable::replace(&dir.join(VERIFIED), &text));
        kept.map_err(|error| cannot("write to", &dir, &error))
    }

    /// It is gone for everybody before the first of its files is.
    pub(super) fn delete(&self, id: &BackupId) -> Result<(), Fault> {
        let (dir, gone) = (self.path(id), self.dir.join(format!(".{id}.{}.gone", self.fleet)));
        let delete = || {
            let _ = fs::remove_dir_all(&gone);
            fs::rename(&dir, &gone)?;
            durable::sync_directory(&self.dir)?;
            fs::remove_dir_all(&gone)
        };
        delete().map_err(|error| cannot("delete", &dir, &error))
    }

    /// What a daemon that was killed left behind; how many.
    pub(super) fn sweep(&self) -> usize {
        // The bench is in the state directory, which is ours alone.
        let all = |name: &str| UNFINISHED.iter().any(|end| name.ends_with(end));
        let ours = |name: &str| UNFINISHED.iter().any(|end| name.ends_with(&format!(".{}{end}", self.fleet)));
        let on = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
        let named = |entry: &fs::DirEntry, is: &dyn Fn(&str) -> bool| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with(".bk-") && is(name))
        };
        let left = on(&self.bench).filter(|entry| named(entry, &all));
        let left = left.chain(on(&self.dir).filter(|entry| named(entry, &ours)));
        left.filter(|entry| fs::remove_dir_all(entry.path()).is_ok()).count()
    }
}

/// A backup that is being made.
pub(super) struct Draft {
    pub id: BackupId,
    /// Becomes the backup.
    pub part: PathBuf,
    /// For what must not be in it as it is.
    pub plain: Bench,
    kept: PathBuf,
    done: bool,
}

impl Draft {
    /// Everything in it is on the disk; from here on it is there, whatever happens.
    pub fn keep(mut self) -> io::Result<()> {
        durable::sync_directory(&self.part)?;
        fs::rename(&self.part, &self.kept)?;
        self.done = true;
        self.kept.parent().map_or(Ok(()), durable::sync_directory)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_dir_all(&self.part);
        }
    }
}

/// A private directory that goes with its holder, or at the next start.
pub(super) struct Bench(PathBuf);

impl Bench {
    fn new(under: &Path) -> Result<Self, Fault> {
        let made = tempfile::Builder::new().prefix(".bk-").suffix(".part").tempdir_in(under);
        made.map(|dir| Self(dir.keep())).map_err(|error| cannot("write to", under, &error))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new file for its owner alone.
pub(super) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Is it one of those that stand beside the files of a backup?
pub(super) fn is_ours(name: &str) -> bool {
    name == MANIFEST || name == VERIFIED || name == ".verified.json.new"
}

pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Fault {
    use crate::domain::FaultCategory;
    let fault = Fault::new(FaultKind::Unavailable, format!("cannot {what} {}: {error}", path.display()))
        .category(FaultCategory::Resource);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => fault.hint(
            "make room there (`df -h`), or name another `dir` under [backups]; nothing was left behind",
        ),
        _ => {
            fault.hint("let the user of agentd write there (`ls -la`), or name another `dir` under [backups]")
        }
    }
}
