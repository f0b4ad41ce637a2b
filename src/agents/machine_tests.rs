//! The table of an instance's states, by cases and by whatever proptest thinks of.
use super::{
    machine::{Action, Input, Machine, legal},
    restart::Outcome,
};
use crate::{
    config::RestartSettings,
    domain::{AgentState as S, CrashClass},
};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

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
