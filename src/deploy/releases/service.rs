//! `Releases`: what others ask of this room. One change at a time; looks wait for nobody.
use super::{
    diff::{ReleaseDiff, diff},
    gather::Reread,
    record::{self, Verification, directory_of},
    switch::{self, Before},
};
use crate::{
    agents::{Supervisor, current_release},
    config::{Paths, Settings},
    domain::{
        Act, Caller, Fault, FaultKind, Principal, ReleaseId, ReleaseStanding, ReleaseState, previous_stable,
    },
    resilience::Clock,
    store::Store,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    task::spawn_blocking,
    time::timeout,
};

/// How long a step waits for a change that is under way: hashing a large release anew takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct ReleasesParts {
    /// The settings in force; changes at a reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    pub config_file: Option<PathBuf>,
    pub config_digest: watch::Receiver<String>,
    /// The manifest as a reload would read it. It may block.
    pub reread: Reread,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub clock: Clock,
}

#[derive(Clone)]
pub struct Releases {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub parts: ReleasesParts,
    turn: Semaphore,
    /// What lies on disk, is in no table and cannot be taken in, and why: not hashed again at each look.
    pub refused: Mutex<BTreeMap<ReleaseId, String>>,
}

/// A release as the list shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseEntry {
    #[serde(flatten)]
    pub standing: ReleaseStanding,
    /// The one that was switched to.
    pub current: bool,
    /// Its directory is not there any more.
    #[serde(default)]
    pub missing: bool,
    /// Instances that run its artifacts now.
    pub instances: u32,
}

impl Releases {
    pub fn new(parts: ReleasesParts) -> Self {
        Self { inner: Arc::new(Inner { parts, turn: Semaphore::new(1), refused: Mutex::default() }) }
    }

    /// Newest first; and what lies on disk and is no sound release, a sentence each.
    pub async fn list(&self) -> Result<(Vec<ReleaseEntry>, Vec<String>), Fault> {
        let strays = self.take_in().await?;
        let known = self.inner.parts.store.releases().await?;
        Ok((self.entries(known).await?, strays))
    }

    pub async fn get(&self, id: ReleaseId) -> Result<ReleaseEntry, Fault> {
        let standing = self.standing(id).await?;
        let entry = self.entries(vec![standing]).await?.pop();
        entry.ok_or_else(|| absent(id))
    }

    /// What runs, as the link says; none before the first switch.
    pub async fn current(&self) -> Result<Option<ReleaseId>, Fault> {
        self.on_disk(current_release).await
    }

    /// What a rollback from what runs now would return to.
    pub async fn previous_stable(&self) -> Result<Option<ReleaseId>, Fault> {
        let current = self.current().await?;
        Ok(previous_stable(&self.inner.parts.store.releases().await?, current))
    }

    /// Hashes all of it again.
    pub async fn verify(&self, id: ReleaseId) -> Result<Verification, Fault> {
        let standing = self.standing(id).await?;
        self.on_disk(move |releases| Ok(record::verify(releases, &standing.release, Some(standing.record))))
            .await
    }

    pub async fn diff(&self, from: ReleaseId, to: ReleaseId) -> Result<ReleaseDiff, Fault> {
        let (from, to) = (self.standing(from).await?.release, self.standing(to).await?.release);
        self.on_disk(move |releases| diff(releases, &from, &to)).await
    }

    /// By the table of moves; where it stands there already, nothing happens.
    pub async fn moved(
        &self,
        act: Act,
        id: ReleaseId,
        to: ReleaseState,
        by: Principal,
        why: String,
    ) -> Result<(), Fault> {
        self.standing(id).await?;
        Ok(self.inner.parts.store.move_release(act, id, to, by, why).await?)
    }

    /// Makes the release on trial stable; or a candidate, if that is what runs now.
    pub async fn bless(
        &self,
        id: ReleaseId,
        reason: String,
        caller: &Caller,
        act: Act,
    ) -> Result<ReleaseEntry, Fault> {
        let turn = self.turn("bless a release")?;
        self.may_be_blessed(id).await?;
        let by = caller.principal.clone();
        self.inner.parts.store.move_release(act, id, ReleaseState::Stable, by, reason).await?;
        drop(turn);
        self.get(id).await
    }

