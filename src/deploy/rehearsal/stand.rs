//! Where a rehearsal is held, and who takes part: made, looked at and taken away a step at a time.
use super::{
    cast::{Cast, Facts, cast},
    listens, reach,
    stage::Stage,
    tree,
};
use crate::{
    agents::Supervisor,
    backups::Program,
    config::{self, AgentSystem, Paths, Settings},
    deploy::{Releases, releases::CONFIG},
    domain::{AgentName, Fault, FaultKind, Release, ReleaseId},
    readiness::{Aside, Ground},
    resilience::Clock,
    store::{AuditFiles, Store, carry_over, set_apart},
};
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::DirBuilder,
    io,
    net::TcpListener,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

/// What the two commands are told.
const RELEASE: &str = "AGENTD_RELEASE";
const FROM: &str = "AGENTD_RELEASE_FROM";

/// Reads a configuration file as a reload would. It may block.
pub type Read = Arc<dyn Fn(&Path) -> Result<Arc<Settings>, Fault> + Send + Sync>;

pub struct RehearsalParts {
    /// The settings in force; changes at a reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    pub read: Read,
    pub releases: Releases,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub clock: Clock,
}

pub struct Stand {
    pub(super) parts: RehearsalParts,
    ground: Ground,
    /// The one that is under way. Held for a moment at a time, never across an await.
    stage: Mutex<Option<Stage>>,
}

/// Who would take part, and what stands against it.
pub struct Chosen {
    pub release: Release,
    /// What runs now.
    pub from: Option<ReleaseId>,
    pub recorded: Arc<Settings>,
    pub cast: Cast,
    pub against: Vec<String>,
}

impl Stand {
    pub fn new(parts: RehearsalParts) -> Arc<Self> {
        let ground = Ground::new(parts.paths.state_dir.join("rehearsal"), parts.clock.clone());
        Arc::new(Self { parts, ground, stage: Mutex::default() })
    }

    /// What is left of one that was cut off: its processes first, then its files.
    pub async fn clear(&self) -> Result<(), Fault> {
        let (ground, releases) = (self.ground.clone(), self.parts.paths.releases.clone());
        let cleared = spawn_blocking(move || {
            let swept = ground.sweep();
            tree::clear(&releases)?;
            swept
        });
        match cleared.await.map_err(panicked)? {
            Ok(0) => Ok(()),
            Ok(_) => {
                tracing::warn!("removed what was left of a rehearsal");
                Ok(())
            }
            Err(error) => {
                let place = self.parts.paths.state_dir.join("rehearsal");
                let message = format!("cannot clear {} for a rehearsal: {error}", place.display());
                Err(Fault::internal(message).hint("`ls -la` shows what is there; nothing live was touched"))
            }
        }
    }

    pub async fn choose(&self, id: ReleaseId, without: &[AgentName]) -> Result<Chosen, Fault> {
        let parts = &self.parts;
        let release = parts.releases.get(id).await?.standing.release;
        if release.config.is_none() {
            return Err(Fault::new(
                FaultKind::Refused,
                format!("cannot rehearse a return to {id}: no configuration was recorded with it"),
            )
            .hint("run agentd with a configuration file, and make a release then"));
        }
        let (read, file) = (Arc::clone(&parts.read), parts.paths.releases.join(id.to_string()).join(CONFIG));
        let recorded = spawn_blocking(move || read(&file)).await.map_err(panicked)??;
        let today = parts.settings.borrow().clone();
        let fleet = parts.supervisor.snapshot();
        let of_its_own = spawn_blocking(move || listens::of_its_own(&fleet)).await.map_err(panicked)?;
        let desires = parts.store.kept_of_agents().await?.desires.into_iter();
        let mut leave_out: BTreeMap<AgentName, String> =
            without.iter().map(|name| (name.clone(), "by somebody's wish (--without)".into())).collect();
        for (name, why) in &today.rehearsal.leave_out {
            leave_out.extend(name.parse().ok().map(|name| (name, why.clone())));
        }
        let facts = Facts {
            recorded: &recorded,
            leave_out,
            stopped: desires.filter(|(_, desire)| desire.stopped).map(|(name, _)| name).collect(),
            of_its_own,
            env: &today.rehearsal.env,
        };
        let mut taken = BTreeSet::new();
        let mut cast = cast(&facts, || free_port(&mut taken))?;
        let mut against = reach::against(&cast, &recorded, &today).await;
        if recorded.agent_system == AgentSystem::Off {
            against.push(format!("the configuration of {id} keeps all agents off"));
        }
        let from = parts.releases.current().await?;
        if let Some(from) = from.filter(|from| *from != id)
            && !parts.releases.get(from).await?.standing.release.migration.down.is_empty()
        {
            cast.unproved.push(format!(
                "the way back of the data, `down` of {from}, was not run: let `prepare` of [rehearsal] do so on its copy"
            ));
        }
        if release.agentd_version != env!("CARGO_PKG_VERSION") {
            cast.unproved.push(format!(
                "{id} was made under agentd {}, and is rehearsed under {}",
                release.agentd_version,
                env!("CARGO_PKG_VERSION")
            ));
        }
        Ok(Chosen { release, from, recorded, cast, against })
    }

