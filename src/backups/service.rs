//! `Backups`, the handle others hold: one piece of work on the shelf at a time, by the settings in force.
use super::{
    drill::Rehearsal,
    inspect::{Parse, inspect},
    keep::{Kept, doomed},
    lock::Lock,
    make::{Wanted, age, blocking, make},
    shelf::Shelf,
    unpack::unpack,
};
use crate::{
    config::{Paths, Settings},
    domain::{
        Act, BackupEntry, BackupId, BackupManifest, BackupStanding, Drill, Fault, FaultKind, Period, Verified,
    },
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long one waits for another that is under way.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub doing: &'static str,
    pub done: u64,
    /// 0 where nobody knows.
    pub of: u64,
}

/// What somebody wants made.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub by: String,
    pub note: String,
    /// What it bears; one that bears it already is the answer. Empty where nobody will ask for it again.
    pub key: String,
    /// Told when it is called off.
    pub cancelled: CancellationToken,
}

pub type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// Who needs which backups. `deploy` refers to those of its releases; `boot` introduces it.
pub trait References: Send + Sync {
    fn backups(&self) -> BoxFuture<'_, Result<BTreeSet<BackupId>, Fault>>;
}

pub struct BackupsParts {
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The manifest on disk; none when the daemon runs without one.
    pub config_file: Option<PathBuf>,
    pub paths: Paths,
    pub store: Store,
    pub clock: Clock,
    pub errors: Errors,
    pub parse: Parse,
    /// None while nothing refers to a backup.
    pub references: Option<Arc<dyn References>>,
}

#[derive(Clone)]
pub struct Backups(Arc<Inner>);

struct Inner {
    parts: BackupsParts,
    turn: Semaphore,
    closing: CancellationToken,
}

impl Backups {
    pub fn new(parts: BackupsParts) -> Self {
        Self(Arc::new(Inner { parts, turn: Semaphore::new(1), closing: CancellationToken::new() }))
    }

    /// Made, and read back from end to end before anybody is told of it.
    pub async fn create(&self, by: String, note: String, tell: Tell) -> Result<BackupEntry, Fault> {
        self.make(Order { by, note, ..Order::default() }, tell).await
    }

    /// The same, once for its key, until it is called off.
    pub async fn make(&self, order: Order, tell: Tell) -> Result<BackupEntry, Fault> {
        let _turn = self.turn("make a backup").await?;
        let (settings, shelf) = self.now();
        let lock = Lock::of(&settings.backups).await?;
        let Order { by, note, key, cancelled } = order;
        let made = self.made_for(&key).await?;
        let id = if let Some(id) = made {
            id
        } else {
            let wanted = self.wanted(&settings, (by.clone(), note, key));
            let made = self.copied(&shelf, &lock, wanted, &tell, &cancelled).await;
            made.map_err(|fault| if cancelled.is_cancelled() { called_off() } else { fault })?.id
        };
        tell(Progress { doing: "verifying", done: 0, of: 0 });
        let verified = self.look(&shelf, &id, &lock, by).await?;
        if let Some(problem) = verified.problems.first() {
            let fault = Fault::internal(format!("cannot keep backup {id}: read back, {problem}"))
                .hint("it was deleted; look at the disk under `dir` of [backups]: `dmesg`, `smartctl`");
            let gone = id.clone();
            let _ = blocking(move || shelf.delete(&gone)).await;
            return Err(fault);
        }
        blocking(move || shelf.find(&id)).await
    }

    /// The one that bears this key.
    pub async fn made_for(&self, key: &str) -> Result<Option<BackupId>, Fault> {
        if key.is_empty() {
            return Ok(None);
        }
        let bears = |entry: &BackupEntry| entry.manifest.as_ref().is_some_and(|manifest| manifest.key == key);
        Ok(self.list().await?.into_iter().find(bears).map(|entry| entry.id))
    }

    /// The oldest first.
    pub async fn list(&self) -> Result<Vec<BackupEntry>, Fault> {
        let (_, shelf) = self.now();
        blocking(move || shelf.list()).await
    }

