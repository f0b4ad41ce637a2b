//! Changes of standing on their way to the store: a bounded queue that never holds up a look. When the store is
//! slow, several changes of one probe become one.
use crate::{
    domain::{Event, EventKind, ProbeTransition},
    errors::{Errors, Failure},
    store::{Store, StoreError},
};
use futures_util::future::join_all;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

const MOST: usize = 1024;
/// Handed to the store at once, which commits them together.
const BATCH: usize = 64;

#[derive(Default)]
pub struct Journal {
    queue: Mutex<VecDeque<(ProbeTransition, bool)>>,
    bell: Notify,
}

impl Journal {
    /// Queues a change; with `is_event`, also as an event.
    pub fn push(&self, turned: ProbeTransition, is_event: bool) {
        let mut queue = self.lock();
        if queue.len() >= MOST {
            let same = |(old, _): &&mut (ProbeTransition, bool)| {
                old.target == turned.target && old.probe == turned.probe
            };
            if let Some((old, was_event)) = queue.iter_mut().rev().find(same) {
                // From where the older began to where the newer ended.
                (old.to, old.at, old.detail) = (turned.to, turned.at, turned.detail);
                *was_event |= is_event;
                return;
            }
            queue.pop_front();
            tracing::warn!(target = turned.target, "the store is too slow: a change of standing is lost");
        }
        queue.push_back((turned, is_event));
        drop(queue);
        self.bell.notify_one();
    }

    /// Writes until the end of the daemon. Cancel between batches only loses what is queued: `flush` it.
    pub async fn run(&self, store: &Store, errors: Option<&Errors>) {
        loop {
            self.bell.notified().await;
            self.flush(store, errors).await;
        }
    }

    pub async fn flush(&self, store: &Store, errors: Option<&Errors>) {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            let writes = batch.into_iter().map(|(turned, is_event)| async move {
                let lost = |error: StoreError| {
                    let failure = Failure::new("event", error.into());
                    errors.inspect(|errors| errors.record(failure));
                };
                if is_event && let Err(error) = store.record_event(event_of(&turned)).await {
                    tracing::warn!(%error, "an event is lost");
                    lost(error);
                }
                if let Err(error) = store.record_transition(turned).await {
                    tracing::warn!(%error, "a change of standing is lost");
                    lost(error);
                }
            });
            join_all(writes).await;
        }
    }

    fn take(&self) -> Vec<(ProbeTransition, bool)> {
        let mut queue = self.lock();
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(ProbeTransition, bool)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event_of(turned: &ProbeTransition) -> Event {
    let (target, probe) = (&turned.target, &turned.probe);
    // A dependency's probe is called as the dependency is.
    let whose = if target == probe { target.clone() } else { format!("{target} {probe}") };
    let word = |state: crate::domain::ProbeState| format!("{state:?}").to_lowercase();
    Event {
        seq: 0,
        at: turned.at,
        kind: EventKind::ProbeChanged,
        instance: target.contains('/').then(|| target.parse().ok()).flatten(),
        text: format!("{whose}: {} → {}: {}", word(turned.from), word(turned.to), turned.detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProbeState;
    use jiff::Timestamp;

    fn turned(target: &str, from: ProbeState, to: ProbeState) -> ProbeTransition {
        let detail = "connection refused".into();
        ProbeTransition {
            at: Timestamp::UNIX_EPOCH,
            target: target.into(),
            probe: "ready".into(),
            from,
            to,
            detail,
        }
    }

    #[test]
    fn a_slow_store_loses_flapping_and_neither_memory_nor_the_last_word() {
        let journal = Journal::default();
        for n in 0..MOST {
            journal.push(turned(&format!("a/{n}"), ProbeState::Passing, ProbeState::Failing), true);
        }
        for _ in 0..5000 {
            journal.push(turned("a/7", ProbeState::Failing, ProbeState::Passing), false);
        }
        let mut kept = Vec::new();
        loop {
            let batch = journal.take();
            if batch.is_empty() {
                break;
            }
            kept.extend(batch);
        }
        assert_eq!(kept.len(), MOST);
        let (last, is_event) = kept.iter().find(|(t, _)| t.target == "a/7").expect("kept");
        assert_eq!((last.from, last.to, *is_event), (ProbeState::Passing, ProbeState::Passing, true));
    }

    #[test]
    fn an_event_names_whose_probe_turned_and_why() {
        let event = event_of(&turned("orders/1", ProbeState::Passing, ProbeState::Failing));
        assert_eq!(event.text, "orders/1 ready: passing → failing: connection refused");
        assert_eq!(event.instance.map(|id| id.to_string()).as_deref(), Some("orders/1"));
        let mut outage = turned("orders-db", ProbeState::Passing, ProbeState::Failing);
        outage.probe = "orders-db".into();
        let event = event_of(&outage);
        assert_eq!(event.text, "orders-db: passing → failing: connection refused");
        assert_eq!(event.instance, None);
    }
}
