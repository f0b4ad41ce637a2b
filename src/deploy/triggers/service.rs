//! `Triggers`: how they stand, and what an operator may do about them. `watch` acts by itself.
use super::{
    backtest::{Backtest, replay},
    history::{History, time},
    judge::{Terms, end_of, lasting, read},
    machine::{Before, Decision, decide},
    scene::Scene,
};
use crate::{
    agents::Supervisor,
    auth::Trail,
    config::{Settings, TriggerSettings},
    deploy::{Releases, Ways},
    domain::{
        Act, Caller, Fault, FaultKind, Period, Reading, Sight, TriggerFiring, TriggerHold, TriggerStanding,
        TriggerState, nearest, one_line,
    },
    errors::Errors,
    operations::Operations,
    resilience::Clock,
    store::{MetricTier, Store},
};
use jiff::SignedDuration;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::watch, task::spawn_blocking};

/// Ten seconds are replayed for a question about no more than this.
const FINE_S: i64 = 6 * 3600;
/// Slots that one replay may look at: some seconds of work.
const MOST_WORK: i64 = 60_000_000;

pub struct TriggersParts {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub store: Store,
    pub releases: Releases,
    pub operations: Operations,
    pub ways: Ways,
    pub supervisor: Supervisor,
    pub trail: Trail,
    pub errors: Errors,
    pub clock: Clock,
}

#[derive(Clone)]
pub struct Triggers(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub parts: TriggersParts,
    /// Held for a moment at a time, never across an await.
    memory: Mutex<BTreeMap<String, Memory>>,
}

/// What is not worth a row: it is told again from the metrics after a restart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Since when the limit is passed.
    pub since: Option<i64>,
    pub unmeasured_since: Option<i64>,
    pub unmeasured_told: bool,
}

/// One trigger, looked at.
pub(super) struct Looked {
    pub terms: Terms,
    pub reading: Reading,
    pub decision: Decision,
}

impl Triggers {
    pub fn new(parts: TriggersParts) -> Self {
        Self(Arc::new(Inner { parts, memory: Mutex::default() }))
    }

    /// As declared, judged now; and those that are not declared any more and still stand.
    pub async fn list(&self) -> Result<Vec<TriggerStanding>, Fault> {
        let settings = self.settings();
        let scene = self.scene(&settings).await?;
        let mut all = Vec::with_capacity(settings.triggers_declared.len());
        for trigger in &settings.triggers_declared {
            let looked = self.look(trigger, &scene).await?;
            all.push(standing(trigger, &scene, looked));
        }
        Ok(all)
    }

    /// What they did, the newest first.
    pub async fn firings(&self, limit: u32) -> Result<Vec<TriggerFiring>, Fault> {
        Ok(self.0.parts.store.firings(limit).await?)
    }

    /// Of whatever still stands: it pauses, is stopped, or reverts.
    pub async fn open(&self) -> Result<Vec<TriggerFiring>, Fault> {
        let firings = self.0.parts.store.standing_firings().await?.into_iter();
        Ok(firings.filter(|firing| !firing.state.next().is_empty()).collect())
    }

    /// Holds in force.
    pub async fn holds(&self) -> Result<Vec<TriggerHold>, Fault> {
        Ok(self.0.parts.store.trigger_holds().await?)
    }

    /// Until it expires, nothing is done by itself; of one trigger, or of all.
    pub async fn hold(
        &self,
        trigger: Option<String>,
        lasts: Period,
        reason: String,
        caller: &Caller,
        act: Act,
    ) -> Result<TriggerHold, Fault> {
        let settings = self.settings();
        let (most, now) = (settings.triggers.max_hold, self.0.parts.clock.now());
        if lasts.0.is_zero() || lasts > most {
            return Err(Fault::usage(format!("cannot hold triggers for {lasts}: it is {most} at most"))
                .hint("--for 2h; `max_hold` under [triggers] says how long is allowed"));
        }
        if let Some(name) = &trigger {
            declared(&settings, name)?;
        }
        let lasts = SignedDuration::try_from(lasts.0).unwrap_or(SignedDuration::MAX);
        let hold = TriggerHold {
            id: 0,
            trigger,
            reason,
            by: caller.principal.clone(),
            at: now,
            expires_at: now.saturating_add(lasts).unwrap_or(now),
            released_at: None,
            released_by: None,
        };
        Ok(self.0.parts.store.hold_triggers(act, hold).await?)
    }

    pub async fn release(
        &self,
        trigger: Option<String>,
        caller: &Caller,
        act: Act,
    ) -> Result<Vec<TriggerHold>, Fault> {
        let what = trigger
            .clone()
            .map_or_else(|| "all triggers".into(), |name| format!("trigger {}", one_line(&name)));
        let released = self.0.parts.store.release_holds(act, trigger, caller.principal.clone()).await?;
        if released.is_empty() {
            return Err(Fault::not_found(format!("cannot release {what}: there is no hold on exactly that"))
                .hint("`agentctl rollback status` shows the holds in force"));
        }
        Ok(released)
    }

    /// Deployments may begin again.
    pub async fn resume(&self, caller: &Caller, act: Act) -> Result<Vec<TriggerFiring>, Fault> {
        let resumed = self.0.parts.store.resume_triggers(act, caller.principal.clone()).await?;
        if resumed.is_empty() {
            return Err(Fault::new(FaultKind::Conflict, "cannot resume: no trigger pauses anything"));
        }
        Ok(resumed)
    }

