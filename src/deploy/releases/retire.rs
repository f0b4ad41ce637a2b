//! Releases that go: by somebody's word, or because there are enough. Never what runs, is stable, on trial, or would be
//! returned to.
use super::{
    copy::{remove, sync_directory},
    record::directory_of,
    service::Releases,
    tree::trouble,
};
use crate::{
    agents::current_release,
    domain::{Act, Fault, FaultKind, ReleaseId, expendable},
};
use std::{fs, path::Path};

/// How a directory begins whose release is being deleted.
pub const GONE: &str = ".gone-";

impl Releases {
    /// Files and record.
    pub async fn delete(&self, id: ReleaseId, act: Act) -> Result<(), Fault> {
        let _turn = self.turn("delete a release")?;
        self.delete_in_turn(id, act).await
    }

    /// The same as part of an operation: what clears up at the start, or prunes, is soon done.
    pub async fn take_away(&self, id: ReleaseId, act: Act) -> Result<(), Fault> {
        let _turn = self.own_turn("delete a release").await?;
        self.delete_in_turn(id, act).await
    }

    async fn delete_in_turn(&self, id: ReleaseId, act: Act) -> Result<(), Fault> {
        let standing = self.standing(id).await?;
        if standing.state.is_held_by_one() {
            let message = format!("cannot delete release {id}: it is {}", standing.state);
            return Err(
                Fault::new(FaultKind::Refused, message).hint("another takes its place when it is blessed")
            );
        }
        if let Some(count) = self.in_use().get(&id) {
            let message = format!("cannot delete release {id}: {count} instances run it");
            return Err(Fault::new(FaultKind::Refused, message).hint("`agentctl agent list` shows them"));
        }
        self.on_disk(move |releases| match current_release(releases)? {
            Some(current) if current == id => {
                let message = format!("cannot delete release {id}: it is the current one");
                Err(Fault::new(FaultKind::Refused, message).hint("deploy another first"))
            }
            _ => Ok(()),
        })
        .await?;
        self.retire(id, act, String::new()).await
    }

    /// What `[releases] keep` leaves no room for; returns how many went.
    pub async fn prune(&self) -> Result<u32, Fault> {
        let Ok(_turn) = self.turn("prune releases") else { return Ok(0) };
        let parts = &self.inner.parts;
        let keep = usize::try_from(parts.settings.borrow().releases.keep).unwrap_or(usize::MAX);
        let (known, used) = (parts.store.releases().await?, self.in_use());
        let current = self.current().await?;
        let mut gone = 0;
        for id in expendable(&known, current, keep).into_iter().filter(|id| !used.contains_key(id)) {
            let act = Act::of_daemon(rustix::process::geteuid().as_raw(), "retention", "releases/prune");
            self.retire(id, act, format!("keep = {keep}")).await?;
            gone += 1;
        }
        Ok(gone)
    }

    /// Out of the way first, then out of the table, and only then deleted: a daemon that is killed in between finds out
    /// from the table whether it is to come back.
    async fn retire(&self, id: ReleaseId, act: Act, why: String) -> Result<(), Fault> {
        let aside = self.on_disk(move |releases| set_aside(releases, id)).await?;
        let deleted = self.inner.parts.store.delete_release(act, id, why).await;
        let kept = deleted.is_err();
        if aside {
            let put = self.on_disk(move |releases| finish(releases, id, kept)).await;
            if let Err(fault) = put {
                // The next start does it.
                tracing::warn!(release = %id, %fault, "what is left of a release was not cleared up");
            }
        }
        deleted?;
        tracing::info!(release = %id, "release deleted");
        Ok(())
    }
}

/// False where there is nothing of it.
fn set_aside(releases: &Path, id: ReleaseId) -> Result<bool, Fault> {
    let at = directory_of(releases, id);
    if !at.exists() {
        return Ok(false);
    }
    let aside = releases.join(format!("{GONE}{id}"));
    fs::rename(&at, &aside).map_err(|error| trouble("delete", &at, &error))?;
    sync_directory(releases)?;
    Ok(true)
}

fn finish(releases: &Path, id: ReleaseId, back: bool) -> Result<(), Fault> {
    let aside = releases.join(format!("{GONE}{id}"));
    let done = if back { fs::rename(&aside, directory_of(releases, id)) } else { remove(&aside) };
    done.map_err(|error| trouble("delete", &aside, &error))
}
