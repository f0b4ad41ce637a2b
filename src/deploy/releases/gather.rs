//! What a release would be made of, as it is now: the configuration, each artifact hashed, what git says of them, what
//! looks like a secret among them. Nothing is written here.
use super::{
    listing::{Listing, sha256, shown},
    record::is_taken,
    revision::revision,
    tree::{Bounds, Look, Modes, trouble, walk},
};
use crate::{
    config::{ReleaseSettings, Settings},
    domain::{Artifact, Digest, Fault, FaultKind, ReleasedAgent, ReleasedConfig, Revision},
    readiness::leaks::{self, search},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// Searching for secrets is a help: a large artifact is searched in part.
const SEARCH: Duration = Duration::from_secs(10);
const THREADS: usize = 2;
/// Files that are named; more are counted.
const MOST_NAMED: usize = 20;

/// The manifest as a reload would read it.
pub struct Fresh {
    pub settings: Arc<Settings>,
    /// As `config_digest` of the daemon.
    pub digest: String,
}

pub type Reread = Arc<dyn Fn() -> Result<Fresh, Fault> + Send + Sync>;

pub struct Gathered {
    pub settings: Arc<Settings>,
    pub config: Option<(ReleasedConfig, String)>,
    pub revision: Revision,
    pub agents: Vec<ReleasedAgent>,
    /// Of each agent that has an artifact, in the same order as in `agents`.
    pub found: Vec<(ReleasedAgent, PathBuf, Listing)>,
    pub content: Digest,
    pub warnings: Vec<String>,
    /// The file has been changed since it was last read.
    pub unlike_running: bool,
}

impl Gathered {
    pub fn bytes(&self) -> u64 {
        self.found.iter().map(|(_, _, listing)| listing.bytes()).sum()
    }
}

/// `in_force` is the digest of the configuration that runs.
pub async fn gather(
    reread: Reread,
    config_file: Option<PathBuf>,
    in_force: String,
) -> Result<Gathered, Fault> {
    let file = config_file.clone();
    let hashed = spawn_blocking(move || {
        let (fresh, config) = manifest(&reread, file.as_deref())?;
        let found = artifacts(&fresh.settings)?;
        let mut warnings = secrets(&found);
        let unlike_running = fresh.digest != in_force;
        if unlike_running {
            let unlike =
                "the configuration is not the one that runs: it has not been reloaded since it was changed";
            warnings.insert(0, unlike.to_owned());
        }
        Ok::<_, Fault>((fresh.settings, config, found, warnings, unlike_running))
    });
    let (settings, config, found, mut warnings, unlike_running) =
        hashed.await.map_err(|panic| Fault::internal(format!("cannot look at the artifacts: {panic}")))??;
    let here = config_file.as_deref().and_then(Path::parent).map(Path::to_owned);
    let of_manifest = match here {
        Some(here) => revision(here).await,
        None => Revision::Unknown("agentd runs without a configuration file".into()),
    };
    let mut with = Vec::new();
    for (mut agent, source, listing) in found {
        if let Some(artifact) = &mut agent.artifact {
            artifact.revision = revision(source.clone()).await;
            if let Revision::Git { dirty: true, .. } = artifact.revision {
                warnings.push(format!("the artifact of {} is not as it was committed", agent.name));
            }
        }
        with.push((agent, source, listing));
    }
    let agents = settings.agents.iter().map(|agent| {
        let known = with.iter().find(|(known, _, _)| known.name == agent.name);
        known.map_or_else(
            || ReleasedAgent { name: agent.name.clone(), kind: agent.kind.clone(), artifact: None },
            |(known, _, _)| known.clone(),
        )
    });
    let agents: Vec<_> = agents.collect();
    let content = content(&settings, config.as_ref().map(|(config, _)| config.digest), &agents)?;
    Ok(Gathered {
        settings,
        config,
        revision: of_manifest,
        agents,
        found: with,
        content,
        warnings,
        unlike_running,
    })
}

/// The settings, and the very text that they were read from.
fn manifest(
    reread: &Reread,
    file: Option<&Path>,
) -> Result<(Fresh, Option<(ReleasedConfig, String)>), Fault> {
    let Some(file) = file else { return Ok((reread()?, None)) };
    let read = || fs::read_to_string(file).map_err(|error| trouble("read", file, &error));
    let text = read()?;
    let fresh = reread()?;
    if read()? != text {
        let message = format!("cannot make a release: {} changed while it was read", shown(file));
        return Err(Fault::new(FaultKind::Conflict, message).hint("try again once it is written"));
    }
    let digest = sha256(text.as_bytes());
    let config = ReleasedConfig { file: file.display().to_string(), digest, bytes: text.len() as u64 };
    Ok((fresh, Some((config, text))))
}

fn artifacts(settings: &Settings) -> Result<Vec<(ReleasedAgent, PathBuf, Listing)>, Fault> {
    let bounds = bounds(&settings.releases);
    let mut found = Vec::new();
    for agent in &settings.agents {
        let Some(source) = &agent.artifact else { continue };
        let name = agent.name.as_str();
        if is_taken(name) {
            let message =
                format!("cannot take the artifact of {name} into a release: a file there has that name");
            return Err(Fault::new(FaultKind::Config, message).hint("rename the agent"));
        }
        let of_agent = |fault: Fault| {
            let message = fault.message.clone();
            Fault { message: format!("{message} (the artifact of {name})"), ..fault }
        };
        let listing = walk(source, bounds, Modes::Frozen, &mut Look).map_err(of_agent)?;
        listing.check_links(source).map_err(of_agent)?;
        let artifact = Artifact {
            source: source.display().to_string(),
            digest: listing.digest(),
            files: listing.files(),
            bytes: listing.bytes(),
            revision: Revision::Unknown("it was not asked for".into()),
        };
        let released =
            ReleasedAgent { name: agent.name.clone(), kind: agent.kind.clone(), artifact: Some(artifact) };
        found.push((released, source.clone(), listing));
    }
    Ok(found)
}

pub fn bounds(settings: &ReleaseSettings) -> Bounds {
    Bounds { entries: settings.max_files.into(), bytes: settings.max_size.0 }
}

/// Each file that looks as if it held a secret, by what is in it or by what it is called.
fn secrets(found: &[(ReleasedAgent, PathBuf, Listing)]) -> Vec<String> {
    let roots: Vec<PathBuf> = found.iter().map(|(_, source, _)| source.clone()).collect();
    if roots.is_empty() {
        return Vec::new();
    }
    let until = Instant::now() + SEARCH;
    let searched =
        search(&roots, &leaks::Bounds { until, threads: THREADS, honor_ignore_files: false, key: vec![0] });
    let mut files: Vec<(PathBuf, &str)> =
        searched.leaks.into_iter().map(|leak| (leak.path, leak.what)).collect();
    for (_, source, listing) in found {
        let named = listing.0.keys().filter(|path| {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            name == b".env" || (name.starts_with(b".env.") && !name.ends_with(b".example"))
        });
        files.extend(named.map(|path| {
            use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
            (source.join(OsStr::from_bytes(path)), "an environment file")
        }));
    }
    files.sort();
    files.dedup_by(|a, b| a.0 == b.0);
    let count = files.len();
    let mut warnings: Vec<String> = files
        .into_iter()
        .take(MOST_NAMED)
        .map(|(path, what)| format!("{} would be part of the release: {what}", shown(&path)))
        .collect();
    if count > MOST_NAMED {
        warnings.push(format!("and {} files more that look like secrets", count - MOST_NAMED));
    }
    if searched.cut_off {
        warnings.push("the artifacts were searched for secrets in part: they are large".into());
    }
    warnings
}

/// Over everything that ships and nothing that only tells when and by whom.
fn content(settings: &Settings, config: Option<Digest>, agents: &[ReleasedAgent]) -> Result<Digest, Fault> {
    let mut of_agents: Vec<_> = agents
        .iter()
        .map(|agent| (&agent.name, agent.artifact.as_ref().map(|artifact| artifact.digest)))
        .collect();
    of_agents.sort_by_key(|(name, _)| *name);
    let migration = settings.releases.migration.declared();
    let parts = (1, &settings.environment, config, of_agents, migration);
    let text = serde_json::to_vec(&parts)
        .map_err(|error| Fault::internal(format!("cannot take the digest of a release: {error}")))?;
    Ok(sha256(&text))
}
