//! A release as files: `release.json`, the configuration as it was, and of each artifact the copy and its listing. Any of
//! them that is not as it was written is named.
use super::{
    listing::{Listing, sha256, shown},
    tree::{Bounds, Look, Modes, trouble, walk},
};
use crate::{
    domain::{Artifact, Digest, Fault, FaultKind, Release, ReleaseId},
    resilience::durable,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

pub const RECORD: &str = "release.json";
pub const CONFIG: &str = "agentd.toml";
/// Listings, where no agent's name can be: none begins with a dot.
const LISTINGS: &str = ".files";
/// No record is larger; somebody else's file may be.
const LARGEST: u64 = 32 << 20;
/// What is wrong with a release is named up to so many times.
const MOST_NAMED: usize = 50;

/// What became of a release since it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub schema_version: u32,
    pub release: ReleaseId,
    /// Nothing of it has changed.
    pub sound: bool,
    pub files: u64,
    pub bytes: u64,
    /// A sentence each.
    pub problems: Vec<String>,
}

pub fn directory_of(releases: &Path, id: ReleaseId) -> PathBuf {
    releases.join(id.to_string())
}

/// A name that a file of ours has in a release cannot be an agent's there.
pub fn is_taken(agent: &str) -> bool {
    matches!(agent, RECORD | CONFIG)
}

/// Into a directory that is still being made; returns the digest of the record.
pub fn write(
    into: &Path,
    release: &Release,
    config: Option<&str>,
    listings: &[(&str, &Listing)],
) -> Result<Digest, Fault> {
    super::copy::make_directory(&into.join(LISTINGS))?;
    for (agent, listing) in listings {
        put(&into.join(LISTINGS).join(agent), &listing.to_bytes())?;
    }
    if let Some(text) = config {
        put(&into.join(CONFIG), text.as_bytes())?;
    }
    let text = serde_json::to_vec_pretty(release)
        .map_err(|error| Fault::internal(format!("cannot write down release {}: {error}", release.id)))?;
    put(&into.join(RECORD), &text)?;
    // Agents must get through to their own code, and look at nothing else on the way.
    fs::set_permissions(into, Permissions::from_mode(0o711))
        .map_err(|error| trouble("open", into, &error))?;
    Ok(sha256(&text))
}

/// The record and its digest.
pub fn read(releases: &Path, id: ReleaseId) -> Result<(Release, Digest), Fault> {
    let path = directory_of(releases, id).join(RECORD);
    let bytes = bounded(&path)?;
    let release: Release = serde_json::from_slice(&bytes)
        .map_err(|error| Fault::new(FaultKind::Conflict, format!("cannot read {}: {error}", shown(&path))))?;
    if release.id != id {
        let said = release.id;
        return Err(Fault::new(
            FaultKind::Conflict,
            format!("cannot use {}: it says it is {said}", shown(&path)),
        ));
    }
    Ok((release, sha256(&bytes)))
}

/// The configuration as it was; none where there was no file.
pub fn config(releases: &Path, release: &Release) -> Result<Option<String>, Fault> {
    let Some(about) = &release.config else { return Ok(None) };
    let path = directory_of(releases, release.id).join(CONFIG);
    let bytes = bounded(&path)?;
    if sha256(&bytes) != about.digest {
        return Err(Fault::new(
            FaultKind::Conflict,
            format!("cannot use {}: it has been changed", shown(&path)),
        )
        .hint(format!("`agentctl release verify {}` says what else has", release.id)));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Fault::new(FaultKind::Conflict, format!("cannot use {}: it is no text", shown(&path))))
}

pub fn listing(releases: &Path, id: ReleaseId, agent: &str, artifact: &Artifact) -> Result<Listing, Fault> {
    let path = directory_of(releases, id).join(LISTINGS).join(agent);
    // As many lines as an artifact may have files.
    let bytes = fs::read(&path).map_err(|error| trouble("read", &path, &error))?;
    let known = Listing::read(&bytes).filter(|_| sha256(&bytes) == artifact.digest);
    known.ok_or_else(|| {
        Fault::new(FaultKind::Conflict, format!("cannot use {}: it has been changed", shown(&path)))
    })
}

/// Hashes all of it again. `record` is the digest that is known from elsewhere, if it is.
pub fn verify(releases: &Path, release: &Release, record: Option<Digest>) -> Verification {
    let id = release.id;
    let mut found = Verification {
        schema_version: 1,
        release: id,
        sound: true,
        files: 0,
        bytes: 0,
        problems: Vec::new(),
    };
    let mut unnamed = 0_usize;
    let mut wrong = |what: String| {
        if found.problems.len() < MOST_NAMED { found.problems.push(what) } else { unnamed += 1 }
    };
    match read(releases, id) {
        Ok((_, digest)) if record.is_some_and(|known| known != digest) => {
            wrong(format!("{RECORD} is not the one that was written: SHA-256 {digest}"));
        }
        Ok(_) => {}
        Err(fault) => wrong(fault.message),
    }
    if let Err(fault) = config(releases, release) {
        wrong(fault.message);
    }
    for agent in &release.agents {
        let (name, Some(artifact)) = (agent.name.as_str(), &agent.artifact) else { continue };
        let at = directory_of(releases, id).join(name);
        let bounds = Bounds { entries: u64::MAX, bytes: u64::MAX };
        let now = match walk(&at, bounds, Modes::AsTheyAre, &mut Look) {
            Ok(now) => now,
            Err(fault) => {
                wrong(fault.message);
                continue;
            }
        };
        found.files += now.files();
        found.bytes += now.bytes();
        match listing(releases, id, name, artifact) {
            Ok(then) => {
                for (path, how) in then.differences(&now) {
                    wrong(format!("{}/{} {how}", name, shown(&path)));
                }
            }
            Err(fault) => {
                wrong(fault.message);
                if now.digest() != artifact.digest {
                    wrong(format!("the artifact of {name} has changed, and in what cannot be told"));
                }
            }
        }
    }
    if unnamed > 0 {
        found.problems.push(format!("and {unnamed} more"));
    }
    found.sound = found.problems.is_empty();
    found
}

pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    durable::replace(path, bytes).map_err(|error| trouble("write", path, &error))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|error| trouble("write", path, &error))
}

fn bounded(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| trouble("read", path, &error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Fault::new(
            FaultKind::Conflict,
            format!("cannot read {}: it is no file of ours", shown(path)),
        ));
    }
    Ok(bytes)
}
