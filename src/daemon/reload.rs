//! A new configuration without a restart: validated first, applied as a difference, refused whole if invalid.
//! What cannot change while we run is named, never silently ignored.
use super::{App, logging::LevelSwitch, manifest::kept_from_agents, notify};
use crate::{
    agents::ApplyReport,
    auth::{Names, Policy},
    config::{AccessSettings, Settings},
    deploy::{self, Releases, ReleasesParts},
    domain::{AgentName, Event, EventKind, Fault, FaultKind},
    errors::Failure,
    readiness::ReadinessParts,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};

/// Reading may run a secret's program.
const READ_DEADLINE: Duration = Duration::from_secs(20);

/// A configuration read again, valid.
pub struct Fresh {
    pub settings: Arc<Settings>,
    pub digest: String,
}

/// Reads the same sources as at the start, or with another file in the place of the manifest.
pub type Reread = Arc<dyn Fn(Option<&Path>) -> Result<Fresh, Fault> + Send + Sync>;

/// Releases know the same of the daemon as readiness does, and read the manifest as a reload would.
pub fn releases_beside(parts: &ReadinessParts, reread: &Reread) -> Releases {
    let reread = Arc::clone(reread);
    Releases::new(ReleasesParts {
        settings: parts.settings.clone(),
        config_file: parts.config_file.clone(),
        config_digest: parts.config_digest.clone(),
        reread: Arc::new(move || {
            let Fresh { settings, digest } = reread(None)?;
            Ok(deploy::Fresh { settings, digest })
        }),
        paths: parts.paths.clone(),
        store: parts.store.clone(),
        supervisor: parts.supervisor.clone(),
        clock: parts.clock.clone(),
    })
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    pub agents: ApplyReport,
    /// Keys whose new value waits for a restart of the daemon.
    pub needs_restart: Vec<String>,
    /// Users and groups under [access] that nobody here bears.
    pub unknown_names: Vec<String>,
}

/// What only a reload may change.
pub struct Reloader {
    pub reread: Reread,
    pub settings: watch::Sender<Arc<Settings>>,
    pub digest: watch::Sender<String>,
    pub policy: watch::Sender<Arc<Policy>>,
    /// None where the daemon does not log (tests).
    pub level: Option<LevelSwitch>,
    /// One at a time.
    pub turn: Semaphore,
}

impl App {
    /// Reads the configuration again and brings everything to it; the old one stays in force if it is refused.
    pub async fn reload(&self) -> Result<ReloadReport, Fault> {
        let reloader = &self.reloader;
        let _turn = reloader.turn.try_acquire().map_err(|_| {
            Fault::new(FaultKind::Conflict, "cannot reload: a reload is under way")
                .hint("`agentctl daemon logs` shows when it is done")
        })?;
        notify::reloading();
        let outcome = self.reload_alone().await;
        notify::ready();
        match &outcome {
            Ok(report) => tracing::info!("configuration reloaded: {}", summary(report)),
            Err(fault) => tracing::error!("configuration not reloaded, the old one stays in force: {fault}"),
        }
        outcome
    }

    /// The file that a reload would read, and what is in it: an approval is for that content and no other.
    pub async fn manifest(&self) -> Result<String, Fault> {
        let Some(path) = self.config_file.clone() else { return Ok("no manifest".into()) };
        let read = tokio::task::spawn_blocking(move || {
            let text = std::fs::read(&*path).map_err(|error| {
                Fault::new(FaultKind::Config, format!("cannot read {}: {error}", path.display()))
                    .hint("nothing was reloaded; the old configuration stays in force")
            })?;
            let hash = ring::digest::digest(&ring::digest::SHA256, &text);
            let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("{}, SHA-256 {hash}", path.display()))
        });
        read.await.map_err(|panic| Fault::internal(format!("cannot read the manifest: {panic}")))?
    }

    /// Without a word to systemd or the log: a rehearsal is not the daemon's own reload.
    pub(super) async fn reload_alone(&self) -> Result<ReloadReport, Fault> {
        let reloader = &self.reloader;
        let reread = Arc::clone(&reloader.reread);
        let file = self.config_file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let fresh = reread(None)?;
            file.map_or(Ok(()), |file| kept_from_agents(&file, &fresh.settings))?;
            Ok::<_, Fault>(fresh)
        });
        let fresh = tokio::time::timeout(READ_DEADLINE, read)
            .await
            .map_err(|_late| {
                Fault::new(
                    FaultKind::Timeout,
                    format!("cannot read the configuration within {}s", READ_DEADLINE.as_secs()),
                )
            })?
            .map_err(|panic| Fault::internal(format!("cannot read the configuration: {panic}")))??;

        let old = self.settings.borrow().clone();
        let (settings, needs_restart) = keep_what_must_stay(&old, Settings::clone(&fresh.settings));
        let (policy, unknown_names) = resolve(&settings.access);
        if let Some(level) = &reloader.level {
            level(&settings.daemon.log.level)?;
        }
        let settings = Arc::new(settings);
        let agents = self.supervisor.apply(Arc::clone(&settings)).await?;
        self.monitor.apply(Arc::clone(&settings));
        self.errors.apply(&settings.errors);
        reloader.policy.send_replace(Arc::new(policy));
        reloader.settings.send_replace(settings);
        reloader.digest.send_replace(fresh.digest);
        let report = ReloadReport { agents, needs_restart, unknown_names };
        self.note(EventKind::ConfigReloaded, summary(&report)).await;
        Ok(report)
    }

    /// Records what happened to the daemon itself; a store that cannot take it is only logged.
    pub(super) async fn note(&self, kind: EventKind, text: String) {
        let event = Event { seq: 0, at: self.clock.now(), kind, instance: None, text };
        if let Err(error) = self.store.record_event(event).await {
            tracing::warn!(%error, "an event was not recorded");
            self.errors.record(Failure::new("event", error.into()));
        }
    }
}

