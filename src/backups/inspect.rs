//! Is a backup as it was made? Every byte of it is read, its database opened, and what that says compared with what the
//! live one said at the time.
use super::{
    lock::Lock,
    make::blocking,
    manifest,
    seal::Opened,
    shelf::{self, Shelf},
    unpack::{differs, extract},
};
use crate::{
    domain::{BackupId, BackupManifest, Fault, FaultKind, Part, one_line},
    store::{AuditFiles, inspect_copy, verify_audit_files},
};
use std::{path::Path, sync::Arc};

/// Reads a configuration file; why it cannot be. Which kinds of agents there are, only rooms above know.
pub type Parse = Arc<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// What is wrong with it; nothing, if it is as it was made. A fault where that cannot be known: it is not there, or there
/// is no key to it.
pub async fn inspect(shelf: &Shelf, id: &BackupId, lock: &Lock, parse: &Parse) -> Result<Vec<String>, Fault> {
    let (shelf, id, lock, parse) = (shelf.clone(), id.clone(), lock.clone(), Arc::clone(parse));
    blocking(move || look(&shelf, &id, &lock, &parse)).await
}

fn look(shelf: &Shelf, id: &BackupId, lock: &Lock, parse: &Parse) -> Result<Vec<String>, Fault> {
    let entry = shelf.find(id)?;
    let Some(manifest) = entry.manifest else {
        return Ok(vec![entry.damage.unwrap_or_else(|| "it has no manifest".into())]);
    };
    let key = lock.open(&manifest)?;
    let mut problems = Vec::new();
    if !manifest::fits(&manifest, key.as_ref()).unwrap_or(false) {
        problems.push("its manifest does not bear its own seal: it was changed".into());
    }
    let dir = shelf.path(id);
    problems.extend(strangers(&dir, &manifest));
    problems.extend(manifest.files.iter().filter_map(|file| differs(&dir, file)));
    if !problems.is_empty() {
        return Ok(problems);
    }
    let Some(key) = key else { return Ok(contents(&dir, &manifest, parse)) };
    let bench = shelf.scratch()?;
    match extract(shelf, &manifest, Some(&key), bench.path()) {
        Ok(()) => Ok(contents(bench.path(), &manifest, parse)),
        Err(fault) if fault.kind == FaultKind::Refused => Ok(vec![fault.message]),
        Err(fault) => Err(fault),
    }
}

/// Its manifest, with the key to it where it is encrypted; refused if it was changed.
pub(super) fn opened(
    shelf: &Shelf,
    id: &BackupId,
    lock: &Lock,
) -> Result<(BackupManifest, Option<Opened>), Fault> {
    let entry = shelf.find(id)?;
    let refused = |why: &str| {
        Fault::new(FaultKind::Refused, format!("cannot open backup {id}: {why}"))
            .hint("`agentctl backup list` names the others")
    };
    let Some(manifest) = entry.manifest else {
        return Err(refused(entry.damage.as_deref().unwrap_or("it has no manifest")));
    };
    let key = lock.open(&manifest)?;
    let fits = manifest::fits(&manifest, key.as_ref())
        .map_err(|error| Fault::internal(format!("cannot read backup {id} back: {error}")))?;
    if fits {
        Ok((manifest, key))
    } else {
        Err(refused("its manifest does not bear its own seal: it was changed"))
    }
}

/// Plain files against what the manifest says of them.
pub(super) fn contents(dir: &Path, manifest: &BackupManifest, parse: &Parse) -> Vec<String> {
    let files = AuditFiles::of(dir);
    let mut problems = Vec::new();
    match inspect_copy(&files.database) {
        Err(error) => problems.push(one_line(&error.message)),
        Ok(facts) => {
            problems.extend(
                facts.damage.iter().map(|line| format!("the database is damaged: {}", one_line(line))),
            );
            if facts.dangling > 0 {
                problems.push(format!("{} rows of the database refer to nothing", facts.dangling));
            }
            if facts.fleet_id.as_deref() != Some(manifest.fleet_id.as_str()) {
                problems.push("the database is another fleet's".into());
            }
            problems.extend(
                manifest
                    .content
                    .differences(&facts.content)
                    .into_iter()
                    .map(|what| format!("the database: {what}")),
            );
        }
    }
    if manifest.trail_whole && !verify_audit_files(&files).is_ok_and(|verdict| verdict.whole) {
        problems.push("the audit trail in it does not verify any more".into());
    }
    let configured = manifest.files.iter().any(|file| file.part == Part::Configuration);
    if manifest.configuration_sound
        && configured
        && let Err(why) = parse(&dir.join("agentd.toml"))
    {
        problems.push(format!("the configuration in it cannot be read: {}", one_line(&why)));
    }
    problems
}

/// What lies in it and was never put there.
fn strangers(dir: &Path, manifest: &BackupManifest) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| !shelf::is_ours(name) && manifest.files.iter().all(|file| file.name != *name))
        .map(|name| format!("{} lies in it and is none of its files", one_line(&name)))
        .collect()
}
