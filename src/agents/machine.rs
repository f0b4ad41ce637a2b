//! Pure: the state machine of one instance. The actor feeds it what happened and does what it answers; every
//! change of state goes through `enter`, which knows the one table of legal transitions.
use super::restart::{Ledger, Outcome, Verdict};
use crate::{
    config::RestartSettings,
    domain::{AgentState, CrashClass},
};
use std::time::Duration;
use tokio::time::Instant;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Boot, or an operator's start: clears a latch and what is held against it.
    Wake,
    /// An operator's restart.
    Restart,
    /// An operator's stop, a scale down, the end of the daemon.
    Halt,
    /// Switched off in the manifest.
    Disable,
    /// What it waits for, or that it no longer waits: `None`.
    Unblocked,
    WaitingFor(String),
    /// It is ready, or ready again.
    Up,
    NotUp(String),
    /// Its liveness probe fails.
    Unwell(String),
    /// Not ready within its start timeout.
    Overdue(Duration),
    /// It was not spawned, because another process has its port. Says which.
    PortHeld(String),
    /// Nothing of it is alive any more. `ran` is how long it was; the reason is for people.
    Ended {
        outcome: Outcome,
        ran: Duration,
        reason: Option<String>,
    },
    /// The backoff is over.
    DelayOver,
}

/// What the actor must see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    None,
    /// Stop what is alive, then report `Ended`.
    Stop,
    /// Come back with `DelayOver` after this long.
    Sleep(Duration),
}

/// What follows a stop that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Stopped,
    Disabled,
    /// Start again at once.
    Again,
    /// It counts as this failure.
    Failure(CrashClass),
}

pub struct Machine {
    state: AgentState,
    reason: Option<String>,
    restarts: u32,
    was_ready: bool,
    /// Runs elsewhere: cannot be stopped or restarted, only watched.
    external: bool,
    after: Option<After>,
    ledger: Ledger,
}

/// May an instance go from one state to the other?
pub fn legal(from: AgentState, to: AgentState) -> bool {
    use AgentState as S;
    match from {
        S::Disabled | S::Stopped | S::Failed | S::CrashLooping => {
            matches!(to, S::Waiting | S::Stopped | S::Disabled)
        }
        S::Waiting => matches!(to, S::Starting | S::Stopped | S::Disabled),
        S::Starting => !matches!(to, S::Waiting | S::Starting),
        S::Ready | S::Degraded => !matches!(to, S::Waiting | S::Starting),
        S::Unhealthy => !matches!(to, S::Waiting | S::Starting | S::Unhealthy),
        S::BackingOff => matches!(to, S::Waiting | S::Stopped | S::Disabled),
        S::Stopping => !to.is_up(),
    }
}

impl Machine {
    pub fn new(external: bool) -> Self {
        Self {
            state: AgentState::Stopped,
            reason: None,
            restarts: 0,
            was_ready: false,
            external,
            after: None,
            ledger: Ledger::default(),
        }
    }

