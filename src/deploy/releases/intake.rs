//! What lies on disk is the record: a database that was restored, or lost, learns of it again. What a killed daemon
//! left half-made goes, and what it left half-deleted comes back.
use super::{
    copy::remove,
    create::{MAKING, numbers},
    record,
    retire::GONE,
    service::Releases,
};
use crate::domain::{Act, Digest, Fault, Release, ReleaseId};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{MutexGuard, PoisonError},
};

impl Releases {
    /// At boot, before anything is made.
    pub async fn recover(&self) -> Result<(), Fault> {
        // An operation that goes on after a crash may have it.
        let turn = self.own_turn("clear up what was left of releases").await?;
        let known: BTreeSet<ReleaseId> =
            self.inner.parts.store.releases().await?.iter().map(|known| known.release.id).collect();
        let swept = self.on_disk(move |releases| Ok(sweep(releases, &known))).await?;
        if swept > 0 {
            tracing::warn!(swept, "cleared up what an interrupted change of releases had left");
        }
        drop(turn);
        for stray in self.take_in().await? {
            tracing::warn!("{stray}");
        }
        Ok(())
    }

    /// Takes in what is on disk and not in the table, each of its digests checked. Returns what could not be, and why.
    pub(super) async fn take_in(&self) -> Result<Vec<String>, Fault> {
        let unknown = self.unknown().await?;
        // While one is being made it is on disk a moment before it is in the table.
        if !unknown.is_empty()
            && let Ok(_turn) = self.turn("take in releases")
        {
            for id in unknown {
                self.take_one(id).await?;
            }
        }
        Ok(self.refused().values().cloned().collect())
    }

    /// The same, for whoever has the turn already.
    pub(super) async fn take_in_turn(&self) -> Result<(), Fault> {
        for id in self.unknown().await? {
            self.take_one(id).await?;
        }
        Ok(())
    }

    /// What is on disk, not in the table, and was not refused.
    async fn unknown(&self) -> Result<Vec<ReleaseId>, Fault> {
        let on_disk: Vec<ReleaseId> = self.on_disk(|releases| Ok(numbers(releases).collect())).await?;
        self.refused().retain(|id, _| on_disk.contains(id));
        if on_disk.is_empty() {
            return Ok(Vec::new());
        }
        let known: BTreeSet<ReleaseId> =
            self.inner.parts.store.releases().await?.iter().map(|known| known.release.id).collect();
        let unknown =
            on_disk.into_iter().filter(|id| !known.contains(id) && !self.refused().contains_key(id));
        let mut unknown: Vec<ReleaseId> = unknown.collect();
        unknown.sort_unstable();
        Ok(unknown)
    }

    async fn take_one(&self, id: ReleaseId) -> Result<(), Fault> {
        let store = &self.inner.parts.store;
        // It may have been recorded before our turn came.
        if store.release(id).await?.is_some() {
            return Ok(());
        }
        match self.on_disk(move |releases| sound(releases, id)).await {
            Ok((release, digest)) => {
                let act = Act::of_daemon(rustix::process::geteuid().as_raw(), "disk", "releases/take-in");
                let why = "taken in again: it was on disk and not in the database".to_owned();
                store.add_release(act, release, digest, why).await?;
                tracing::info!(release = %id, "a release was taken in again");
            }
            Err(fault) => {
                let why = format!("{id} lies on disk and is not taken in: {}", fault.message);
                self.refused().insert(id, why);
            }
        }
        Ok(())
    }

    fn refused(&self) -> MutexGuard<'_, std::collections::BTreeMap<ReleaseId, String>> {
        self.inner.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sound(releases: &Path, id: ReleaseId) -> Result<(Release, Digest), Fault> {
    let (release, digest) = record::read(releases, id)?;
    let verified = record::verify(releases, &release, Some(digest));
    match verified.problems.first() {
        None => Ok((release, digest)),
        Some(first) => Err(Fault::internal(first.clone())),
    }
}

/// Returns how many there were.
fn sweep(releases: &Path, known: &BTreeSet<ReleaseId>) -> u32 {
    let mut swept = 0;
    for entry in fs::read_dir(releases).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let gone = name.strip_prefix(GONE).and_then(|id| id.parse::<ReleaseId>().ok());
        let done = match gone {
            // Its row is still there: it was never said to be deleted.
            Some(id) if known.contains(&id) => fs::rename(entry.path(), releases.join(id.to_string())),
            Some(_) => remove(&entry.path()),
            None if name.starts_with(MAKING) => remove(&entry.path()),
            None => continue,
        };
        match done {
            Ok(()) => swept += 1,
            Err(error) => tracing::warn!(path = %entry.path().display(), %error, "cannot clear it up"),
        }
    }
    swept
}
