//! The daemon's own reload and its own router, on a scratch fleet, so that readiness can see what they do to one.
use super::{
    App, Control, Route,
    boot::{checklist_of, kinds, unusable},
    listen::Answer,
    reload::{Fresh, Reloader, Reread, releases_beside, resolve},
    roster::Roster,
    safekeeping,
    server::Router,
    ways::{self, Assembled, Beside},
};
use crate::{
    auth::{Approvals, Keyring, Meter, Trail},
    config::{self, Sources},
    errors::Errors,
    health::{Monitor, MonitorParts},
    metrics::{Metrics, MetricsParts},
    readiness::{Answered, Question, Readiness, ReadinessParts, Reload, Reloaded, Serve, Served, Stage},
    resilience::Policies,
};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Collected, Either, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    header::{AUTHORIZATION, HeaderValue},
};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

pub struct Rehearsal {
    pub routes: Vec<Route>,
}

impl Reload for Rehearsal {
    fn reload(&self, stage: Stage) -> BoxFuture<'_, Reloaded> {
        Box::pin(async move {
            let errors = errors_of(&stage);
            let monitor = Monitor::launch(MonitorParts {
                settings: Arc::clone(&stage.settings),
                supervisor: stage.supervisor.clone(),
                store: stage.store.clone(),
                clock: stage.clock.clone(),
                errors: errors.clone(),
                policies: Policies::new(stage.clock.clone()),
            });
            let app = app(stage, monitor.clone(), errors);
            let outcome = app.reload_alone().await;
            monitor.shutdown().await;
            let settings = app.settings.borrow().clone();
            Reloaded { refused: outcome.err().map(|fault| fault.to_string()), settings }
        })
    }
}

impl Serve for Rehearsal {
    fn serve(&self, stage: Stage) -> BoxFuture<'_, Box<dyn Served>> {
        let routes = self.routes.clone();
        Box::pin(async move {
            let errors = errors_of(&stage);
            let monitor = Monitor::launch(MonitorParts {
                settings: Arc::clone(&stage.settings),
                supervisor: stage.supervisor.clone(),
                store: stage.store.clone(),
                clock: stage.clock.clone(),
                errors: errors.clone(),
                policies: Policies::new(stage.clock.clone()),
            });
            let directory = Arc::new(Roster::new(stage.supervisor.clone()));
            let router = Router::new(routes, app(stage, monitor.clone(), errors.clone()), directory);
            Box::new(Private { router, monitor, errors }) as Box<dyn Served>
        })
    }
}

/// A router without a socket.
struct Private {
    router: Router,
    monitor: Monitor,
    errors: Errors,
}

impl Served for Private {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answered> {
        Box::pin(async move {
            let caller = self.router.identify(question.identity);
            let method = if question.body.is_some() { Method::POST } else { Method::GET };
            let body = question.body.map(|body| body.to_string()).unwrap_or_default();
            let mut request = Request::builder().method(method).uri(question.path);
            if let Some(bearer) = question.bearer {
                request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
            }
            let Ok(request) = request.body(Full::new(Bytes::from(body))) else {
                return Answered { status: 0, headers: Vec::new(), body: Value::Null };
            };
            // What a scratch fleet refuses on purpose is nothing for the daemon's log.
            let reply = self.router.reply(caller, request).with_subscriber(NoSubscriber::default());
            let (head, body) = reply.await.into_parts();
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            // A reply that never ends by itself is not asked for here.
            let body = match body {
                Either::Left(whole) => whole.collect().await.map(Collected::to_bytes).unwrap_or_default(),
                Either::Right(_lines) => Bytes::new(),
            };
            let body = serde_json::from_slice(&body).unwrap_or_default();
            Answered { status: head.status.as_u16(), headers, body }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.monitor.shutdown().await;
            self.errors.close().await;
        })
    }
}

/// Beside those of the scratch fleet itself: both write to its store, which counts them together.
fn errors_of(stage: &Stage) -> Errors {
    Errors::open(&stage.settings.errors, stage.store.clone(), stage.clock.clone())
}

/// A daemon over scratch parts, with no door and no log, that reads the staged manifest and nothing else.
pub(super) fn app(stage: Stage, monitor: Monitor, errors: Errors) -> App {
    let Stage { manifest, settings, paths, store, supervisor, clock } = stage;
    let (policy, _unknown) = resolve(&settings.access);
    let (settings_tx, settings) = watch::channel(settings);
    let (digest_tx, config_digest) = watch::channel(String::new());
    let (policy_tx, policy) = watch::channel(Arc::new(policy));
    let sources = Sources::file(manifest.clone());
    let reread: Reread = Arc::new(move |_| {
        let loaded = config::load(&sources, &kinds()).map_err(|problems| unusable(&problems))?;
        Ok(Fresh { settings: loaded.settings, digest: loaded.digest })
    });
    let backups = safekeeping::of(&settings, Some(manifest.clone()), &paths, &store, &clock, &errors);
    let parts = ReadinessParts {
        kinds,
        settings: settings.clone(),
        config_file: Some(manifest.clone()),
        config_digest: config_digest.clone(),
        reread: Arc::new(|| Ok(String::new())),
        paths: paths.clone(),
        store: store.clone(),
        supervisor: supervisor.clone(),
        monitor: monitor.clone(),
        clock: clock.clone(),
        errors: errors.clone(),
        gate: None,
        reload: None,
        serve: None,
        safekeeping: None,
        triggering: None,
        rehearsing: None,
        started: Arc::default(),
    };
    let releases = releases_beside(&parts, &reread);
    let hands = ways::hands(&parts, &releases, &backups, Ok(None));
    let readiness = Readiness::new(parts);
    // Of what is tried out, nothing is recorded.
    let metrics =
        Metrics::new(MetricsParts { settings: settings.clone(), store: store.clone(), clock: clock.clone() });
    let checklist = checklist_of((&readiness, &backups, &metrics), &settings, &config_digest, &store, &clock);
    let keyring = Keyring::new(settings.clone(), policy.clone(), store.clone(), clock.clone());
    let meter = Meter::new(settings.clone(), store.clone(), clock.clone());
    let trail = Trail::new(store.clone());
    let approvals = Approvals::new(settings.clone(), store.clone(), clock.clone());
    let beside =
        Beside { paths: &paths, errors: &errors, trail: &trail, checklist: &checklist, reread: &reread };
    let Assembled { operations, ways, triggers, rollouts, rehearsals, .. } = ways::assemble(hands, &beside);
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
        releases,
        checklist,
        keyring,
        meter,
        trail,
        approvals,
        errors,
        operations,
        ways,
        triggers,
        rollouts,
        rehearsals,
        backups,
        metrics,
        control: Control::default(),
        reloader: Arc::new(Reloader {
            reread,
            settings: settings_tx,
            digest: digest_tx,
            policy: policy_tx,
            level: None,
            turn: Semaphore::new(1),
        }),
    }
}
