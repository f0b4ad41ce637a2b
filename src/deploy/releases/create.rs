//! Making a release: everything is looked at before anything is written, copied aside, and renamed into place whole.
use super::{
    copy::{Copied, Progress, check_room, copy, make_directory, remove, sync_below, sync_directory},
    gather::{Gathered, bounds, gather},
    listing::shown,
    record::{self, directory_of},
    service::{ReleaseEntry, Releases},
    tree::trouble,
};
use crate::{
    agents::current_release,
    domain::{
        Act, Caller, Digest, Fault, FaultKind, Principal, Release, ReleaseId, ReleaseStanding,
        ReleasedReadiness, RunState,
    },
    store::Store,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio_util::sync::CancellationToken;

/// How a directory begins that holds a release that is still being made.
pub const MAKING: &str = ".making-";
/// Runs among which the last one of everything is looked for.
const RUNS: u32 = 500;
const LONGEST_NOTE: usize = 500;

/// What is asked of a new release.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    pub note: String,
    /// Also where one with the same content is there already.
    pub force: bool,
    /// The newest backup, as whoever makes those knows it.
    pub backup: Option<String>,
    /// What it bears; one that bears it already is the answer. Empty where nobody will ask for it again.
    pub key: String,
    /// Told when it is called off.
    pub cancelled: CancellationToken,
}

/// What `create` would record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    pub schema_version: u32,
    pub release: Release,
    /// The newest release that ships the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<ReleaseId>,
}

impl Releases {
    pub async fn preview(&self, creation: Creation, caller: &Caller) -> Result<Preview, Fault> {
        check_note(&creation.note)?;
        let gathered = self.gathered().await?;
        let same_as = self.twin(gathered.content).await?;
        let id = self.next().await?;
        let release = self.release(id, &gathered, creation, caller.principal.clone()).await?;
        Ok(Preview { schema_version: 1, release, same_as })
    }

    /// `progress` is told of each file.
    pub async fn create(
        &self,
        creation: Creation,
        by: Principal,
        act: Act,
        progress: impl Fn(Copied) + Send + Sync + 'static,
    ) -> Result<ReleaseEntry, Fault> {
        check_note(&creation.note)?;
        let turn = if creation.key.is_empty() {
            self.turn("make a release")?
        } else {
            self.own_turn("make a release").await?
        };
        if let Some(made) = self.made_for_in_turn(&creation.key).await? {
            drop(turn);
            return self.get(made).await;
        }
        let gathered = self.gathered().await?;
        if let Some(twin) = self.twin(gathered.content).await?
            && !creation.force
        {
            let message = format!("cannot make a release: {twin} ships the same already");
            return Err(Fault::new(FaultKind::Conflict, message)
                .hint(format!("deploy {twin}, or record another of the same content with --force")));
        }
        let id = self.next().await?;
        let cancelled = creation.cancelled.clone();
        let release = self.release(id, &gathered, creation, by).await?;
        // Also where nobody waits for it any more: agentd ends, and the next start begins anew.
        let (made, told) = (release.clone(), cancelled.child_token());
        let _dropped = told.clone().drop_guard();
        let going = move |copied| {
            progress(copied);
            !told.is_cancelled()
        };
        let record = self.on_disk(move |releases| make(releases, &made, &gathered, &going)).await;
        let record = record.map_err(|fault| if cancelled.is_cancelled() { called_off() } else { fault })?;
        let store = &self.inner.parts.store;
        if let Err(error) = store.add_release(act, release, record, String::new()).await {
            // It has not been made: what is on disk must not say otherwise.
            let undone = self.on_disk(move |releases| {
                let at = directory_of(releases, id);
                remove(&at).map_err(|error| trouble("remove", &at, &error))
            });
            if let Err(fault) = undone.await {
                tracing::error!(release = %id, %fault, "a release that could not be recorded was not removed");
            }
            return Err(error.into());
        }
        tracing::info!(release = %id, "release recorded");
        drop(turn);
        if let Err(fault) = self.prune().await {
            tracing::warn!(%fault, "old releases were not removed");
        }
        self.get(id).await
    }

    /// The one that bears this key, also where a crash left it on the disk and in no table.
    pub async fn made_for(&self, key: &str) -> Result<Option<ReleaseId>, Fault> {
        let _turn = self.own_turn("look for a release").await?;
        self.made_for_in_turn(key).await
    }

    async fn made_for_in_turn(&self, key: &str) -> Result<Option<ReleaseId>, Fault> {
        if key.is_empty() {
            return Ok(None);
        }
        self.take_in_turn().await?;
        let known = self.inner.parts.store.releases().await?;
        Ok(known.iter().find(|known| known.release.key == key).map(|known| known.release.id))
    }

    /// Does the daemon run now what this release holds? A reason if not.
    pub(super) async fn runs_now(&self, standing: &ReleaseStanding) -> Result<(), String> {
        let id = standing.release.id;
        let current = self.current().await.map_err(|fault| fault.message)?;
        if current == Some(id) {
            return Ok(());
        }
        if let Some(other) = current {
            return Err(format!("{other} does"));
        }
        let gathered = self.gathered().await.map_err(|fault| fault.message)?;
        if gathered.content != standing.release.content {
            return Err("configuration or artifacts are not as they were recorded".into());
        }
        if gathered.unlike_running {
            return Err("the configuration has not been reloaded since it was changed".into());
        }
        Ok(())
    }

