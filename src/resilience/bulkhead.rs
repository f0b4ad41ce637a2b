//! So many at once, and so many who wait: what one dependency holds up, it holds up for nobody else.
use super::Deadline;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

pub struct Bulkhead {
    places: Arc<Semaphore>,
    concurrency: u32,
    queue: u32,
    waiting: AtomicU32,
}

/// A place; given back when dropped, whatever happened in it.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// There was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Nor one to wait in: `concurrency` and `queue` are taken.
    Queue { concurrency: u32, queue: u32 },
    /// Nor did one become free before the deadline.
    Late { concurrency: u32 },
}

impl Bulkhead {
    pub fn new(concurrency: u32, queue: u32) -> Self {
        let concurrency = concurrency.max(1);
        let places = Arc::new(Semaphore::new(usize::try_from(concurrency).unwrap_or(usize::MAX >> 4)));
        Self { places, concurrency, queue, waiting: AtomicU32::new(0) }
    }

    /// A place if there is one right now and nobody waits for it.
    pub fn try_enter(&self) -> Option<Place> {
        // Never fails for being closed: nobody closes it.
        self.places.clone().try_acquire_owned().ok().map(|permit| Place { _permit: permit })
    }

    /// Waits for a place in the order of asking, if there is room to wait.
    pub async fn enter(&self, deadline: Deadline) -> Result<Place, Full> {
        if let Some(place) = self.try_enter() {
            return Ok(place);
        }
        let full = Full::Queue { concurrency: self.concurrency, queue: self.queue };
        let _waiting = Waiting::among(&self.waiting, self.queue).ok_or(full)?;
        match timeout_at(deadline.instant(), self.places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            _ => Err(Full::Late { concurrency: self.concurrency }),
        }
    }

    /// Under way now, and waiting.
    pub fn held(&self) -> (u32, u32) {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        (self.concurrency.saturating_sub(free), self.waiting.load(Ordering::Relaxed))
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue { concurrency, queue } => {
                write!(f, "{concurrency} are under way and {queue} wait already")
            }
            Self::Late { concurrency } => write!(f, "none of its {concurrency} places became free in time"),
        }
    }
}

/// One of those who wait, until dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicU32, most: u32) -> Option<Self> {
        let joined = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now < most).then_some(now.saturating_add(1))
        });
        joined.ok().map(|_| Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn one_too_many_is_refused_and_places_come_back_from_whoever_left() {
        let bulkhead = Arc::new(Bulkhead::new(2, 1));
        let soon = || Deadline::within(Duration::from_secs(1));
        let one = bulkhead.enter(soon()).await.expect("a place");
        let two = bulkhead.enter(soon()).await.expect("a place");
        let waits = tokio::spawn({
            let bulkhead = Arc::clone(&bulkhead);
            async move { bulkhead.enter(Deadline::within(Duration::from_secs(9))).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(bulkhead.held(), (2, 1));
        assert_eq!(bulkhead.enter(soon()).await.err(), Some(Full::Queue { concurrency: 2, queue: 1 }));
        drop(one);
        let three = waits.await.expect("no panic").expect("the place of the first");
        assert_eq!(bulkhead.enter(soon()).await.err(), Some(Full::Late { concurrency: 2 }));
        let panicked = tokio::spawn(async move {
            let _place = two;
            panic!("on purpose");
        });
        assert!(panicked.await.is_err());
        assert!(bulkhead.try_enter().is_some(), "a panic kept its place");
        drop(three);
        assert_eq!(bulkhead.held(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_makes_room_to_wait() {
        let bulkhead = Bulkhead::new(1, 1);
        let place = bulkhead.try_enter().expect("a place");
        let gave_up = tokio::time::timeout(Duration::from_millis(5), bulkhead.enter(Deadline::far())).await;
        assert!(gave_up.is_err());
        assert_eq!(bulkhead.held(), (1, 0));
        drop(place);
        assert!(bulkhead.try_enter().is_some());
    }
}