/// [access] with this machine's names; who is named and unknown gets nothing.
pub fn resolve(access: &AccessSettings) -> (Policy, Vec<String>) {
    let names = Names::of_this_machine().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read user and group names; only numbers count under [access]");
        Names::default()
    });
    let (policy, unknown) = Policy::resolve(access, &names, rustix::process::geteuid().as_raw());
    for name in &unknown {
        tracing::warn!("[access] names {name}, who is not on this machine: it grants nothing");
    }
    (policy, unknown)
}

/// The new settings with the old value of every key that a running daemon cannot change, and the names of those.
fn keep_what_must_stay(old: &Settings, mut new: Settings) -> (Settings, Vec<String>) {
    let mut waiting = Vec::new();
    let mut keep = |key: &str, same: bool| {
        if !same {
            waiting.push(key.to_owned());
        }
    };
    keep("daemon.state_dir", old.daemon.state_dir == new.daemon.state_dir);
    keep("daemon.socket", old.daemon.socket == new.daemon.socket);
    keep("daemon.log.dir", old.daemon.log.dir == new.daemon.log.dir);
    keep("daemon.log.keep", old.daemon.log.keep == new.daemon.log.keep);
    keep("daemon.cgroups", old.daemon.cgroups == new.daemon.cgroups);
    keep("store", old.store == new.store);
    keep("releases.dir", old.releases.dir == new.releases.dir);
    keep("access.socket_group", old.access.socket_group == new.access.socket_group);
    new.daemon.state_dir.clone_from(&old.daemon.state_dir);
    new.daemon.socket.clone_from(&old.daemon.socket);
    new.daemon.log.dir.clone_from(&old.daemon.log.dir);
    new.daemon.log.keep = old.daemon.log.keep;
    new.daemon.cgroups = old.daemon.cgroups;
    new.store = old.store.clone();
    new.releases.dir.clone_from(&old.releases.dir);
    new.access.socket_group.clone_from(&old.access.socket_group);
    (new, waiting)
}

fn summary(report: &ReloadReport) -> String {
    let ApplyReport { added, removed, restarted, updated, unchanged } = &report.agents;
    let named = |what: &str, agents: &[AgentName]| {
        let names: Vec<&str> = agents.iter().map(AgentName::as_str).collect();
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let parts = [("added", added), ("removed", removed), ("restarted", restarted), ("updated", updated)];
    let mut parts: Vec<String> = parts.iter().filter_map(|(what, agents)| named(what, agents)).collect();
    parts.push(format!("{unchanged} unchanged"));
    let mut text = parts.join("; ");
    if !report.needs_restart.is_empty() {
        text = format!("{text}; waiting for a restart: {}", report.needs_restart.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Period;

    #[test]
    fn what_cannot_change_stays_as_it_was_and_is_named() {
        let old = Settings::default();
        let mut new = Settings::default();
        new.daemon.socket = Some("/elsewhere.sock".into());
        new.store.readers_max = 7;
        new.access.socket_group = Some("ops".into());
        new.daemon.stop_deadline = Period::secs(7);
        new.access.admin_users = vec!["ana".into()];
        let (kept, waiting) = keep_what_must_stay(&old, new);
        assert_eq!(waiting, ["daemon.socket", "store", "access.socket_group"]);
        assert_eq!((kept.daemon.socket, kept.store), (None, old.store));
        // What can change did.
        assert_eq!(kept.daemon.stop_deadline, Period::secs(7));
        assert_eq!(kept.access.admin_users, ["ana"]);
    }
}
