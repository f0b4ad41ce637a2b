//! The keyring in memory, as the store has it: read whole, and read again after every change. The daemon is the only
//! one who writes, so what is held is never older than the last change that was told "done".
use crate::{
    auth::Policy,
    config::Settings,
    domain::{Fault, FaultKind},
    resilience::Clock,
    store::{Hash, HashedKey, HashedSession, Store, StoreError},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};
use tokio::sync::{Semaphore, watch};

/// Nothing is known whose hash this is.
const NOBODYS: Hash = [0; 32];
/// So long a session that is over is still told from one that never was.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);
/// Uses are written no finer than this, or than a quarter of the time after which a session idles.
const COARSE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Clone)]
pub struct Keyring(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub policy: watch::Receiver<Arc<Policy>>,
    pub store: Store,
    pub clock: Clock,
    /// How many changes there were.
    pub changes: watch::Sender<u64>,
    held: RwLock<Option<Arc<Ring>>>,
    /// One reads, the others wait for what it has read.
    reading: Semaphore,
    used: Mutex<HashMap<String, Used>>,
}

/// All that may be shown, by id.
pub(super) struct Ring {
    /// Of `changes`, before it was read.
    version: u64,
    pub keys: HashMap<String, HashedKey>,
    pub sessions: HashMap<String, HashedSession>,
    /// Of all of them, and one that nothing has.
    hashes: Vec<Hash>,
}

#[derive(Clone, Copy)]
struct Used {
    at: Timestamp,
    written: Timestamp,
}

impl Keyring {
    pub fn new(
        settings: watch::Receiver<Arc<Settings>>,
        policy: watch::Receiver<Arc<Policy>>,
        store: Store,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            settings,
            policy,
            store,
            clock,
            changes: watch::Sender::new(1),
            held: RwLock::default(),
            reading: Semaphore::new(1),
            used: Mutex::default(),
        }))
    }

    /// What is in force now. Never what was before a change that somebody was told of.
    pub(super) async fn ring(&self) -> Result<Arc<Ring>, Fault> {
        if let Some(ring) = self.0.held() {
            return Ok(ring);
        }
        let closed = |_| Fault::new(FaultKind::Unavailable, "cannot look at the keys: agentd is stopping");
        let _turn = self.0.reading.acquire().await.map_err(closed)?;
        if let Some(ring) = self.0.held() {
            return Ok(ring);
        }
        // Before the look: a change during it makes another one due.
        let version = *self.0.changes.borrow();
        let since = self.0.clock.now().checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        let (keys, sessions) = tokio::try_join!(self.0.store.keys(), self.0.store.sessions(since))?;
        let hashes = (keys.iter().map(|held| held.hash)).chain(sessions.iter().map(|held| held.hash));
        let ring = Arc::new(Ring {
            version,
            hashes: hashes.chain([NOBODYS]).collect(),
            keys: keys.into_iter().map(|held| (held.key.id.clone(), held)).collect(),
            sessions: sessions.into_iter().map(|held| (held.session.id.clone(), held)).collect(),
        });
        self.0.used().retain(|id, _| ring.keys.contains_key(id) || ring.sessions.contains_key(id));
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        Ok(ring)
    }

    /// Carries a change through and makes it seen, even if nobody waits for it any more.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, Fault> {
        let inner = Arc::clone(&self.0);
        let changing = tokio::spawn(async move {
            let outcome = write.await;
            inner.changes.send_modify(|version| *version += 1);
            outcome
        });
        let outcome =
            changing.await.map_err(|panic| Fault::internal(format!("cannot change the keys: {panic}")))?;
        Ok(outcome?)
    }

    /// Notes that it is used now; `stored` is what the store says. Written down now and then, by `write`.
    pub(super) fn note_use<F>(&self, id: &str, stored: Option<Timestamp>, write: impl FnOnce(Store) -> F)
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let now = self.0.clock.now();
        let coarse = COARSE.min(self.idle() / 4);
        {
            let mut used = self.0.used();
            let written = stored.unwrap_or(Timestamp::MIN);
            let known = used.entry(id.to_owned()).or_insert(Used { at: now, written });
            known.at = now;
            if now.duration_since(known.written) < coarse {
                return;
            }
            known.written = now;
        }
        let writing = write(self.0.store.clone());
        tokio::spawn(async move {
            if let Err(error) = writing.await {
                tracing::warn!(%error, "that a key or a session was used is not written down");
            }
        });
    }

    /// When it was used last: by memory, which is finer, or else by the store.
    pub(super) fn last_use(&self, id: &str, stored: Option<Timestamp>) -> Option<Timestamp> {
        let used = self.0.used().get(id).map(|used| used.at);
        used.max(stored)
    }

    pub(super) fn idle(&self) -> SignedDuration {
        SignedDuration::try_from(self.0.settings.borrow().sessions.idle.0).unwrap_or(SignedDuration::MAX)
    }
}

impl Ring {
    /// What is held against a token with an id that nobody has, so that it costs what a wrong secret costs: somebody
    /// else's, from somewhere in memory. That it is equal to none is certain: equal tokens have equal ids.
    pub fn another(&self, shown: &Hash) -> &Hash {
        let somewhere = usize::from(u16::from_le_bytes([shown[0], shown[1]])) % self.hashes.len().max(1);
        self.hashes.get(somewhere).unwrap_or(&NOBODYS)
    }
}

impl Inner {
    fn held(&self) -> Option<Arc<Ring>> {
        let wanted = *self.changes.borrow();
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|ring| ring.version >= wanted).cloned()
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