    /// Where it stands, if it may be called stable from there; else why not.
    pub async fn may_be_blessed(&self, id: ReleaseId) -> Result<ReleaseStanding, Fault> {
        let standing = self.standing(id).await?;
        let refused = |why: String| Fault::new(FaultKind::Refused, format!("cannot call {id} stable: {why}"));
        match standing.state {
            ReleaseState::OnTrial => {}
            ReleaseState::Stable => {
                return Err(Fault::new(
                    FaultKind::Conflict,
                    format!("cannot call {id} stable: it is already"),
                ));
            }
            ReleaseState::Candidate => self.runs_now(&standing).await.map_err(|why| {
                refused(format!("it is a candidate, and not what runs now: {why}"))
                    .hint(format!("deploy it first; `agentctl release diff {id} OTHER` says what differs"))
            })?,
            state @ (ReleaseState::Superseded | ReleaseState::Reverted) => {
                return Err(refused(format!("it is {state}")).hint("deploy it again, and bless it then"));
            }
        }
        Ok(standing)
    }

    /// The link and the configuration text; agents are not touched. Asked again after a crash it does what is left and
    /// answers as it did the first time.
    pub async fn switch_to(&self, id: ReleaseId) -> Result<Before, Fault> {
        let _turn = self.own_turn("switch to a release").await?;
        let release = self.standing(id).await?.release;
        let file = self.inner.parts.config_file.clone();
        self.on_disk(move |releases| switch::switch_to(releases, &release, file.as_deref())).await
    }

    /// Takes back the last switch.
    pub async fn undo_switch(&self, before: Before) -> Result<(), Fault> {
        let _turn = self.own_turn("undo a switch").await?;
        let file = self.inner.parts.config_file.clone();
        self.on_disk(move |releases| switch::undo(releases, &before, file.as_deref())).await
    }

    /// Takes back a switch to this release that may have been cut off in the middle. False where none was begun.
    pub async fn take_back(&self, to: ReleaseId) -> Result<bool, Fault> {
        let _turn = self.own_turn("undo a switch").await?;
        let file = self.inner.parts.config_file.clone();
        self.on_disk(move |releases| match switch::begun(releases).filter(|before| before.to == to) {
            Some(before) => switch::undo(releases, &before, file.as_deref()).map(|()| true),
            None => Ok(false),
        })
        .await
    }

    pub(super) async fn standing(&self, id: ReleaseId) -> Result<ReleaseStanding, Fault> {
        if let Some(standing) = self.inner.parts.store.release(id).await? {
            return Ok(standing);
        }
        self.take_in().await?;
        self.inner.parts.store.release(id).await?.ok_or_else(|| absent(id))
    }

    /// Which releases' artifacts are run by somebody, and by how many.
    pub(super) fn in_use(&self) -> BTreeMap<ReleaseId, u32> {
        let mut used = BTreeMap::new();
        let fleet = self.inner.parts.supervisor.snapshot();
        let candidates = self.inner.parts.supervisor.candidates();
        let instances = fleet.instances().map(|(_, instance)| instance).chain(&candidates);
        for release in instances.filter_map(|instance| instance.release) {
            *used.entry(release).or_default() += 1;
        }
        used
    }

    /// Refused at once while another change is under way: two releases of one moment would be a riddle.
    pub(super) fn turn(&self, what: &str) -> Result<SemaphorePermit<'_>, Fault> {
        self.inner.turn.try_acquire().map_err(|_| {
            Fault::new(FaultKind::Conflict, format!("cannot {what}: another change of releases is under way"))
                .hint("try again once it is done; `agentctl release list` shows what came of it")
        })
    }

    /// For the steps of an operation, which has the fleet to itself: what clears up at the start, or prunes, is soon done.
    pub(super) async fn own_turn(&self, what: &str) -> Result<SemaphorePermit<'_>, Fault> {
        match timeout(PATIENCE, self.inner.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => self.turn(what),
        }
    }

    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let releases = self.inner.parts.paths.releases.clone();
        let done = spawn_blocking(move || work(&releases)).await;
        done.map_err(|panic| Fault::internal(format!("cannot work on releases: {panic}")))?
    }

    async fn entries(&self, known: Vec<ReleaseStanding>) -> Result<Vec<ReleaseEntry>, Fault> {
        let used = self.in_use();
        self.on_disk(move |releases| {
            let current = current_release(releases)?;
            let there: BTreeSet<ReleaseId> = known
                .iter()
                .map(|known| known.release.id)
                .filter(|id| directory_of(releases, *id).is_dir())
                .collect();
            let entry = |standing: ReleaseStanding| {
                let id = standing.release.id;
                ReleaseEntry {
                    current: current == Some(id),
                    missing: !there.contains(&id),
                    instances: used.get(&id).copied().unwrap_or(0),
                    standing,
                }
            };
            Ok(known.into_iter().map(entry).collect())
        })
        .await
    }
}

pub(super) fn absent(id: ReleaseId) -> Fault {
    Fault::not_found(format!("cannot find release {id}"))
        .hint("`agentctl release list` shows those there are")
}
