//! Makes a backup: a snapshot of the state beside the running daemon, what it cannot be made again from, and a manifest
//! that is written last. Nothing of it is on the shelf before all of it is on the disk, compared and sealed.
use super::{
    dump,
    inspect::{Parse, contents},
    lock::Lock,
    manifest::{self, MANIFEST},
    room,
    seal::Opened,
    shelf::{self, Draft, Shelf, private},
};
use crate::{
    config::BackupDatabase,
    domain::{BackupFile, BackupManifest, Digest, Fault, FaultKind, Part},
    resilience::durable,
    store::Store,
};
use jiff::Timestamp;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::spawn_blocking;

const DATABASE: &str = "agentd.db";
const CONFIGURATION: &str = "agentd.toml";

/// What is said of it, and what goes into it beside the state.
#[derive(Clone, Default)]
pub struct Wanted {
    pub by: String,
    pub note: String,
    pub key: String,
    pub config_file: Option<PathBuf>,
    pub databases: Vec<BackupDatabase>,
}

/// Is told how far it is; says whether to go on.
pub type Going = Arc<dyn Fn(u64, u64) -> bool + Send + Sync>;

pub async fn make(
    store: &Store,
    shelf: &Shelf,
    lock: &Lock,
    wanted: Wanted,
    parse: &Parse,
    going: Going,
) -> Result<BackupManifest, Fault> {
    let (size, now) = (store.size(), store.now());
    let draft = {
        let (shelf, encrypted) = (shelf.clone(), lock.is_set());
        blocking(move || {
            let draft = shelf.draft(now)?;
            room::enough(&shelf, size, encrypted)?;
            Ok(draft)
        })
        .await?
    };
    let told = Arc::clone(&going);
    let plain = draft.plain.path().to_owned();
    // What was acknowledged before is in it. What is written from here on may be, up to the moment of the snapshot.
    let at = store.now();
    let copied = store.copy_to(plain.clone(), Box::new(move |done, of| told(done, of))).await?;
    let mut parts: Vec<(String, Part)> = vec![
        (DATABASE.into(), Part::Database),
        ("audit.key".into(), Part::AuditKey),
        ("audit.anchors".into(), Part::AuditAnchors),
    ];
    if let Some(file) = wanted.config_file.clone() {
        let to = plain.join(CONFIGURATION);
        blocking(move || copy(&file, &to).map_err(|error| shelf::cannot("copy", &file, &error))).await?;
        parts.push((CONFIGURATION.into(), Part::Configuration));
    }
    for database in &wanted.databases {
        let name = format!("{}.dump", database.name);
        dump::dump(database, &plain.join(&name)).await?;
        parts.push((name, Part::Dump));
    }
    if !going(1, 1) {
        return Err(Fault::new(FaultKind::Conflict, "cannot make a backup: nobody wants it any more"));
    }
    let not_included = not_included(&wanted);
    let manifest = BackupManifest {
        schema_version: 1,
        id: draft.id.clone(),
        at,
        by: wanted.by,
        note: wanted.note,
        key: wanted.key,
        agentd: env!("CARGO_PKG_VERSION").into(),
        fleet_id: store.fleet_id().into(),
        content: copied.content,
        trail_whole: copied.trail_whole,
        configuration_sound: true,
        files: Vec::new(),
        not_included,
        encryption: None,
        seal: Digest::default(),
    };
    let (lock, parse) = (lock.clone(), Arc::clone(parse));
    blocking(move || finish(draft, manifest, &parts, &lock, &parse)).await
}

/// Compares, seals, and gives it its name.
fn finish(
    draft: Draft,
    mut manifest: BackupManifest,
    parts: &[(String, Part)],
    lock: &Lock,
    parse: &Parse,
) -> Result<BackupManifest, Fault> {
    let plain = draft.plain.path();
    let configuration = plain.join(CONFIGURATION);
    manifest.configuration_sound = !configuration.exists() || parse(&configuration).is_ok();
    if let Some(problem) = contents(plain, &manifest, parse).into_iter().next() {
        return Err(Fault::internal(format!(
            "cannot make a backup: the copy is not what was copied: {problem}"
        ))
        .hint("nothing of it was kept; `agentctl validate --only DB-005` looks at the database itself"));
    }
    let key = lock.fresh()?;
    let id = draft.id.clone();
    let pack = || -> io::Result<BackupManifest> {
        for (name, part) in parts {
            manifest.files.push(pack(&draft, name, *part, key.as_ref())?);
        }
        manifest.encryption = key.as_ref().map(|key| key.terms.clone());
        let (manifest, text) = manifest::sealed(manifest, key.as_ref())?;
        durable::replace(&draft.part.join(MANIFEST), &text)?;
        draft.keep()?;
        Ok(manifest)
    };
    pack().map_err(|error| shelf::cannot("keep backup", Path::new(id.as_str()), &error))
}

/// From the bench to the shelf, encrypted or as it is.
fn pack(draft: &Draft, name: &str, part: Part, key: Option<&Opened>) -> io::Result<BackupFile> {
    let (from, name) = (draft.plain.path().join(name), stored(name, key.is_some()));
    let to = draft.part.join(&name);
    match key {
        Some(key) => {
            let plain = name.trim_end_matches(SEALED);
            let mut file = io::BufWriter::new(private(&to)?);
            key.seal(draft.id.as_str(), plain, File::open(&from)?, &mut file)?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            fs::remove_file(&from)?;
        }
        None => match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy(&from, &to)?;
                fs::remove_file(&from)?;
            }
            moved => moved?,
        },
    }
    let (bytes, sha256) = manifest::hash(File::open(&to)?)?;
    Ok(BackupFile { name, part, bytes, sha256 })
}

/// What the name of a file ends with that is encrypted.
pub(super) const SEALED: &str = ".sealed";

fn stored(name: &str, sealed: bool) -> String {
    if sealed { format!("{name}{SEALED}") } else { name.to_owned() }
}

/// Private and on the disk.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = private(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()
}

fn not_included(wanted: &Wanted) -> Vec<String> {
    let mut not = vec![
        "secrets that the configuration refers to (env:, file:, exec:), and the key to this backup"
            .to_owned(),
        "the programs and data of the agents".into(),
        "logs".into(),
    ];
    if wanted.config_file.is_none() {
        not.push("a configuration file: the daemon runs without one".into());
    }
    if wanted.databases.is_empty() {
        not.push("databases of the applications: none is declared under [[backups.database]]".into());
    }
    not
}

/// Work that blocks, off the runtime's threads. A panic in it is a fault.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::new(FaultKind::Internal, format!("cannot finish with a backup: {error}"))),
    }
}

/// Age of what it holds.
pub(super) fn age(manifest: &BackupManifest, now: Timestamp) -> std::time::Duration {
    now.duration_since(manifest.at).try_into().unwrap_or_default()
}
