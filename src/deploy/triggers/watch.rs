//! The loop: after each look of the recorder, every trigger is judged, one after the other, and at most one rollback is
//! begun. What was begun before a crash is found again by its firing's number, and never begun twice.
use super::{
    fire::principal,
    history::time,
    machine::Deed,
    scene::Scene,
    service::{Looked, Memory, Triggers},
};
use crate::{
    config::{Settings, TriggerSettings},
    domain::{
        Event, EventKind, Fault, FiringState, NoData, Operation, OperationState, TriggerAction,
        TriggerFiring, TriggerState,
    },
    errors::Failure,
    store::FiringEnd,
};
use std::time::Duration;
use tokio::{sync::watch, time::timeout};

/// Where the recorder does not look, the triggers say so all the same.
const LATEST: Duration = Duration::from_secs(15);

impl Triggers {
    /// For as long as the daemon lives; `looked` says when there is something new to judge. What the last daemon left is
    /// settled first.
    pub async fn watch(self, mut looked: watch::Receiver<i64>) {
        let mut failing = false;
        loop {
            match self.tick().await {
                Ok(()) => failing = false,
                // Once, until it works again.
                Err(fault) if !std::mem::replace(&mut failing, true) => {
                    tracing::error!(%fault, "triggers are not judged");
                    self.0.parts.errors.record(Failure::new("triggers", fault));
                }
                Err(fault) => tracing::debug!(%fault, "triggers are not judged"),
            }
            let news = tokio::select! {
                // Late is a time to judge, too.
                news = timeout(LATEST, looked.changed()) => news,
                () = self.rollback_ended(), if !failing => continue,
            };
            // Nobody looks any more: the daemon ends.
            if matches!(news, Ok(Err(_))) {
                return;
            }
        }
    }