    /// With its drills, the newest first.
    pub async fn show(&self, id: BackupId) -> Result<(BackupEntry, Vec<Drill>), Fault> {
        let (_, shelf) = self.now();
        let drills = self.0.parts.store.drills(Some(id.clone()), 20).await?;
        Ok((blocking(move || shelf.find(&id)).await?, drills))
    }

    pub async fn drills(&self, limit: u32) -> Result<Vec<Drill>, Fault> {
        Ok(self.0.parts.store.drills(None, limit).await?)
    }

    /// What was found stays beside it.
    pub async fn verify(&self, id: BackupId, by: String, tell: Tell) -> Result<Verified, Fault> {
        let _turn = self.turn("verify a backup").await?;
        tell(Progress { doing: "verifying", done: 0, of: 0 });
        let (settings, shelf) = self.now();
        let lock = Lock::of(&settings.backups).await?;
        self.look(&shelf, &id, &lock, by).await
    }

    /// The newest one if none is named.
    pub async fn drill(&self, id: Option<BackupId>, act: Act, tell: Tell) -> Result<Drill, Fault> {
        let _turn = self.turn("try a backup out").await?;
        tell(Progress { doing: "restoring to scratch", done: 0, of: 0 });
        let (settings, shelf) = self.now();
        let id = match id {
            Some(id) => id,
            None => self.newest().await?,
        };
        let lock = Lock::of(&settings.backups).await?;
        let parts = &self.0.parts;
        let at = parts.clock.now();
        let rehearsal = Rehearsal {
            shelf: &shelf,
            lock: &lock,
            parse: &parts.parse,
            store: &settings.store,
            databases: &settings.backups.databases,
            clock: &parts.clock,
        };
        let tried = rehearsal.of(&id).await?;
        let drill = Drill {
            id: 0,
            backup: id,
            at,
            by: act.principal.to_string(),
            rpo: whole(age(&tried.manifest, at)),
            rto: whole(tried.took),
            problems: tried.problems,
        };
        Ok(parts.store.record_drill(act, drill).await?)
    }

    /// Into a directory that is not there yet.
    pub async fn unpack(&self, id: BackupId, to: PathBuf, tell: Tell) -> Result<BackupManifest, Fault> {
        let _turn = self.turn("unpack a backup").await?;
        tell(Progress { doing: "unpacking", done: 0, of: 0 });
        let (settings, shelf) = self.now();
        let lock = Lock::of(&settings.backups).await?;
        let state = self.0.parts.paths.state_dir.clone();
        blocking(move || {
            if to.starts_with(&state) || to.starts_with(shelf.dir()) {
                return Err(Fault::usage(format!(
                    "cannot unpack to {}: that is inside of what the daemon keeps itself",
                    to.display()
                ))
                .hint("name a directory elsewhere; it is made, for the user of agentd alone"));
            }
            unpack(&shelf, &id, &lock, &to)
        })
        .await
    }

    /// Refuses one that a release refers to.
    pub async fn delete(&self, id: BackupId) -> Result<(), Fault> {
        let _turn = self.turn("delete a backup").await?;
        let (_, shelf) = self.now();
        if self.referred().await?.contains(&id) {
            let fault =
                Fault::new(FaultKind::Refused, format!("cannot delete backup {id}: a release refers to it"));
            return Err(
                fault.hint("`agentctl release list` shows which; without it there would be no way back")
            );
        }
        blocking(move || shelf.find(&id).and_then(|_| shelf.delete(&id))).await
    }

    pub async fn standing(&self) -> Result<BackupStanding, Fault> {
        let fleet = self.0.parts.store.fleet_id();
        let newest = self.list().await?.into_iter().rfind(|entry| entry.is_sound() && entry.is_of(fleet));
        Ok(BackupStanding { newest, last_drill: self.drills(1).await?.pop() })
    }

    /// Deletes what retention says; what went. Nothing, if it is not known what is referred to.
    pub(super) async fn retain(&self) -> Result<Vec<BackupId>, Fault> {
        let _turn = self.turn("delete old backups").await?;
        let (settings, shelf) = self.now();
        let referred = self.referred().await?;
        let fleet = self.0.parts.store.fleet_id().to_owned();
        blocking(move || {
            let listed = shelf.list()?;
            let kept: Vec<Kept> = listed.iter().filter(|e| e.is_of(&fleet)).filter_map(Kept::of).collect();
            let old = doomed(&kept, &settings.backups.keep, &referred);
            Ok(old.into_iter().filter(|id| shelf.delete(id).is_ok()).collect())
        })
        .await
    }

