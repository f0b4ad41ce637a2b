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

#[cfg(test)]
mod tests {
    use super::*;
    use AgentState as S;
    use proptest::prelude::*;

    struct Bench {
        machine: Machine,
        rules: RestartSettings,
        now: Instant,
    }

    impl Bench {
        fn new(external: bool) -> Self {
            Self { machine: Machine::new(external), rules: RestartSettings::default(), now: Instant::now() }
        }
        fn feed(&mut self, input: Input) -> (S, Action) {
            let action = self.machine.step(input, &self.rules, self.now, 0.0);
            (self.machine.state(), action)
        }
        fn up(external: bool) -> Self {
            let mut bench = Self::new(external);
            for input in [Input::Wake, Input::Unblocked, Input::Up] {
                bench.feed(input);
            }
            bench
        }
        fn reason(&self) -> &str {
            self.machine.reason().unwrap_or_default()
        }
    }

    fn ended(outcome: Outcome) -> Input {
        Input::Ended { outcome, ran: Duration::from_secs(1), reason: Some("exit code 1".into()) }
    }

    fn crash() -> Input {
        ended(Outcome::Failed(CrashClass::Unknown))
    }

    #[test]
    fn the_plain_life() {
        let mut bench = Bench::new(false);
        assert_eq!(bench.feed(Input::Wake).0, S::Waiting);
        assert_eq!(bench.feed(Input::Up).0, S::Waiting, "nothing runs that could be ready");
        assert_eq!(bench.feed(Input::Unblocked).0, S::Starting);
        assert_eq!(bench.feed(Input::Up).0, S::Ready);
        assert_eq!(bench.feed(Input::NotUp("503".into())).0, S::Degraded);
        assert_eq!(bench.feed(Input::Up).0, S::Ready);
        assert_eq!(bench.feed(crash()), (S::BackingOff, Action::Sleep(Duration::from_millis(500))));
        assert_eq!(bench.reason(), "exit code 1");
        assert_eq!(bench.feed(Input::DelayOver).0, S::Waiting);
        assert_eq!(bench.feed(Input::Halt), (S::Stopped, Action::None));
    }

    #[test]
    fn a_start_during_a_stop_wins_and_so_does_a_later_stop() {
        let mut bench = Bench::up(false);
        assert_eq!(bench.feed(Input::Halt), (S::Stopping, Action::Stop));
        bench.feed(Input::Wake);
        assert_eq!(bench.feed(ended(Outcome::Clean)).0, S::Waiting);
        let mut bench = Bench::up(false);
        for input in [Input::Halt, Input::Wake, Input::Halt] {
            bench.feed(input);
        }
        assert_eq!(bench.feed(crash()).0, S::Stopped, "what was asked for is no failure");
        assert_eq!(bench.machine.restarts(), 0);
    }

    #[test]
    fn late_and_sick_instances_are_stopped_and_counted() {
        let mut bench = Bench::new(false);
        bench.feed(Input::Wake);
        bench.feed(Input::Unblocked);
        bench.feed(Input::NotUp("connection refused".into()));
        assert_eq!(bench.feed(Input::Overdue(Duration::from_secs(60))), (S::Stopping, Action::Stop));
        assert_eq!(bench.feed(ended(Outcome::Clean)).0, S::BackingOff);
        assert_eq!(bench.reason(), "not ready within 1m: connection refused");
        let mut bench = Bench::up(false);
        assert_eq!(bench.feed(Input::Unwell("deadlocked".into())), (S::Unhealthy, Action::Stop));
        assert_eq!(bench.feed(Input::Up).0, S::Unhealthy, "its end is decided");
        assert_eq!(bench.feed(ended(Outcome::Clean)).0, S::BackingOff);
        assert_eq!(bench.machine.restarts(), 1);
    }

    #[test]
    fn what_runs_elsewhere_is_never_stopped_for_being_ill() {
        let mut bench = Bench::up(true);
        assert_eq!(bench.feed(Input::Unwell("500".into())), (S::Unhealthy, Action::None));
        assert_eq!(bench.feed(Input::Up).0, S::Ready);
        let mut bench = Bench::new(true);
        bench.feed(Input::Wake);
        bench.feed(Input::Unblocked);
        assert_eq!(bench.feed(Input::Overdue(Duration::from_secs(60))), (S::Degraded, Action::None));
    }

    #[test]
    fn only_an_operator_lifts_the_latch() {
        let mut bench = Bench::up(false);
        for _ in 0..4 {
            assert_eq!(bench.feed(crash()).0, S::BackingOff);
            bench.feed(Input::DelayOver);
            bench.feed(Input::Unblocked);
        }
        assert_eq!(bench.feed(crash()).0, S::CrashLooping);
        assert!(bench.reason().contains("5 in 2m") && bench.reason().contains("exit code 1"));
        for input in [Input::DelayOver, Input::Up, Input::Unblocked, crash()] {
            assert_eq!(bench.feed(input).0, S::CrashLooping);
        }
        assert_eq!(bench.feed(Input::Wake).0, S::Waiting);
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_twice() {
        let mut bench = Bench::new(false);
        bench.feed(Input::Wake);
        bench.feed(Input::Unblocked);
        assert_eq!(bench.feed(ended(Outcome::Failed(CrashClass::Import))), (S::Failed, Action::None));
        assert_eq!(bench.feed(Input::DelayOver).0, S::Failed);
    }

    fn inputs() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Wake),
            Just(Input::Restart),
            Just(Input::Halt),
            Just(Input::Disable),
            Just(Input::Unblocked),
            Just(Input::WaitingFor("x".into())),
            Just(Input::Up),
            Just(Input::NotUp("x".into())),
            Just(Input::Unwell("x".into())),
            Just(Input::Overdue(Duration::from_secs(1))),
            Just(Input::PortHeld("x".into())),
            Just(Input::DelayOver),
            Just(ended(Outcome::Clean)),
            Just(crash()),
            Just(ended(Outcome::Failed(CrashClass::Configuration))),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_transitions_are_legal(steps in prop::collection::vec((inputs(), 0u64..100_000), 0..300), external: bool) {
            let mut bench = Bench::new(external);
            for (input, gap) in steps {
                bench.now += Duration::from_millis(gap);
                let before = bench.machine.state();
                let asked = matches!(input, Input::Wake | Input::Restart);
                let (after, action) = bench.feed(input.clone());
                // A stop and an immediate start pass through Stopped in one step.
                prop_assert!(
                    before == after || legal(before, after) || (before.is_up() && after == S::Waiting),
                    "{before:?} → {after:?} on {input:?}"
                );
                // Only an operator leaves a latch or a failure for a new start.
                if matches!(before, S::CrashLooping | S::Failed | S::Stopped) && after == S::Waiting {
                    prop_assert!(asked);
                }
                match action {
                    Action::Sleep(delay) => {
                        prop_assert_eq!(after, S::BackingOff);
                        prop_assert!(delay <= bench.rules.backoff.longest.0);
                    }
                    Action::Stop => prop_assert!(matches!(after, S::Stopping | S::Unhealthy)),
                    Action::None => {}
                }
                // Backing off always has an end to wait for.
                if after == S::BackingOff && before != S::BackingOff {
                    prop_assert!(matches!(action, Action::Sleep(_)));
                }
            }
        }
    }
}