    /// Today's database under an identity of its own, the code of the release, and whatever `prepare` makes. Returns the
    /// size of the copy.
    pub async fn copy(
        &self,
        release: &Release,
        from: Option<ReleaseId>,
        cancelled: CancellationToken,
    ) -> Result<u64, Fault> {
        self.clear().await?;
        let parts = &self.parts;
        let (aside, plot) = (Aside::new()?, self.ground.plot()?);
        let state = plot.path().join("state");
        let made = {
            let (store, state, now) = (parts.store.clone(), state.clone(), parts.clock.now());
            let (live, releases) = (parts.paths.database.clone(), parts.paths.releases.clone());
            let with = release.agents.iter().filter(|agent| agent.artifact.is_some());
            let (id, agents): (_, Vec<AgentName>) =
                (release.id, with.map(|agent| agent.name.clone()).collect());
            aside.spawn(async move {
                DirBuilder::new().mode(0o700).create(&state).map_err(|error| unmade(&state, &error))?;
                let going = cancelled.clone();
                store.copy_to(state.clone(), Box::new(move |_, _| !going.is_cancelled())).await?;
                let work = move || {
                    let database = AuditFiles::of(&state).database;
                    carry_over(&database, Some(&live), now)?;
                    set_apart(&database, now)?;
                    tree::make(&releases, id, &agents)?;
                    std::fs::metadata(&database)
                        .map(|about| about.len())
                        .map_err(|error| unmade(&database, &error))
                };
                spawn_blocking(work).await.map_err(panicked)?
            })
        };
        let bytes = made.await.map_err(panicked)??;
        self.outside("prepare", release.id, from).await?;
        self.put(Stage::new(aside, plot));
        Ok(bytes)
    }

    /// Starts it; it is up, or not, later.
    pub async fn launch(&self, chosen: &Chosen) -> Result<(), Fault> {
        let Some(stage) = self.take() else { return Err(lost()) };
        let env = self.parts.settings.borrow().rehearsal.env.clone();
        let code = tree::place(&self.parts.paths.releases);
        let settings = chosen.cast.settings(&chosen.recorded, &env, &code);
        let stage = stage.launch(&self.ground, settings).await?;
        self.put(stage);
        Ok(())
    }

    /// Something of the fleet that is under way.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Stage) -> Option<T>) -> Result<T, Fault> {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.as_ref().and_then(at).ok_or_else(lost)
    }

    /// Ends it and leaves nothing; how many of its processes outlived their stop and were killed.
    pub async fn end(&self) -> Result<usize, Fault> {
        let survivors = match self.take() {
            Some(stage) => stage.end().await,
            None => 0,
        };
        self.clear().await?;
        Ok(survivors)
    }

    /// A command of [rehearsal], if there is one.
    pub async fn outside(
        &self,
        key: &'static str,
        release: ReleaseId,
        from: Option<ReleaseId>,
    ) -> Result<(), Fault> {
        let settings = self.parts.settings.borrow().rehearsal.clone();
        let argv = if key == "prepare" { settings.prepare } else { settings.discard };
        if argv.is_empty() {
            return Ok(());
        }
        let mut secrets: Vec<(&str, SecretString)> = vec![(RELEASE, release.to_string().into())];
        secrets.extend(from.map(|from| (FROM, from.to_string().into())));
        for (name, value) in &settings.env {
            secrets.push((name, config::resolve(value).await?));
        }
        let called = format!("`{key}` of [rehearsal]");
        let program = Program {
            argv,
            told: Vec::new(),
            secrets,
            input: None,
            output: None,
            deadline: settings.deadline,
            called: &called,
        };
        program.run().await.map_err(|why| {
            let what = if key == "prepare" { "make ready for" } else { "clear up after" };
            Fault::new(FaultKind::Unavailable, format!("cannot {what} a rehearsal of {release}: {why}"))
                .hint("run it by hand with the same variables; nothing live was touched by agentd")
        })
    }

    fn put(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage);
    }

    fn take(&self) -> Option<Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn lost() -> Fault {
    Fault::new(FaultKind::Conflict, "cannot go on with a rehearsal: agentd was ended in the middle of it")
        .hint("what was left of it is cleared away; begin another with `agentctl rollback rehearse`")
}

fn unmade(path: &Path, error: &io::Error) -> Fault {
    Fault::internal(format!("cannot make {}: {error}", path.display()))
        .hint("make room there (`df -h`) and let the user of agentd write to it; nothing live was touched")
}

fn panicked(panic: impl std::fmt::Display) -> Fault {
    Fault::internal(format!("cannot hold a rehearsal: {panic}"))
}

/// One that nobody has, and that was not given in the same rehearsal before.
fn free_port(taken: &mut BTreeSet<u16>) -> Result<u16, Fault> {
    for _ in 0..100 {
        let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = bound
            .map_err(|error| Fault::internal(format!("cannot find a port for a rehearsal: {error}")))?
            .port();
        if taken.insert(port) {
            return Ok(port);
        }
    }
    Err(Fault::new(FaultKind::Unavailable, "cannot find a port for a rehearsal: none is free"))
}