    /// It may act by itself again.
    pub async fn reset(&self, name: String, caller: &Caller, act: Act) -> Result<Vec<TriggerFiring>, Fault> {
        let reset = self.0.parts.store.reset_trigger(act, name.clone(), caller.principal.clone()).await?;
        if reset.is_empty() {
            let message = format!("cannot reset trigger {}: it is not stopped", one_line(&name));
            return Err(Fault::not_found(message).hint("`agentctl rollback triggers` shows which are"));
        }
        self.memory().remove(&name);
        Ok(reset)
    }

    /// When each would have fired, or one of them.
    pub async fn backtest(&self, name: Option<&str>, lasts: Period) -> Result<Backtest, Fault> {
        let settings = self.settings();
        let chosen: Vec<TriggerSettings> = match name {
            Some(name) => vec![declared(&settings, name)?.clone()],
            None => settings.triggers_declared.clone(),
        };
        let kept = &settings.metrics;
        let most = kept.keep_minutes;
        if lasts.0.as_secs() < 60 || lasts > most {
            return Err(Fault::usage(format!(
                "cannot replay {lasts}: it is a minute at least and {most} at most"
            ))
            .hint("--since 7d; `keep_minutes` under [metrics] says how far back there is anything"));
        }
        let lasts_s = i64::try_from(lasts.0.as_secs()).unwrap_or(i64::MAX / 4);
        let fine = lasts_s <= FINE_S && lasts <= kept.keep_ten_seconds;
        let tier = if fine { MetricTier::TenSeconds } else { MetricTier::Minutes };
        let step_s = tier.step_s();
        let until = end_of(self.0.parts.clock.now().as_second()).div_euclid(step_s) * step_s;
        let since = until - lasts_s.div_euclid(step_s) * step_s;
        let mut triggers = Vec::with_capacity(chosen.len());
        for trigger in chosen {
            let terms = Terms::of(&trigger)?;
            let history =
                History::read(&self.0.parts.store, &terms, since - terms.window_s, until, tier).await?;
            let series = i64::try_from(history.series.len().max(1)).unwrap_or(i64::MAX);
            let work =
                (lasts_s / step_s).saturating_mul((terms.window_s / step_s).max(1)).saturating_mul(series);
            if work > MOST_WORK {
                let message = format!(
                    "cannot replay trigger {} over {lasts}: that is {work} slots to look at",
                    trigger.name
                );
                return Err(Fault::usage(message)
                    .hint("replay less time (--since 1d), or fewer series (`agent`, `labels`)"));
            }
            let replayed =
                spawn_blocking(move || replay(&trigger.name, &terms, &history, since, until)).await;
            triggers.push(replayed.map_err(|panic| Fault::internal(format!("cannot replay: {panic}")))?);
        }
        let step_s = step_s.unsigned_abs();
        Ok(Backtest { schema_version: 1, triggers, since: time(since), until: time(until), step_s })
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.0.parts.settings.borrow().clone()
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, BTreeMap<String, Memory>> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn scene(&self, settings: &Settings) -> Result<Scene, Fault> {
        let TriggersParts { store, releases, operations, supervisor, clock, .. } = &self.0.parts;
        let (off, now) = (supervisor.switched_off().is_some(), clock.now());
        Scene::look(settings, store, releases, operations, (off, now)).await
    }

    /// Judges it; changes nothing.
    pub(super) async fn look(&self, trigger: &TriggerSettings, scene: &Scene) -> Result<Looked, Fault> {
        let terms = Terms::of(trigger)?;
        let until = end_of(scene.now.as_second());
        let known = self.memory().get(&trigger.name).copied();
        let back =
            if known.is_none() { terms.window_s.saturating_add(terms.lasting_s) } else { terms.window_s };
        let store = &self.0.parts.store;
        let history = History::read(store, &terms, until.saturating_sub(back), until, terms.tier()).await?;
        let reading = read(&terms, &history, until, scene.floor);
        // After a restart nobody remembers since when: the metrics do.
        let since = match known {
            Some(memory) => memory.since,
            None => lasting(&terms, &history, until, scene.floor),
        };
        let before = Before {
            last: scene.last(&trigger.name),
            since,
            held: scene.hold(&trigger.name).is_some(),
            busy: scene.busy.is_some(),
            now: until,
            floor: scene.floor,
        };
        let decision = decide(&terms, &before, reading.sight);
        Ok(Looked { terms, reading, decision })
    }
}

/// The declaration of that name.
fn declared<'a>(settings: &'a Settings, name: &str) -> Result<&'a TriggerSettings, Fault> {
    settings.triggers_declared.iter().find(|trigger| trigger.name == name).ok_or_else(|| {
        let fault = Fault::not_found(format!("cannot find trigger `{}`", one_line(name)));
        match nearest(name, settings.triggers_declared.iter().map(|trigger| trigger.name.as_str())) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint("`agentctl rollback triggers` shows those of the manifest"),
        }
    })
}

fn standing(trigger: &TriggerSettings, scene: &Scene, looked: Looked) -> TriggerStanding {
    let Looked { terms, reading, decision } = looked;
    let state = match decision.state {
        TriggerState::Pending if reading.sight != Sight::Breach => TriggerState::Quiet,
        state => state,
    };
    let note = match scene.hold(&trigger.name) {
        Some(hold) => Some(hold.sentence()),
        None => scene.action(trigger).1,
    };
    TriggerStanding {
        name: trigger.name.clone(),
        state,
        metric: terms.metric.to_owned(),
        unit: terms.unit,
        statistic: terms.statistic,
        limit: trigger.limit(terms.unit, terms.statistic),
        window: trigger.window,
        action: trigger.action,
        since: decision.since.map(time),
        note,
        last_fired: scene.last(&trigger.name).cloned(),
        reading,
    }
}
