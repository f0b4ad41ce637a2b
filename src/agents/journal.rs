//! Tells the store what happened, on nobody's time: a small bounded queue, and one task that empties it.
use crate::{
    domain::{Event, EventKind, Fault, FaultCategory, FaultKind, InstanceId},
    errors::{Errors, Failure},
    resilience::Clock,
    store::Store,
};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

/// Events that may wait; one more is dropped and said so in the daemon's log.
const QUEUE: usize = 1024;
/// Writes under way together, so that they share a commit.
const TOGETHER: usize = 64;

#[derive(Clone)]
pub struct Journal {
    queue: mpsc::Sender<Event>,
    clock: Clock,
    errors: Errors,
}

impl Journal {
    pub fn open(store: Store, clock: Clock, errors: Errors) -> Self {
        let (queue, events) = mpsc::channel(QUEUE);
        let lost = errors.clone();
        tokio::spawn(async move {
            let events =
                stream::unfold(events, |mut events| async { events.recv().await.map(|e| (e, events)) });
            let writes = events.map(|event| {
                let store = store.clone();
                async move { store.record_event(event).await }
            });
            let mut writes = std::pin::pin!(writes.buffered(TOGETHER));
            while let Some(written) = writes.next().await {
                if let Err(error) = written {
                    tracing::warn!(%error, "an event of the fleet was not recorded");
                    lost.record(Failure::new("event", error.into()));
                }
            }
        });
        Self { queue, clock, errors }
    }

    /// Never waits.
    pub fn tell(&self, kind: EventKind, instance: &InstanceId, text: impl Into<String>) {
        let event =
            Event { seq: 0, at: self.clock.now(), kind, instance: Some(instance.clone()), text: text.into() };
        if self.queue.try_send(event).is_err() {
            tracing::warn!(%instance, ?kind, "too many events wait: one was dropped");
            let fault = Fault::new(FaultKind::Busy, "cannot keep an event of the fleet: too many wait");
            self.errors.record(Failure::new("event", fault.category(FaultCategory::Database)).of(instance));
        }
    }
}
