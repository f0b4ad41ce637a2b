//! Every policy that is in force, by the name of what it protects. A reload changes terms; no breaker forgets by it.
use super::{Breaker, BreakerKept, Clock, Policy, Terms};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Rung when a breaker changes its phase.
    bell: watch::Sender<u64>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    live: BTreeMap<Arc<str>, Policy>,
    /// How those stood that are not live: from before a restart, or taken out of the file. One that comes back goes on
    /// where it was.
    kept: BTreeMap<Arc<str>, BreakerKept>,
}

impl Policies {
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, bell: watch::channel(0).0, known: Mutex::default() }))
    }

    /// How a breaker stood before the restart; counts when a policy of this name is applied.
    pub fn remember(&self, name: impl Into<Arc<str>>, kept: BreakerKept) {
        self.known().kept.insert(name.into(), kept);
    }

    /// Brings what is in force to these and no others.
    pub fn apply(&self, wanted: BTreeMap<Arc<str>, Terms>) {
        let mut known = self.known();
        let Known { live, kept } = &mut *known;
        live.retain(|name, policy| {
            let stays = wanted.contains_key(name);
            if !stays && let Some(left) = policy.breaker().kept() {
                kept.insert(Arc::clone(name), left);
            }
            stays
        });
        for (name, terms) in wanted {
            if let Some(policy) = live.get(&name) {
                policy.set_terms(terms);
                continue;
            }
            let (clock, bell, kept) = (self.0.clock.clone(), self.0.bell.clone(), kept.remove(&name));
            let breaker = Breaker::rung(Arc::clone(&name), terms.breaker, clock.clone(), bell, kept);
            live.insert(name, Policy::over(breaker, terms, clock));
        }
    }

    pub fn get(&self, name: &str) -> Option<Policy> {
        self.known().live.get(name).cloned()
    }

    /// By name.
    pub fn all(&self) -> Vec<Policy> {
        self.known().live.values().cloned().collect()
    }

    /// Changes whenever a breaker's phase does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.bell.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
