//! From one release to another: the link that says which one runs, and the configuration text. Each is replaced whole,
//! and what was there before is written down first, so that a switch can be repeated after a crash and undone.
use super::{
    copy::sync_directory,
    listing::{sha256, shown},
    record::{config, directory_of, replace},
    tree::trouble,
};
use crate::{
    agents::{CURRENT, current_release},
    domain::{Digest, Fault, FaultKind, Release, ReleaseId},
};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink},
    path::{Path, PathBuf},
};

/// What the last switch replaced.
const BEFORE: &str = ".switch.json";

/// What was there before a switch: enough to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What was switched to.
    pub to: ReleaseId,
    /// What ran before; none before the first switch.
    pub from: Option<ReleaseId>,
    /// Of the configuration text before; none where the switch left that alone.
    pub config: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    before: Before,
    config: Option<String>,
}

/// Asked again for the release that runs since the last switch, it does what is left to do and answers as it did then.
pub fn switch_to(releases: &Path, release: &Release, config_file: Option<&Path>) -> Result<Before, Fault> {
    let id = release.id;
    let at = directory_of(releases, id);
    if !at.is_dir() {
        return Err(Fault::not_found(format!("cannot switch to {id}: {} is not there", shown(&at)))
            .hint(format!("`agentctl release verify {id}` says what is left of it")));
    }
    let text = config(releases, release)?;
    let file = match (&text, config_file) {
        (Some(_), None) => {
            return Err(Fault::new(
                FaultKind::Refused,
                format!("cannot switch to {id}: it has a configuration, and agentd runs without a file"),
            )
            .hint("start agentd with --config, and let it be the file that the release was made from"));
        }
        (Some(text), Some(file)) => Some((file, text.as_bytes())),
        (None, _) => None,
    };
    if let Some((file, text)) = file {
        check_ours(file, text)?;
    }
    let from = current_release(releases)?;
    let now =
        file.map(|(file, _)| fs::read(file).map_err(|error| trouble("read", file, &error))).transpose()?;
    let same = |kept: &Before| {
        let of_text = |text: &[u8]| Some(sha256(text));
        // Neither ours nor what we replaced: somebody wrote it since, and that is what would have to come back.
        let known =
            file.zip(now.as_deref()).is_none_or(|((_, new), now)| now == new || of_text(now) == kept.config);
        kept.to == id && (from == Some(id) || from == kept.from) && known
    };
    let before = match kept(releases).map(|kept| kept.before).filter(same) {
        Some(before) => before,
        None => note(releases, id, from, now)?,
    };
    if let Some((file, text)) = file {
        put_config(file, text)?;
    }
    point(releases, Some(id))?;
    Ok(before)
}

/// Back to what was before: only the last switch can be undone, and what is undone already stays so.
pub fn undo(releases: &Path, before: &Before, config_file: Option<&Path>) -> Result<(), Fault> {
    if kept(releases).is_none() && current_release(releases)? == before.from {
        return Ok(());
    }
    let kept = kept(releases).filter(|kept| kept.before == *before).ok_or_else(|| {
        let message = format!("cannot undo the switch to {}: another came after it", before.to);
        Fault::new(FaultKind::Conflict, message).hint("`agentctl release list` shows which one runs")
    })?;
    if let (Some(text), Some(file)) = (&kept.config, config_file) {
        check_ours(file, text.as_bytes())?;
        put_config(file, text.as_bytes())?;
    }
    point(releases, before.from)?;
    // Else the same switch, asked for again later, would take this for its own beginning.
    let note = releases.join(BEFORE);
    fs::remove_file(&note).map_err(|error| trouble("remove", &note, &error))?;
    sync_directory(releases)
}

/// The last switch that was begun and not undone.
pub fn begun(releases: &Path) -> Option<Before> {
    kept(releases).map(|kept| kept.before)
}

/// Writes down what is there now, before anything of it changes.
fn note(
    releases: &Path,
    to: ReleaseId,
    from: Option<ReleaseId>,
    now: Option<Vec<u8>>,
) -> Result<Before, Fault> {
    let now = now.map(|text| String::from_utf8_lossy(&text).into_owned());
    let before = Before { to, from, config: now.as_ref().map(|text| sha256(text.as_bytes())) };
    let kept = Kept { before: before.clone(), config: now };
    let text = serde_json::to_vec(&kept)
        .map_err(|error| Fault::internal(format!("cannot write down what is replaced: {error}")))?;
    replace(&releases.join(BEFORE), &text)?;
    Ok(before)
}

/// None before the first switch; one that cannot be read is none either, and is written anew.
fn kept(releases: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(releases.join(BEFORE)).ok()?).ok()
}

/// The link is never missing: a new one takes the place of the old.
fn point(releases: &Path, to: Option<ReleaseId>) -> Result<(), Fault> {
    let link = releases.join(CURRENT);
    if current_release(releases)? == to {
        return Ok(());
    }
    let failed = |error: io::Error| trouble("switch", &link, &error);
    match to {
        Some(id) => {
            let aside = releases.join(".current.new");
            let _ = fs::remove_file(&aside);
            symlink(id.to_string(), &aside).map_err(failed)?;
            fs::rename(&aside, &link).map_err(failed)?;
        }
        None => fs::remove_file(&link).map_err(failed)?,
    }
    sync_directory(releases)
}

/// Before anything is changed: may we replace the file, leaving it with its owner?
fn check_ours(file: &Path, text: &[u8]) -> Result<(), Fault> {
    let refused = |why: String| {
        Fault::new(FaultKind::Refused, format!("cannot put back the configuration {}: {why}", shown(file)))
            .hint("let agentd own the file and write to its directory, or put the release's agentd.toml there yourself")
    };
    let target = fs::canonicalize(file).map_err(|error| refused(error.to_string()))?;
    if fs::read(&target).is_ok_and(|now| now == text) {
        return Ok(());
    }
    let about = fs::metadata(&target).map_err(|error| refused(error.to_string()))?;
    let own = rustix::process::geteuid();
    if !own.is_root() && about.uid() != own.as_raw() {
        return Err(refused(format!("it belongs to uid {}, and this is uid {}", about.uid(), own.as_raw())));
    }
    let above = target.parent().unwrap_or(Path::new("/"));
    accessat(CWD, above, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| refused(format!("its directory: {}", io::Error::from(error))))
}

/// With the same owner and mode, through a link to where the file itself is.
fn put_config(file: &Path, text: &[u8]) -> Result<(), Fault> {
    let target = fs::canonicalize(file).map_err(|error| trouble("find", file, &error))?;
    if fs::read(&target).is_ok_and(|now| now == text) {
        return Ok(());
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let aside = target.with_file_name(format!(".{name}.agentd-new"));
    let written = || -> io::Result<()> {
        let about = fs::metadata(&target)?;
        let _ = fs::remove_file(&aside);
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        new.write_all(text)?;
        let made = new.metadata()?;
        if (made.uid(), made.gid()) != (about.uid(), about.gid()) {
            fchown(&new, Some(about.uid()), Some(about.gid()))?;
        }
        new.set_permissions(Permissions::from_mode(about.mode() & 0o7777))?;
        new.sync_all()?;
        fs::rename(&aside, &target)
    };
    written().map_err(|error| {
        let _ = fs::remove_file(&aside);
        trouble("write", &target, &error)
    })?;
    target.parent().map_or(Ok(()), |above: &Path| sync_directory(&PathBuf::from(above)))
}