    pub fn state(&self) -> AgentState {
        self.state
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What the end that is under way counts as, whatever the exit status will be.
    pub fn condemned(&self) -> Option<CrashClass> {
        match self.after {
            Some(After::Failure(class)) => Some(class),
            _ => None,
        }
    }

    /// Restarts after a failure.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    pub fn step(&mut self, input: Input, rules: &RestartSettings, now: Instant, chance: f64) -> Action {
        use AgentState as S;
        match (self.state, input) {
            (S::Stopping, Input::Wake | Input::Restart) => self.then(After::Again),
            (S::Stopping, Input::Halt) => self.then(After::Stopped),
            (S::Stopping, Input::Disable) => self.then(After::Disabled),
            (S::Starting | S::Ready | S::Degraded | S::Unhealthy, Input::Halt) => {
                self.take_down(After::Stopped)
            }
            (S::Starting | S::Ready | S::Degraded | S::Unhealthy, Input::Disable) => {
                self.take_down(After::Disabled)
            }
            (S::Starting | S::Ready | S::Degraded | S::Unhealthy, Input::Restart) => {
                self.ledger.clear();
                self.take_down(After::Again)
            }
            (_, Input::Halt) => self.enter(S::Stopped, None),
            (_, Input::Disable) => self.enter(S::Disabled, None),
            (
                S::Disabled | S::Stopped | S::Failed | S::CrashLooping | S::BackingOff,
                Input::Wake | Input::Restart,
            ) => {
                self.ledger.clear();
                self.enter(S::Waiting, None)
            }
            (S::Waiting, Input::WaitingFor(what)) => {
                self.reason = Some(what);
                Action::None
            }
            (S::Waiting, Input::Unblocked) => {
                self.was_ready = false;
                self.enter(S::Starting, None)
            }
            (S::Starting | S::Degraded, Input::Up) => {
                self.was_ready = true;
                self.enter(S::Ready, None)
            }
            (S::Unhealthy, Input::Up) if self.external => self.enter(S::Ready, None),
            (S::Ready | S::Degraded, Input::NotUp(reason)) => self.enter(S::Degraded, Some(reason)),
            (S::Starting, Input::NotUp(reason)) => {
                self.reason = Some(reason); // what it lacks to be ready
                Action::None
            }
            (S::Unhealthy, Input::NotUp(reason)) if self.external => self.enter(S::Degraded, Some(reason)),
            (S::Starting, Input::Overdue(after)) => self.overdue(after),
            (S::Starting | S::Ready | S::Degraded, Input::Unwell(reason)) => self.unwell(reason),
            (S::Starting, Input::PortHeld(holder)) => {
                self.settle(rules, Outcome::PortHeld, Duration::ZERO, Some(holder), now, chance)
            }
            (
                S::Starting | S::Ready | S::Degraded | S::Unhealthy | S::Stopping,
                Input::Ended { outcome, ran, reason },
            ) => match self.after.take() {
                Some(After::Stopped) => self.enter(S::Stopped, None),
                Some(After::Disabled) => self.enter(S::Disabled, None),
                Some(After::Again) => {
                    self.enter(S::Stopped, None);
                    self.enter(S::Waiting, None)
                }
                Some(After::Failure(class)) => {
                    let reason = self.reason.take().or(reason);
                    self.settle(rules, Outcome::Failed(class), ran, reason, now, chance)
                }
                None => self.settle(rules, outcome, ran, reason, now, chance),
            },
            (S::BackingOff, Input::DelayOver) => self.enter(S::Waiting, None),
            _ => Action::None, // late or void news: a probe of a run that is over, a second start
        }
    }

    fn settle(
        &mut self,
        rules: &RestartSettings,
        outcome: Outcome,
        ran: Duration,
        reason: Option<String>,
        now: Instant,
        chance: f64,
    ) -> Action {
        match self.ledger.judge(rules, outcome, ran, self.was_ready, now, chance) {
            Verdict::Again(delay) => {
                if outcome != Outcome::PortHeld {
                    self.restarts = self.restarts.saturating_add(1);
                }
                self.enter(AgentState::BackingOff, reason);
                Action::Sleep(delay)
            }
            Verdict::Latched => {
                let rule = rules.latch;
                let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                self.enter(AgentState::CrashLooping, Some(format!("failed {rule}{why}")))
            }
            Verdict::Stopped => self.enter(AgentState::Stopped, Some("ended by itself".into())),
            Verdict::Failed => self.enter(AgentState::Failed, reason),
        }
    }

    fn overdue(&mut self, after: Duration) -> Action {
        let after = crate::domain::Period(after);
        let lack = self.reason.take().map(|reason| format!(": {reason}")).unwrap_or_default();
        let reason = Some(format!("not ready within {after}{lack}"));
        if self.external {
            return self.enter(AgentState::Degraded, reason);
        }
        self.take_down(After::Failure(CrashClass::StartTimeout));
        self.reason = reason;
        Action::Stop
    }

    fn unwell(&mut self, reason: String) -> Action {
        self.enter(AgentState::Unhealthy, Some(reason));
        if self.external {
            return Action::None;
        }
        self.after = Some(After::Failure(CrashClass::Unhealthy));
        Action::Stop
    }

    /// Something may be alive: it must be stopped first.
    fn take_down(&mut self, after: After) -> Action {
        self.after = Some(after);
        self.enter(AgentState::Stopping, None);
        Action::Stop
    }

    fn then(&mut self, after: After) -> Action {
        self.after = Some(after);
        Action::None
    }

    fn enter(&mut self, to: AgentState, reason: Option<String>) -> Action {
        debug_assert!(self.state == to || legal(self.state, to), "{:?} → {to:?}", self.state);
        self.state = to;
        self.reason = reason;
        Action::None
    }
}
