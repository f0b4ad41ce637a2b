//! Rehearsals of a return put together: what they reach of the daemon, and what readiness asks of their record.
use super::reload::Reread;
use crate::{
    agents::current_release,
    config::{Paths, Settings},
    deploy::{Hands, RehearsalParts, Stand},
    domain::{Fault, RehearsalStanding, previous_stable},
    readiness::Rehearsing,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{sync::watch, task::spawn_blocking};

/// Beside the ways between releases, on the same ground.
pub fn stand(hands: &Hands, paths: &Paths, store: &Store, reread: &Reread) -> Arc<Stand> {
    let reread = Arc::clone(reread);
    Stand::new(RehearsalParts {
        settings: hands.settings.clone(),
        read: Arc::new(move |file: &Path| Ok(reread(Some(file))?.settings)),
        releases: hands.releases.clone(),
        paths: paths.clone(),
        store: store.clone(),
        supervisor: hands.supervisor.clone(),
        clock: hands.clock.clone(),
    })
}

/// Of what a rollback would return to now.
pub struct LastRehearsed {
    settings: watch::Receiver<Arc<Settings>>,
    store: Store,
    releases: PathBuf,
}

impl LastRehearsed {
    pub fn of(settings: &watch::Receiver<Arc<Settings>>, store: &Store, paths: &Paths) -> Self {
        Self { settings: settings.clone(), store: store.clone(), releases: paths.releases.clone() }
    }
}

impl Rehearsing for LastRehearsed {
    fn standing(&self) -> BoxFuture<'_, Result<RehearsalStanding, Fault>> {
        Box::pin(async {
            let releases = self.releases.clone();
            let current = spawn_blocking(move || current_release(&releases)).await;
            let current =
                current.map_err(|panic| Fault::internal(format!("cannot tell what runs: {panic}")))??;
            let all = self.store.releases().await?;
            let target = previous_stable(&all, current);
            let target = target.and_then(|id| all.into_iter().find(|known| known.release.id == id));
            let last = match &target {
                Some(target) => self.store.last_rehearsal(target.release.content).await?,
                None => None,
            };
            let max_age = self.settings.borrow().rehearsal.max_age;
            Ok(RehearsalStanding { target: target.map(|target| target.release.id), last, max_age })
        })
    }
}
