//! Deployments and rollbacks put together: what their steps reach, the operations that they are carried out as, and the
//! daemon's configuration, read again.
use super::{App, manifest::kept_from_agents};
use crate::{
    auth::Trail,
    backups::Backups,
    config::Paths,
    deploy::{
        Hands, Releases, Reload, Ways, WaysParts, steps,
        triggers::{Triggers, TriggersParts},
    },
    domain::{Fault, FaultKind},
    errors::Errors,
    operations::{Operations, Registry},
    readiness::ReadinessParts,
    store::Store,
};
use futures_util::future::BoxFuture;
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a reload of somebody else's is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// What steps reach, of a daemon that is being put together.
pub fn hands(parts: &ReadinessParts, releases: &Releases, backups: &Backups) -> Hands {
    Hands {
        settings: parts.settings.clone(),
        releases: releases.clone(),
        backups: backups.clone(),
        releases_dir: parts.paths.releases.clone(),
        supervisor: parts.supervisor.clone(),
        monitor: parts.monitor.clone(),
        clock: parts.clock.clone(),
        reload: OnceLock::new(),
    }
}

/// Every step that a journal may name is known here. What was open goes on once all that steps may reach is there.
pub fn assemble(
    hands: Hands,
    paths: &Paths,
    store: &Store,
    errors: &Errors,
    trail: &Trail,
) -> (Arc<Hands>, Operations, Ways, Triggers) {
    let hands = Arc::new(hands);
    // It refuses a name that is none or that two bear, and these are constants: no daemon would start at all.
    let registry = Registry::new(steps(&hands)).expect("each step has a name of its own");
    let operations = Operations::new(paths.operations.clone(), registry, hands.clock.clone(), errors.clone());
    let operations = operations.telling(store.clone());
    let ways = Ways::new(WaysParts {
        settings: hands.settings.clone(),
        releases: hands.releases.clone(),
        operations: operations.clone(),
        supervisor: hands.supervisor.clone(),
        store: store.clone(),
        clock: hands.clock.clone(),
    });
    // They act once somebody lets them watch.
    let triggers = Triggers::new(TriggersParts {
        settings: hands.settings.clone(),
        store: store.clone(),
        releases: hands.releases.clone(),
        operations: operations.clone(),
        ways: ways.clone(),
        supervisor: hands.supervisor.clone(),
        trail: trail.clone(),
        errors: errors.clone(),
        clock: hands.clock.clone(),
    });
    (hands, operations, ways, triggers)
}

pub struct Configuration(App);

impl Configuration {
    pub fn of(app: &App) -> Self {
        Self(app.clone())
    }
}

impl Reload for Configuration {
    fn reload(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async {
            let end = Instant::now() + PATIENCE;
            loop {
                match self.0.reload().await {
                    Err(fault) if fault.kind == FaultKind::Conflict && Instant::now() < end => {
                        sleep(LOOK).await;
                    }
                    outcome => return outcome.map(drop),
                }
            }
        })
    }

    fn check(&self, file: &Path) -> Result<(), Fault> {
        let fresh = (self.0.reloader.reread)(Some(file))?;
        let place = self.0.config_file.as_deref();
        place.map_or(Ok(()), |place| kept_from_agents(place, &fresh.settings))
    }
}
