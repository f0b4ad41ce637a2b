//! A thread that anchors the newest row: every 100 rows, and within 60 s of the first that is not anchored. Off the
//! writer's thread, so that no write waits for a second file.
use super::{
    anchors::{AnchorFile, AnchorKind},
    head,
};
use crate::{domain::Digest, resilience::Clock, store::open::Regime};
use rusqlite::Connection;
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A burst is anchored ten times a second, each time up to its newest row, so that two files do not contend for the
/// disk all the time.
const BREATH: Duration = Duration::from_millis(100);
/// An anchor that could not be written is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// The newest row as committed: told by the writer, heard by the one who anchors.
pub struct Pulse {
    slot: Mutex<Slot>,
    bell: Condvar,
}

#[derive(Clone, Copy)]
struct Slot {
    newest: (u64, Digest),
    closing: bool,
}

impl Pulse {
    pub fn new(newest: (u64, Digest)) -> Self {
        Self { slot: Mutex::new(Slot { newest, closing: false }), bell: Condvar::new() }
    }

    /// By the writer, after each COMMIT.
    pub fn committed(&self, connection: &Connection) {
        // What cannot be read now is read after the next commit.
        let Ok(newest) = head(connection) else { return };
        let mut slot = self.slot();
        // Never back: a row that vanished from under us is missing, and its number is not given again.
        if newest.0 > slot.newest.0 {
            slot.newest = newest;
            drop(slot);
            self.bell.notify_all();
        }
    }

    pub fn newest(&self) -> (u64, Digest) {
        self.slot().newest
    }

    /// By the writer, after its last commit.
    pub fn close(&self) {
        self.slot().closing = true;
        self.bell.notify_all();
    }

    /// Until there is a row after `known`, or the end, or it is time.
    fn wait(&self, known: u64, until: Option<Instant>) -> Slot {
        let waits = |slot: &mut Slot| !slot.closing && slot.newest.0 <= known;
        let slot = self.slot();
        match until {
            None => *self.bell.wait_while(slot, waits).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let patience = until.saturating_duration_since(Instant::now());
                let waited = self.bell.wait_timeout_while(slot, patience, waits);
                *waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Whole at every moment.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends after the last anchor once the pulse is closed.
pub fn start(
    pulse: Arc<Pulse>,
    file: Arc<Mutex<AnchorFile>>,
    clock: Clock,
    regime: Regime,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("audit-anchors".into()).spawn(move || keep(&pulse, &file, &clock, regime))
}

fn keep(pulse: &Pulse, file: &Mutex<AnchorFile>, clock: &Clock, regime: Regime) {
    let mut anchored = locked(file).last().0;
    let mut seen = anchored;
    // What a killed daemon left unanchored is anchored at once.
    let mut due: Option<Instant> = Some(Instant::now());
    let mut breath = Instant::now();
    loop {
        let Slot { newest, closing } = pulse.wait(seen, due);
        let now = Instant::now();
        seen = newest.0;
        if newest.0 > anchored && regime.anchor_rows > 0 {
            let many = newest.0 - anchored >= regime.anchor_rows;
            let last = *due.get_or_insert(now + regime.anchor_every);
            if closing || now >= last || (many && now >= breath) {
                match locked(file).append(AnchorKind::Anchor, newest, clock.now()) {
                    Ok(()) => {
                        anchored = newest.0;
                        due = None;
                        breath = now + BREATH;
                    }
                    Err(error) => {
                        tracing::error!(%error, row = newest.0, "cannot anchor the audit trail");
                        due = Some(now + AGAIN);
                    }
                }
            } else if many {
                due = Some(last.min(breath));
            }
        } else {
            due = None;
        }
        if closing {
            return;
        }
    }
}

pub fn locked(file: &Mutex<AnchorFile>) -> MutexGuard<'_, AnchorFile> {
    // A line that was half written is ended by the next.
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
