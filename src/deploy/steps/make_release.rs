//! A release, made as a step: run again after a crash it finds the one that it made; called off, nothing of it is left.
use super::{
    MAKE_RELEASE,
    hands::Hands,
    making::{Making, failed, telling},
};
use crate::{
    deploy::{Copied, Creation},
    domain::{BackupEntry, Fault},
    operations::{Blueprint, Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// As the audit trail calls it, whoever does it.
const ACTION: &str = "releases/create";

pub struct MakeRelease(pub Arc<Hands>);

pub fn blueprint(making: &Making) -> Result<Blueprint, Fault> {
    making.blueprint("release", "make a release", "releases", MAKE_RELEASE)
}

impl MakeRelease {
    /// What a release refers to, and what its backup is kept for.
    async fn newest_backup(&self) -> Result<Option<String>, Fault> {
        let sound = self.0.backups.list().await?.into_iter().rfind(BackupEntry::is_sound);
        Ok(sound.map(|entry| entry.id.to_string()))
    }
}

impl Step for MakeRelease {
    fn name(&self) -> &'static str {
        MAKE_RELEASE
    }

    fn title(&self) -> &'static str {
        super::title(MAKE_RELEASE)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let making = Making::of(at)?;
            let act = making.act(at, ACTION);
            let creation = Creation {
                note: making.note.clone(),
                force: making.force,
                backup: self.newest_backup().await?,
                key: making.key(at),
                cancelled: at.cancelled().clone(),
            };
            let (tell, told) = watch::channel(String::new());
            let progress = move |copied: Copied| {
                let Copied { agent, files, bytes } = copied;
                tell.send_replace(format!("copying {agent}: {files} files, {} KiB", bytes >> 10));
            };
            let work = self.0.releases.create(creation, making.by.clone(), act.clone(), progress);
            match telling(at, told, work).await {
                Ok(entry) => Ok(json!({ "release": entry.standing.release.id })),
                Err(fault) => {
                    failed(&self.0, act, &fault).await;
                    Err(fault)
                }
            }
        })
    }

    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let making = Making::of(at)?;
            match self.0.releases.made_for(&making.key(at)).await? {
                Some(id) => self.0.releases.take_away(id, making.act(at, "releases/delete")).await,
                None => Ok(()),
            }
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3600)
    }
}