    pub fn are_encrypted(&self) -> bool {
        let settings = self.0.parts.settings.borrow();
        settings.backups.passphrase.is_some() || settings.backups.key_file.is_some()
    }

    /// What a daemon that was killed left behind goes; never what is under way now.
    pub(super) async fn sweep(&self) {
        // One that goes on after a crash may have it, and may take long.
        let Ok(_turn) = self.0.turn.acquire().await else { return };
        let (_, shelf) = self.now();
        let swept = blocking(move || Ok(shelf.sweep())).await.unwrap_or_default();
        if swept > 0 {
            tracing::info!(swept, "removed what was left of unfinished backups");
        }
    }

    /// What is under way ends soon; what it made is removed.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    pub fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    pub(super) fn parts(&self) -> &BackupsParts {
        &self.0.parts
    }

    pub(super) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// The settings in force, and where they put backups.
    pub(super) fn now(&self) -> (Arc<Settings>, Shelf) {
        let settings = self.0.parts.settings.borrow().clone();
        let parts = &self.0.parts;
        let shelf = Shelf::of(&settings.backups, &parts.paths, parts.store.fleet_id());
        (settings, shelf)
    }

    fn wanted(&self, settings: &Settings, (by, note, key): (String, String, String)) -> Wanted {
        let config_file = self.0.parts.config_file.clone();
        Wanted { by, note, key, config_file, databases: settings.backups.databases.clone() }
    }

    /// On the shelf, and not read back yet.
    async fn copied(
        &self,
        shelf: &Shelf,
        lock: &Lock,
        wanted: Wanted,
        tell: &Tell,
        cancelled: &CancellationToken,
    ) -> Result<BackupManifest, Fault> {
        let Inner { parts, closing, .. } = &*self.0;
        // Also where nobody waits for it any more.
        let (told, closing, cancelled) = (Arc::clone(tell), closing.clone(), cancelled.child_token());
        let _dropped = cancelled.clone().drop_guard();
        let going = Arc::new(move |done, of| {
            told(Progress { doing: "copying", done, of });
            !closing.is_cancelled() && !cancelled.is_cancelled()
        });
        make(&parts.store, shelf, lock, wanted, &parts.parse, going).await
    }

    async fn newest(&self) -> Result<BackupId, Fault> {
        self.standing().await?.newest.map(|entry| entry.id).ok_or_else(|| {
            Fault::not_found("cannot try a backup out: there is no sound one")
                .hint("`agentctl backup create` makes one")
        })
    }

    async fn look(&self, shelf: &Shelf, id: &BackupId, lock: &Lock, by: String) -> Result<Verified, Fault> {
        let parts = &self.0.parts;
        let problems = inspect(shelf, id, lock, &parts.parse).await?;
        let verified = Verified { at: parts.clock.now(), by, problems };
        let (shelf, id, kept) = (shelf.clone(), id.clone(), verified.clone());
        blocking(move || shelf.keep_verified(&id, &kept)).await?;
        Ok(verified)
    }

    async fn referred(&self) -> Result<BTreeSet<BackupId>, Fault> {
        match &self.0.parts.references {
            Some(references) => references.backups().await,
            None => Ok(BTreeSet::new()),
        }
    }

    pub(super) async fn turn(&self, what: &str) -> Result<SemaphorePermit<'_>, Fault> {
        let other = || {
            Fault::new(FaultKind::Conflict, format!("cannot {what}: other work on backups is under way"))
                .hint("wait for its end; `agentctl backup list` shows what there is")
        };
        match timeout(PATIENCE, self.0.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(other()),
        }
    }
}

fn called_off() -> Fault {
    Fault::new(FaultKind::Conflict, "cannot make a backup: it was called off").hint("nothing of it was kept")
}

/// To the millisecond, as it is kept.
fn whole(time: Duration) -> Period {
    Period::millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
