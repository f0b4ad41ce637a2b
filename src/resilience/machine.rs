//! A breaker as a plain machine: time and outcomes in, leave to call out. It has no clock and never waits.
use super::window::Window;
use std::time::Duration;
use tokio::time::Instant;

/// When a breaker opens, for how long, and how it tries whether all is well again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerRules {
    /// It opens after so many failures in a row; 0 leaves that rule out.
    pub failures: u32,
    /// It opens when this share of the calls in the window failed …
    pub rate: Option<f64>,
    pub window: Duration,
    /// … and there were at least so many of them.
    pub minimum: u32,
    /// After so long, calls are let through on trial …
    pub open_for: Duration,
    /// … this many, all of which must go well.
    pub probes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Closed,
    /// Nothing is called.
    Open,
    /// A few are called on trial.
    HalfOpen,
}

/// It is not called now. `again_in` is None while it is held open by hand, and nothing while others are on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub again_in: Option<Duration>,
}

/// How a call that was admitted came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    Failed,
    /// It tells nothing of the other end: a mistake of the caller, or nobody waited for the answer.
    Unknown,
}

/// Leave to make one call. Belongs to the phase in which it was given: a call that began before counts no more.
#[derive(Debug)]
pub struct Ticket {
    epoch: u64,
}

#[derive(Debug)]
pub struct Machine {
    rules: BreakerRules,
    state: State,
    /// Raised by every change of phase.
    epoch: u64,
    /// How often it opened by itself. Failing on trial is the same outage.
    opened: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        /// Failures in a row.
        streak: u32,
        /// Successes and failures.
        window: Window,
    },
    Open {
        since: Instant,
        by_hand: bool,
    },
    HalfOpen {
        /// Calls on trial under way, and those that went well.
        out: u32,
        passed: u32,
    },
}

impl Machine {
    pub fn new(rules: BreakerRules) -> Self {
        Self { rules, state: closed(rules), epoch: 0, opened: 0 }
    }

    /// A closed one that opened so often before.
    pub fn closed(rules: BreakerRules, opened: u64) -> Self {
        Self { opened, ..Self::new(rules) }
    }

    /// One that was open so long already.
    pub fn restored(rules: BreakerRules, open_since: Instant, by_hand: bool, opened: u64) -> Self {
        Self { rules, state: State::Open { since: open_since, by_hand }, epoch: 1, opened }
    }

    /// What has been counted so far stays, as far as it can be counted under the new rules.
    pub fn set_rules(&mut self, rules: BreakerRules) {
        if let State::Closed { window, .. } = &mut self.state
            && rules.window != self.rules.window
        {
            *window = Window::new(rules.window);
        }
        self.rules = rules;
    }

    /// Asks leave for one call. Whoever gets it must `settle` it.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Refused> {
        if let Some(refused) = self.refuses(now) {
            return Err(refused);
        }
        if let State::Open { .. } = self.state {
            self.turn(State::HalfOpen { out: 0, passed: 0 });
        }
        if let State::HalfOpen { out, .. } = &mut self.state {
            *out += 1;
        }
        Ok(Ticket { epoch: self.epoch })
    }

    /// What `admit` would refuse, without asking for leave.
    pub fn refuses(&self, now: Instant) -> Option<Refused> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { by_hand: true, .. } => Some(Refused { again_in: None }),
            State::Open { since, by_hand: false } => {
                // A time before it opened is taken for that one: it never opens for longer than the rule says.
                let left = self.rules.open_for.saturating_sub(now.saturating_duration_since(since));
                (!left.is_zero()).then_some(Refused { again_in: Some(left) })
            }
            State::HalfOpen { out, passed } => {
                let full = out.saturating_add(passed) >= self.rules.probes.max(1);
                full.then_some(Refused { again_in: Some(Duration::ZERO) })
            }
        }
    }

    /// Takes in how a call ended; returns the new phase where that changed it.
    pub fn settle(&mut self, ticket: Ticket, ended: Ended, now: Instant) -> Option<Phase> {
        if ticket.epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed { streak, window } => match ended {
                Ended::Unknown => None,
                Ended::Well => {
                    *streak = 0;
                    window.count(0, now);
                    None
                }
                Ended::Failed => {
                    *streak = streak.saturating_add(1);
                    window.count(1, now);
                    let in_a_row = self.rules.failures > 0 && *streak >= self.rules.failures;
                    let [well, failed] = window.sums(now);
                    let all = well + failed;
                    let rate = self.rules.rate.is_some_and(|rate| {
                        all >= u64::from(self.rules.minimum) && failed as f64 >= rate * all as f64
                    });
                    (in_a_row || rate).then(|| {
                        self.opened = self.opened.saturating_add(1);
                        self.open(now)
                    })
                }
            },
            State::HalfOpen { out, passed } => {
                *out = out.saturating_sub(1);
                match ended {
                    Ended::Unknown => None,
                    Ended::Failed => Some(self.open(now)),
                    Ended::Well => {
                        *passed += 1;
                        (*passed >= self.rules.probes.max(1)).then(|| self.reset())
                    }
                }
            }
            // No leave is given in this phase.
            State::Open { .. } => None,
        }
    }

    /// Open until somebody resets it.
    pub fn trip(&mut self, now: Instant) -> Phase {
        self.turn(State::Open { since: now, by_hand: true });
        Phase::Open
    }

    /// Closed, and nothing counted.
    pub fn reset(&mut self) -> Phase {
        self.turn(closed(self.rules));
        Phase::Closed
    }

    pub fn phase(&self) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Failures in a row, while it is closed.
    pub fn streak(&self) -> u32 {
        match self.state {
            State::Closed { streak, .. } => streak,
            _ => 0,
        }
    }

    pub fn opened(&self) -> u64 {
        self.opened
    }

    pub fn rules(&self) -> BreakerRules {
        self.rules
    }

    fn open(&mut self, now: Instant) -> Phase {
        self.turn(State::Open { since: now, by_hand: false });
        Phase::Open
    }

    fn turn(&mut self, state: State) {
        self.epoch += 1;
        self.state = state;
    }
}

fn closed(rules: BreakerRules) -> State {
    State::Closed { streak: 0, window: Window::new(rules.window) }
}