    /// Never, where none is under way.
    async fn rollback_ended(&self) {
        let under_way = self.open().await.unwrap_or_default().into_iter();
        let mut under_way = under_way.filter(|firing| firing.state == FiringState::Reverting);
        if let Some(id) = under_way.find_map(|firing| firing.operation)
            && self.0.parts.operations.settled(id).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    pub(super) async fn tick(&self) -> Result<(), Fault> {
        self.settle().await?;
        let settings = self.settings();
        if settings.triggers_declared.is_empty() {
            return Ok(());
        }
        self.forget(&settings);
        let mut scene = self.scene(&settings).await?;
        let mut failed = None;
        for trigger in &settings.triggers_declared {
            match self.judge(trigger, &scene).await {
                Ok(false) => {}
                // It is another scene from here on: what was fired counts for those that come after it.
                Ok(true) => scene = self.scene(&settings).await?,
                // One that cannot be judged keeps nobody else from acting.
                Err(fault) => failed = Some(fault),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// True where something was done.
    async fn judge(&self, trigger: &TriggerSettings, scene: &Scene) -> Result<bool, Fault> {
        let looked = self.look(trigger, scene).await?;
        self.remember(trigger, scene, &looked).await;
        self.act_on(trigger, scene, &looked).await
    }

    /// What became of rollbacks that were begun, or were about to be when the last daemon ended.
    async fn settle(&self) -> Result<(), Fault> {
        for firing in self.open().await? {
            match firing.state {
                FiringState::Intended => self.find(&firing).await?,
                FiringState::Reverting => self.follow(&firing).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Was it begun before the last daemon ended?
    async fn find(&self, firing: &TriggerFiring) -> Result<(), Fault> {
        let Some(operation) = self.begun_for(firing).await else {
            let why = "agentd ended before the rollback was begun; it is judged again".to_owned();
            return self.ended(firing, FiringState::Abandoned, why).await;
        };
        let (state, why) = (FiringState::Reverting, String::new());
        self.moved(firing, FiringEnd { state, operation: Some(operation.id), by: principal(), why }).await
    }

    async fn follow(&self, firing: &TriggerFiring) -> Result<(), Fault> {
        let operation = match firing.operation {
            Some(id) => self.0.parts.operations.show(id, 0).await.ok(),
            None => None,
        };
        let Some(operation) = operation else {
            return self
                .stop(firing, "nothing is kept of its rollback: nobody knows how it ended".into())
                .await;
        };
        let id = operation.id;
        match operation.state {
            OperationState::Running | OperationState::Unwinding => Ok(()),
            OperationState::Succeeded => self.ended(firing, FiringState::Reverted, String::new()).await,
            OperationState::Unwound | OperationState::Cancelled | OperationState::Stopped => {
                let why = operation.why.map(|why| format!(": {}", why.message)).unwrap_or_default();
                self.stop(firing, format!("its rollback, {id}, is {}{why}", operation.state.as_str())).await
            }
        }
    }

    /// The rollback that bears the number of this firing.
    async fn begun_for(&self, firing: &TriggerFiring) -> Option<Operation> {
        let operations = &self.0.parts.operations;
        for summary in self.0.parts.ways.past(u32::MAX) {
            if summary.by != principal() || summary.begun_at < firing.at {
                continue;
            }
            let Ok(operation) = operations.show(summary.id, 0).await else { continue };
            let reason = operation.arguments.get("reason").and_then(serde_json::Value::as_str);
            if reason.is_some_and(|reason| reason.starts_with(&super::fire::mark(firing))) {
                return Some(operation);
            }
        }
        None
    }

    /// What is not in a row: since when, and that it cannot say anything.
    async fn remember(&self, trigger: &TriggerSettings, scene: &Scene, looked: &Looked) {
        let Looked { terms, reading, decision } = looked;
        let now = scene.now.as_second();
        let tell = {
            let mut memory = self.memory();
            let memory = memory.entry(trigger.name.clone()).or_default();
            memory.since = decision.since;
            let silent = decision.state == TriggerState::Unmeasured
                && trigger.no_data == NoData::Observe
                && scene.busy.is_none();
            if silent {
                let since = *memory.unmeasured_since.get_or_insert(now);
                let long = now - since >= terms.window_s.saturating_add(terms.lasting_s);
                long && !std::mem::replace(&mut memory.unmeasured_told, long)
            } else {
                (memory.unmeasured_since, memory.unmeasured_told) = (None, false);
                false
            }
        };
        if !tell {
            return;
        }
        let text = format!("trigger {}: {}", trigger.name, terms.sentence(trigger, reading));
        tracing::warn!(trigger = trigger.name, "unmeasured: {text}");
        let event = Event { seq: 0, at: time(now), kind: EventKind::TriggerUnmeasured, instance: None, text };
        if let Err(error) = self.0.parts.store.record_event(event).await {
            tracing::warn!(%error, "an event was not recorded");
        }
    }

    fn forget(&self, settings: &Settings) {
        let declared = |name: &str| settings.triggers_declared.iter().any(|trigger| trigger.name == name);
        self.memory().retain(|name: &String, _: &mut Memory| declared(name));
    }

    async fn act_on(&self, trigger: &TriggerSettings, scene: &Scene, looked: &Looked) -> Result<bool, Fault> {
        let told = looked.terms.sentence(trigger, &looked.reading);
        let (action, note) = match looked.decision.deed {
            Deed::Nothing => return Ok(false),
            Deed::Stop => {
                let why = "its rollback did not help: the limit is passed again".to_owned();
                self.stopped(trigger, scene, looked, told, why).await?;
                return Ok(true);
            }
            Deed::Fire => scene.action(trigger),
        };
        match action {
            TriggerAction::Observe | TriggerAction::Pause => {
                self.told(trigger, scene, looked, (action, told, note.unwrap_or_default())).await?;
            }
            TriggerAction::Revert => self.revert(trigger, scene, looked, told).await?,
        }
        Ok(true)
    }
}
