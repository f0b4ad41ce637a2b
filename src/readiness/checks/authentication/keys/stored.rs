//! What is on disk of scratch keys and sessions: their hashes, which shows that the search finds what is there, and not
//! one of their secrets.
use super::scene::{Issued, Scene, WHOAMI};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, Serve, check::settle, proof::blocking},
};
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub async fn hashes_only(evidence: &Evidence) -> Found {
    match &evidence.serve {
        Some(serve) => settle(searched(&evidence.ground, serve).await),
        None => Found::skipped("the daemon gave no router to try"),
    }
}

pub(super) async fn searched(ground: &Ground, serve: &Arc<dyn Serve>) -> Result<Found, Fault> {
    let scene = Scene::set(ground, serve, json!({})).await?;
    let open = scene.open().await;
    let key = open.key(json!({ "principal": "service:scratch", "role": "viewer" })).await?;
    let old = open.key(json!({ "principal": "service:old", "role": "viewer" })).await?;
    let new = open.rotate(&old.id, "30m").await?;
    let session = open.login(Some(&key.token)).await?;
    let made = [("a key", key), ("a replaced key", old), ("its successor", new), ("a session", session)];
    for (_, issued) in &made {
        // Shown right, and shown wrong: refusals are written down too.
        open.ask(Some(&issued.token), WHOAMI, None).await;
        open.ask(Some(&format!("{}0", issued.token)), WHOAMI, None).await;
        open.ask(Some(issued.secret()), WHOAMI, None).await;
    }
    open.close().await;
    let (files, wanted) = (scene.files(), made.iter().map(|(_, issued)| Wanted::of(issued)).collect());
    let seen = blocking(move || Ok(search(&files, wanted))).await?;
    let (bytes, wanted) = seen
        .map_err(|error| Fault::internal(format!("cannot search what a scratch daemon stored: {error}")))?;
    scene.strike().await;
    let mut proof = Proof::default();
    for ((what, _), Wanted { secret_in, hash_in, .. }) in made.iter().zip(&wanted) {
        proof.holds(
            secret_in.is_none(),
            match secret_in {
                None => format!("the secret of {what} is in no file"),
                Some(file) => format!("the secret of {what} is in {file}"),
            },
        );
        proof
            .holds(*hash_in, format!("the hash of {what} is {}", if *hash_in { "there" } else { "nowhere" }));
    }
    Ok(proof.judge(format!("{bytes} bytes hold hashes of keys and sessions, and none of them")))
}

struct Wanted {
    secret: Vec<u8>,
    hash: [u8; 32],
    secret_in: Option<String>,
    hash_in: bool,
}

impl Wanted {
    fn of(issued: &Issued) -> Self {
        let mut hash = [0; 32];
        let digest = ring::digest::digest(&ring::digest::SHA256, issued.token.as_bytes());
        hash.copy_from_slice(digest.as_ref());
        Self { secret: issued.secret().as_bytes().to_vec(), hash, secret_in: None, hash_in: false }
    }
}

/// Every file below: database, WAL, copies, logs. How many bytes that were, and what was found.
fn search(root: &Path, mut wanted: Vec<Wanted>) -> io::Result<(usize, Vec<Wanted>)> {
    let (mut left, mut all) = (vec![root.to_owned()], 0);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir)? {
            let (path, kind): (PathBuf, _) = entry.and_then(|e| Ok((e.path(), e.file_type()?)))?;
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path)?;
                all += bytes.len();
                for wanted in &mut wanted {
                    let holds = |part: &[u8]| bytes.windows(part.len()).any(|here| here == part);
                    wanted.hash_in |= holds(&wanted.hash);
                    if holds(&wanted.secret) {
                        let name = path.file_name().unwrap_or_default();
                        wanted.secret_in = Some(name.to_string_lossy().into_owned());
                    }
                }
            }
        }
    }
    Ok((all, wanted))
}
