//! A breaker that many hold: the machine behind a lock that is held for a step and never across a wait.
use super::{
    Clock,
    machine::{BreakerRules, Ended, Machine, Phase, Refused, Ticket},
};
use jiff::Timestamp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// The longest reason that is kept, in characters.
const LONGEST: usize = 200;

#[derive(Clone)]
pub struct Breaker(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    clock: Clock,
    state: Mutex<State>,
    /// Rung at each change of phase.
    bell: watch::Sender<u64>,
}

struct State {
    machine: Machine,
    /// Since when it is closed, or is not: trials that fail do not count. None if it was never otherwise.
    since: Option<Timestamp>,
    /// When it last opened, after a trial or not.
    opened_at: Option<Timestamp>,
    /// The failure that opened it.
    why: Option<String>,
    tripped: Option<Tripped>,
}

/// Who holds it open, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tripped {
    pub by: String,
    pub reason: String,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerView {
    pub name: Arc<str>,
    pub phase: Phase,
    pub since: Option<Timestamp>,
    /// When it is next called, where it is not called now; nothing while others are on trial.
    pub again_in: Option<Duration>,
    pub why: Option<String>,
    pub tripped: Option<Tripped>,
    /// Failures in a row, while it is closed.
    pub streak: u32,
    /// How often it opened by itself.
    pub opened: u64,
    pub rules: BreakerRules,
}

/// What outlives the process: by the wall clock, since a monotonic one begins anew with the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerKept {
    pub phase: Phase,
    /// Since when it is closed, or is not.
    pub since: Timestamp,
    /// When it last opened: from then on its time runs.
    pub opened_at: Timestamp,
    pub why: Option<String>,
    pub tripped: Option<Tripped>,
    pub opened: u64,
}

/// Leave to make one call. Dropped without a word (a panic, a caller that went away), it is given back and tells nothing.
pub struct Permit {
    breaker: Breaker,
    ticket: Option<Ticket>,
}

impl Breaker {
    pub fn new(name: impl Into<Arc<str>>, rules: BreakerRules, clock: Clock) -> Self {
        Self::rung(name.into(), rules, clock, watch::channel(0).0, None)
    }

    /// One that tells of its changes, and goes on where it was left.
    pub(super) fn rung(
        name: Arc<str>,
        rules: BreakerRules,
        clock: Clock,
        bell: watch::Sender<u64>,
        kept: Option<BreakerKept>,
    ) -> Self {
        let mut state =
            State { machine: Machine::new(rules), since: None, opened_at: None, why: None, tripped: None };
        if let Some(kept) = kept {
            state.restore(rules, &clock, kept);
        }
        Self(Arc::new(Inner { name, clock, state: Mutex::new(state), bell }))
    }

    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Asks leave for one call.
    pub fn admit(&self) -> Result<Permit, Refused> {
        let now = self.0.clock.instant();
        let mut state = self.state();
        let before = state.machine.phase();
        let ticket = state.machine.admit(now)?;
        let changed = state.machine.phase() != before;
        drop(state);
        if changed {
            self.ring();
        }
        Ok(Permit { breaker: self.clone(), ticket: Some(ticket) })
    }

    /// Would it refuse now?
    pub fn refuses(&self) -> Option<Refused> {
        self.state().machine.refuses(self.0.clock.instant())
    }

    /// Holds it open until `reset`. `at` is when somebody did so.
    pub fn trip(&self, tripped: Tripped, at: Timestamp) {
        let now = self.0.clock.instant();
        let mut state = self.state();
        state.machine.trip(now);
        (state.since, state.opened_at) = (Some(at), Some(at));
        (state.why, state.tripped) = (None, Some(tripped));
        drop(state);
        self.ring();
    }

    /// Closes it, whatever opened it.
    pub fn reset(&self, at: Timestamp) {
        let mut state = self.state();
        state.machine.reset();
        state.since = Some(at);
        (state.why, state.tripped) = (None, None);
        drop(state);
        self.ring();
    }

    pub fn view(&self) -> BreakerView {
        let now = self.0.clock.instant();
        let state = self.state();
        BreakerView {
            name: Arc::clone(&self.0.name),
            phase: state.machine.phase(),
            since: state.since,
            again_in: state.machine.refuses(now).and_then(|refused| refused.again_in),
            why: state.why.clone(),
            tripped: state.tripped.clone(),
            streak: state.machine.streak(),
            opened: state.machine.opened(),
            rules: state.machine.rules(),
        }
    }

    /// None where it has always been closed.
    pub fn kept(&self) -> Option<BreakerKept> {
        let state = self.state();
        Some(BreakerKept {
            phase: state.machine.phase(),
            since: state.since?,
            opened_at: state.opened_at.or(state.since)?,
            why: state.why.clone(),
            tripped: state.tripped.clone(),
            opened: state.machine.opened(),
        })
    }

    pub(super) fn set_rules(&self, rules: BreakerRules) {
        self.state().machine.set_rules(rules);
    }

    fn settle(&self, ticket: Ticket, ended: Ended, why: impl FnOnce() -> String) {
        let now = self.0.clock.instant();
        let mut state = self.state();
        let on_trial = state.machine.phase() == Phase::HalfOpen;
        let Some(phase) = state.machine.settle(ticket, ended, now) else { return };
        let at = Some(self.0.clock.now());
        if phase == Phase::Open {
            state.opened_at = at;
        }
        if phase == Phase::Closed || !on_trial {
            state.since = at;
        }
        state.why = (phase != Phase::Closed).then(|| short(&why()));
        state.tripped = None;
        drop(state);
        self.ring();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.0.bell.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl State {
    /// One that was on trial is tried anew. A wall clock that was set back makes it wait anew, never longer than that.
    fn restore(&mut self, rules: BreakerRules, clock: &Clock, kept: BreakerKept) {
        let ago = Duration::try_from(clock.now().duration_since(kept.opened_at)).unwrap_or_default();
        let ago = if kept.phase == Phase::HalfOpen { rules.open_for } else { ago.min(rules.open_for) };
        let now = clock.instant();
        // A machine that has not run for that long has no such moment; `now` makes it wait anew.
        let since = now.checked_sub(ago).unwrap_or(now);
        self.machine = match kept.phase {
            Phase::Closed => Machine::closed(rules, kept.opened),
            _ => Machine::restored(rules, since, kept.tripped.is_some(), kept.opened),
        };
        (self.since, self.opened_at) = (Some(kept.since), Some(kept.opened_at));
        (self.why, self.tripped) = (kept.why, kept.tripped);
    }
}

impl Permit {
    pub fn succeeded(mut self) {
        self.end(Ended::Well, String::new);
    }

    /// `why` is asked for only if this is what opens it.
    pub fn failed(mut self, why: impl FnOnce() -> String) {
        self.end(Ended::Failed, why);
    }

    fn end(&mut self, ended: Ended, why: impl FnOnce() -> String) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.settle(ticket, ended, why);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Ended::Unknown, String::new);
    }
}

/// One line: what others wrote may stand in it.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
