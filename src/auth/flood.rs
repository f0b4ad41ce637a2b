//! How many refusals of one caller are written out: a burst, then one now and then that counts the rest. The trail keeps
//! so many rows and no more; nobody without a right to anything may fill it.
use crate::domain::Principal;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Written out one by one: more than there are routes, so that whoever tries every door once leaves a row for each.
const BURST: u32 = 200;
/// After that, one in this time.
const EVERY: Duration = Duration::from_secs(10);
/// Callers remembered; beyond, those that have been quiet are forgotten.
const MOST: usize = 1_000;

#[derive(Default)]
pub struct Flood(Mutex<HashMap<Principal, Source>>);

struct Source {
    since: Instant,
    /// What is left of the burst.
    left: u32,
    unsaid: u64,
}

impl Flood {
    /// None: it is only counted. Else how many were only counted since the last that was written.
    pub fn admits(&self, source: &Principal, now: Instant) -> Option<u64> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= MOST && !sources.contains_key(source) {
            sources.retain(|_, source| now - source.since < EVERY * BURST || source.unsaid > 0);
        }
        if sources.len() >= MOST && !sources.contains_key(source) {
            // So many at once: everybody's is written, and none is remembered.
            return Some(0);
        }
        let known = sources.entry(source.clone()).or_insert(Source { since: now, left: BURST, unsaid: 0 });
        let refilled = u32::try_from((now - known.since).as_secs() / EVERY.as_secs()).unwrap_or(BURST);
        if refilled > 0 {
            known.left = known.left.saturating_add(refilled).min(BURST);
            known.since = now;
        }
        if known.left == 0 {
            known.unsaid += 1;
            return None;
        }
        known.left -= 1;
        Some(std::mem::take(&mut known.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_others_are_heard_meanwhile() {
        let flood = Flood::default();
        let (loud, quiet) = (Principal::user(1), Principal::user(2));
        let written = (0..10_000).filter(|_| flood.admits(&loud, Instant::now()).is_some()).count();
        assert_eq!(written, 200);
        assert_eq!(flood.admits(&quiet, Instant::now()), Some(0));
        tokio::time::advance(EVERY).await;
        assert_eq!(flood.admits(&loud, Instant::now()), Some(9_800));
        assert_eq!(flood.admits(&loud, Instant::now()), None);
        tokio::time::advance(EVERY * BURST).await;
        assert_eq!(flood.admits(&loud, Instant::now()), Some(1));
        assert_eq!(flood.admits(&loud, Instant::now()), Some(0));
        for uid in 10..5_000 {
            assert!(flood.admits(&Principal::user(uid), Instant::now()).is_some());
        }
        assert!(flood.0.lock().expect("whole").len() <= MOST);
    }
}
