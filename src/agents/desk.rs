//! Where others leave word for an actor: the latest observation of its instance. Holds one of each sort, so it is
//! bounded however often health speaks, and nothing waits.
use super::machine::Input;
use crate::domain::Observation;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Default)]
pub struct Desk {
    slot: Mutex<Slot>,
    bell: Notify,
}

#[derive(Default)]
struct Slot {
    /// Word of an older start is void.
    generation: u64,
    standing: Option<Input>,
    unwell: Option<String>,
}

impl Desk {
    /// Opens the desk for a new start; what was left for the last one is thrown away.
    pub fn open(&self, generation: u64) {
        *self.lock() = Slot { generation, ..Slot::default() };
    }

    pub fn tell(&self, generation: u64, observation: Observation) {
        let mut slot = self.lock();
        if slot.generation != generation {
            return;
        }
        match observation {
            Observation::Ready => slot.standing = Some(Input::Up),
            Observation::NotReady { reason } => slot.standing = Some(Input::NotUp(reason)),
            Observation::Unhealthy { reason } => slot.unwell = Some(reason),
        }
        drop(slot);
        self.bell.notify_one();
    }

    /// The next word, once there is one. Cancel safe: nothing is taken until it is returned.
    pub async fn next(&self) -> Input {
        loop {
            if let Some(input) = self.take() {
                return input;
            }
            self.bell.notified().await;
        }
    }

    fn take(&self) -> Option<Input> {
        let mut slot = self.lock();
        slot.standing.take().or_else(|| slot.unwell.take().map(Input::Unwell))
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_word_counts_an_illness_is_not_overwritten_and_old_starts_are_void() {
        let desk = Desk::default();
        desk.open(2);
        desk.tell(1, Observation::Ready);
        assert_eq!(desk.take(), None);
        desk.tell(2, Observation::Unhealthy { reason: "deadlock".into() });
        desk.tell(2, Observation::Ready);
        desk.tell(2, Observation::NotReady { reason: "503".into() });
        assert_eq!(desk.next().await, Input::NotUp("503".into()));
        assert_eq!(desk.next().await, Input::Unwell("deadlock".into()));
        desk.tell(2, Observation::Ready);
        desk.open(3);
        assert_eq!(desk.take(), None, "word of the last start reached the next");
    }
}