    async fn gathered(&self) -> Result<Gathered, Fault> {
        let parts = &self.inner.parts;
        let in_force = parts.config_digest.borrow().clone();
        gather(parts.reread.clone(), parts.config_file.clone(), in_force).await
    }

    /// The newest release with this content whose files are there.
    async fn twin(&self, content: Digest) -> Result<Option<ReleaseId>, Fault> {
        let (known, _) = self.list().await?;
        let same = |entry: &&ReleaseEntry| entry.standing.release.content == content && !entry.missing;
        Ok(known.iter().find(same).map(|entry| entry.standing.release.id))
    }

    /// A number that neither the table nor the disk has seen.
    async fn next(&self) -> Result<ReleaseId, Fault> {
        let unused = self.inner.parts.store.next_release().await?;
        let on_disk = self.on_disk(|releases| Ok(numbers(releases).max())).await?;
        Ok(on_disk.map_or(unused, |last| unused.max(ReleaseId(last.0.saturating_add(1)))))
    }

    async fn release(
        &self,
        id: ReleaseId,
        gathered: &Gathered,
        creation: Creation,
        by: Principal,
    ) -> Result<Release, Fault> {
        let parts = &self.inner.parts;
        let at = parts.clock.now();
        let mut release = Release {
            schema_version: 1,
            id,
            at,
            by,
            note: creation.note,
            key: creation.key,
            environment: gathered.settings.environment.clone(),
            content: gathered.content,
            config: gathered.config.as_ref().map(|(config, _)| config.clone()),
            revision: gathered.revision.clone(),
            agents: gathered.agents.clone(),
            migration: gathered.settings.releases.migration.declared(),
            agentd_version: env!("CARGO_PKG_VERSION").into(),
            database_version: Store::schema_version(),
            readiness: None,
            backup: creation.backup,
            warnings: gathered.warnings.clone(),
        };
        let runs = parts.store.runs(RUNS).await?;
        let whole = runs.iter().find(|run| run.state == RunState::Finished && !run.partial);
        if let Some((run, (verdict, score))) = whole.and_then(|run| Some((run, run.verdict.zip(run.score)?)))
        {
            let age_s = u64::try_from(at.duration_since(run.started_at).as_secs()).unwrap_or(0);
            let (run, at) = (run.run, run.started_at);
            release.readiness = Some(ReleasedReadiness { run, verdict, score, at, age_s });
        }
        Ok(release)
    }
}

fn called_off() -> Fault {
    Fault::new(FaultKind::Conflict, "cannot make a release: it was called off").hint("nothing of it was kept")
}

fn check_note(note: &str) -> Result<(), Fault> {
    if note.chars().count() <= LONGEST_NOTE && !note.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Fault::usage(format!("cannot take this note: one line of at most {LONGEST_NOTE} characters"))
        .hint("--note \"booking 2.4, OPS-17\""))
}

/// Numbers of the releases that lie on disk.
pub fn numbers(releases: &Path) -> impl Iterator<Item = ReleaseId> {
    let entries = fs::read_dir(releases).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Aside, whole, on the disk, and only then under its name. Returns the digest of the record.
fn make(
    releases: &Path,
    release: &Release,
    gathered: &Gathered,
    progress: Progress<'_>,
) -> Result<Digest, Fault> {
    open_directory(releases)?;
    check_room(releases, gathered.bytes())?;
    let aside = releases.join(format!("{MAKING}{:016x}", fastrand::u64(..)));
    let made = fill(&aside, release, gathered, progress).and_then(|record| {
        let place = directory_of(releases, release.id);
        sync_below(releases)?;
        fs::rename(&aside, &place).map_err(|error| trouble("make", &place, &error))?;
        sync_directory(releases)?;
        Ok(record)
    });
    if made.is_err() && aside.exists() {
        // What cannot be removed now is swept at the next start.
        let _ = remove(&aside);
    }
    made
}

fn fill(
    aside: &Path,
    release: &Release,
    gathered: &Gathered,
    progress: Progress<'_>,
) -> Result<Digest, Fault> {
    make_directory(aside)?;
    let bounds = bounds(&gathered.settings.releases);
    let mut listings = Vec::new();
    for (agent, source, listing) in &gathered.found {
        copy(&agent.name, source, listing, bounds, &aside.join(agent.name.as_str()), progress)?;
        listings.push((agent.name.as_str(), listing));
    }
    record::write(aside, release, gathered.config.as_ref().map(|(_, text)| text.as_str()), &listings)
}

/// Where all releases are: agents may enter it and not look around.
fn open_directory(releases: &Path) -> Result<(), Fault> {
    let failed = |error: std::io::Error| trouble("use", releases, &error);
    if !releases.is_dir() {
        DirBuilder::new().recursive(true).mode(0o711).create(releases).map_err(failed)?;
        fs::set_permissions(releases, Permissions::from_mode(0o711)).map_err(failed)?;
        releases.parent().map_or(Ok(()), sync_directory)?;
    }
    // A link of somebody else's would make any release look as if it ran.
    current_release(releases).map(drop).map_err(|fault| {
        let at: PathBuf = releases.to_owned();
        Fault { message: format!("{} (in {})", fault.message, shown(&at)), ..fault }
    })
}
