//! Deployments and rollbacks put together: what their steps reach, the operations that they are carried out as, and the
//! daemon's configuration, read again.
use super::{App, manifest::kept_from_agents, rehearsing, reload::Reread};
use crate::{
    auth::Trail,
    backups::Backups,
    config::{Paths, Settings},
    deploy::{
        FleetIsBusy, Hands, Paused, Rehearsals, Releases, Reload, Rollouts, RolloutsParts, Ways, WaysParts,
        checklist::Checklists,
        rehearsal_steps, steps,
        triggers::{Triggers, TriggersParts},
    },
    domain::{Fault, FaultKind},
    errors::Errors,
    operations::{Operations, Registry},
    readiness::ReadinessParts,
    resilience::Clock,
    store::{ReplacePhase, Replacement, Replacing},
};
use futures_util::future::BoxFuture;
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// How long a reload of somebody else's is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// What steps reach, of a daemon that is being put together.
pub fn hands(
    parts: &ReadinessParts,
    releases: &Releases,
    backups: &Backups,
    replaced: Result<Option<Replacement>, String>,
) -> Hands {
    Hands {
        settings: parts.settings.clone(),
        releases: releases.clone(),
        backups: backups.clone(),
        store: parts.store.clone(),
        releases_dir: parts.paths.releases.clone(),
        replacing: Replacing::of(&parts.paths.database),
        replaced,
        supervisor: parts.supervisor.clone(),
        monitor: parts.monitor.clone(),
        clock: parts.clock.clone(),
        reload: OnceLock::new(),
    }
}

/// Before the store is opened: a database that was to take the place of the live one does so now, or is given up. Why it
/// could not be seen to; the daemon starts all the same.
pub async fn replace_database(paths: &Paths, clock: &Clock) -> Result<Option<Replacement>, String> {
    let (replacing, now) = (Replacing::of(&paths.database), clock.now());
    let done = spawn_blocking(move || replacing.carry_out(now)).await;
    let done = done.map_err(|panic| format!("cannot replace the database: {panic}")).flatten();
    match &done {
        Ok(Some(Replacement { key, phase: ReplacePhase::Placed { .. }, .. })) => {
            tracing::warn!(key, "another database is in the place of the one before");
        }
        Ok(Some(Replacement { key, phase: ReplacePhase::Failed { why }, .. })) => {
            tracing::error!(key, "the database is what it was: {why}");
        }
        Ok(_) => {}
        Err(why) => tracing::error!("the database is what it was: {why}"),
    }
    done
}

/// What ways are put together from, beside what their steps reach.
pub struct Beside<'a> {
    pub paths: &'a Paths,
    pub errors: &'a Errors,
    pub trail: &'a Trail,
    pub checklist: &'a Checklists,
    pub reread: &'a Reread,
}

pub struct Assembled {
    pub hands: Arc<Hands>,
    pub operations: Operations,
    pub ways: Ways,
    pub triggers: Triggers,
    pub rollouts: Rollouts,
    pub rehearsals: Rehearsals,
}

/// Every step that a journal may name is known here. What was open goes on once all that steps may reach is there.
pub fn assemble(hands: Hands, beside: &Beside<'_>) -> Assembled {
    let &Beside { paths, errors, trail, checklist, reread } = beside;
    let store = &hands.store.clone();
    let hands = Arc::new(hands);
    let stand = rehearsing::stand(&hands, paths, store, reread);
    let steps = steps(&hands).into_iter().chain(rehearsal_steps(&stand));
    // It refuses a name that is none or that two bear, and these are constants: no daemon would start at all.
    let registry = Registry::new(steps).expect("each step has a name of its own");
    let operations = Operations::new(paths.operations.clone(), registry, hands.clock.clone(), errors.clone());
    let operations = operations.telling(store.clone());
    let ways = Ways::new(WaysParts {
        settings: hands.settings.clone(),
        releases: hands.releases.clone(),
        operations: operations.clone(),
        supervisor: hands.supervisor.clone(),
        backups: hands.backups.clone(),
        database: paths.database.clone(),
        checklist: checklist.clone(),
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
    // What keeps candidates away is named here; nothing shares tasks with them yet.
    let busy = FleetIsBusy { operations: operations.clone(), supervisor: hands.supervisor.clone() };
    let rollouts = Rollouts::new(RolloutsParts {
        hands: Arc::clone(&hands),
        operations: operations.clone(),
        ways: ways.clone(),
        store: store.clone(),
        errors: errors.clone(),
        holds: vec![Arc::new(busy), Arc::new(Paused(store.clone()))],
        sharing: None,
    });
    let rehearsals = Rehearsals::new(stand, operations.clone());
    Assembled { hands, operations, ways, triggers, rollouts, rehearsals }
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

    fn read(&self, file: &Path) -> Result<Arc<Settings>, Fault> {
        let fresh = (self.0.reloader.reread)(Some(file))?;
        let place = self.0.config_file.as_deref();
        place.map_or(Ok(()), |place| kept_from_agents(place, &fresh.settings))?;
        Ok(fresh.settings)
    }

    fn check(&self, file: &Path) -> Result<(), Fault> {
        self.read(file).map(drop)
    }

    fn start_anew(&self) {
        self.0.control.start_anew();
    }
}
