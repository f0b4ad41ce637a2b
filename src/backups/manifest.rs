//! `manifest.json`: written last, sealed over all that it says, and read to the letter.
use super::seal::Opened;
use crate::domain::{BackupId, BackupManifest, Digest};
use ring::digest::{Context, SHA256};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

pub const MANIFEST: &str = "manifest.json";
const SCHEMA_VERSION: u32 = 1;
/// More is no manifest of ours.
const LONGEST: u64 = 4 << 20;

/// With its seal, as it is written.
pub fn sealed(mut manifest: BackupManifest, key: Option<&Opened>) -> io::Result<(BackupManifest, Vec<u8>)> {
    manifest.seal = seal(&manifest, key)?;
    let text = text(&manifest)?;
    Ok((manifest, text))
}

/// Does its seal fit? Without the key of one that is encrypted, nobody can say.
pub fn fits(manifest: &BackupManifest, key: Option<&Opened>) -> io::Result<bool> {
    Ok(seal(manifest, key)? == manifest.seal)
}

/// What stands in a backup's directory, to the letter; whether its seal fits is not looked at.
pub fn read(dir: &Path, id: &BackupId) -> Result<BackupManifest, String> {
    let mut bytes = Vec::new();
    let read = File::open(dir.join(MANIFEST)).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("its {MANIFEST} cannot be read: {error}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("its {MANIFEST} is too long to be one"));
    }
    let manifest: BackupManifest = serde_json::from_slice(&bytes)
        .map_err(|error| format!("its {MANIFEST} cannot be understood: {error}"))?;
    if manifest.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "its {MANIFEST} is of format {}, and only {SCHEMA_VERSION} is known here",
            manifest.schema_version
        ));
    }
    if manifest.id != *id {
        return Err(format!("its {MANIFEST} is that of {}", manifest.id));
    }
    let plain = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']) && name != MANIFEST
    };
    if manifest.files.iter().any(|file| !plain(&file.name)) {
        return Err(format!("its {MANIFEST} names files that could be none of a backup"));
    }
    let same = text(&manifest).is_ok_and(|text| text == bytes);
    if same { Ok(manifest) } else { Err(format!("its {MANIFEST} is not as it was written")) }
}

/// Of whatever is read from there.
pub fn hash(mut from: impl Read) -> io::Result<(u64, Digest)> {
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        context.update(&chunk[..count]);
        bytes += count as u64;
    }
    let mut digest = Digest::default();
    digest.0.copy_from_slice(context.finish().as_ref());
    Ok((bytes, digest))
}

fn seal(manifest: &BackupManifest, key: Option<&Opened>) -> io::Result<Digest> {
    let bare = text(&BackupManifest { seal: Digest::default(), ..manifest.clone() })?;
    match key {
        Some(key) => Ok(key.mac(&bare)),
        None => hash(&bare[..]).map(|(_, digest)| digest),
    }
}

fn text(manifest: &BackupManifest) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    Ok(text)
}
