//! The daemon's own reload, carried out on a scratch fleet, so that readiness can see what it does to one.
use super::{
    App, Control,
    boot::{kinds, unusable},
    reload::{Fresh, Reloader, resolve},
};
use crate::{
    config::{self, Sources},
    health::{Monitor, MonitorParts},
    readiness::{Readiness, ReadinessParts, Reload, Reloaded, Stage},
};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

pub struct Rehearsal;

impl Reload for Rehearsal {
    fn reload(&self, stage: Stage) -> BoxFuture<'_, Reloaded> {
        Box::pin(async move {
            let monitor = Monitor::launch(MonitorParts {
                settings: Arc::clone(&stage.settings),
                supervisor: stage.supervisor.clone(),
                store: stage.store.clone(),
                clock: stage.clock.clone(),
            });
            let app = app(stage, monitor.clone());
            let outcome = app.reload_alone().await;
            monitor.shutdown().await;
            let settings = app.settings.borrow().clone();
            Reloaded { refused: outcome.err().map(|fault| fault.to_string()), settings }
        })
    }
}

/// A daemon over scratch parts, with no door and no log, that reads the staged manifest and nothing else.
fn app(stage: Stage, monitor: Monitor) -> App {
    let Stage { manifest, settings, paths, store, supervisor, clock } = stage;
    let (policy, _unknown) = resolve(&settings.access);
    let (settings_tx, settings) = watch::channel(settings);
    let (digest_tx, config_digest) = watch::channel(String::new());
    let (policy_tx, policy) = watch::channel(Arc::new(policy));
    let sources = Sources::file(manifest.clone());
    let reread = move || {
        let loaded = config::load(&sources, &kinds()).map_err(|problems| unusable(&problems))?;
        Ok(Fresh { settings: loaded.settings, digest: loaded.digest })
    };
    let readiness = Readiness::new(ReadinessParts {
        settings: settings.clone(),
        config_file: Some(manifest.clone()),
        config_digest: config_digest.clone(),
        reread: Arc::new(|| Ok(String::new())),
        paths: paths.clone(),
        store: store.clone(),
        supervisor: supervisor.clone(),
        monitor: monitor.clone(),
        clock: clock.clone(),
        gate: None,
        reload: None,
        started: Arc::default(),
    });
    App {
        settings,
        config_digest,
        config_file: Some(Arc::new(manifest)),
        policy,
        paths: Arc::new(paths),
        started_at: clock.now(),
        clock,
        store,
        supervisor,
        monitor,
        readiness,
        control: Control::default(),
        reloader: Arc::new(Reloader {
            reread: Arc::new(reread),
            settings: settings_tx,
            digest: digest_tx,
            policy: policy_tx,
            level: None,
            turn: Semaphore::new(1),
        }),
    }
}
