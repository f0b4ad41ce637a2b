//! Pure: an instance went down; is it started again, when, or never? The latch and the backoff live here.
use super::crash;
use crate::{
    config::RestartSettings,
    domain::{CrashClass, RestartMode},
    resilience::Backoff,
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// How a run of an instance came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0, unasked.
    Clean,
    Failed(CrashClass),
    /// It was never spawned: another process holds its port.
    PortHeld,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Again(Duration),
    Latched,
    /// It ended well and its policy leaves it there.
    Stopped,
    /// It cannot succeed, or it failed and its policy leaves it there.
    Failed,
}

/// The record of one instance's failures. Bounded by the latch.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    ends: VecDeque<Instant>,
    attempt: u32,
    /// Since when, and how often in a row, somebody else holds the port.
    held: Option<(Instant, u32)>,
}

impl Ledger {
    /// `ran` is how long it was up, `was_ready` whether it had been ready: what was ready once with these
    /// settings can succeed, whatever its last words look like.
    pub fn judge(
        &mut self,
        settings: &RestartSettings,
        outcome: Outcome,
        ran: Duration,
        was_ready: bool,
        now: Instant,
        chance: f64,
    ) -> Verdict {
        let hopeless = |class| !crash::may_succeed(class) && !was_ready;
        match outcome {
            Outcome::PortHeld => return self.held(settings, now, chance),
            Outcome::Failed(class) if hopeless(class) => return Verdict::Failed,
            Outcome::Failed(_) if settings.policy == RestartMode::Never => return Verdict::Failed,
            Outcome::Clean if settings.policy != RestartMode::Always => return Verdict::Stopped,
            Outcome::Clean | Outcome::Failed(_) => self.held = None,
        }
        let within = settings.latch.within.0;
        if was_ready && ran >= within {
            self.clear(); // a stable run: what came before is another story
        }
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|end| now.saturating_duration_since(*end) > within) {
            self.ends.pop_front();
        }
        if self.ends.len() >= settings.latch.failures.max(1) as usize {
            return Verdict::Latched;
        }
        Verdict::Again(self.delay(settings, chance))
    }

    /// An operator's start: nothing is held against it any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A held port is nobody's crash: it may take its holder a while to go. It latches only when the port stayed
    /// held for the whole window.
    fn held(&mut self, settings: &RestartSettings, now: Instant, chance: f64) -> Verdict {
        let (since, times) = self.held.unwrap_or((now, 0));
        self.held = Some((since, times.saturating_add(1)));
        let latched = now.saturating_duration_since(since) >= settings.latch.within.0
            && times >= settings.latch.failures.max(1);
        if latched { Verdict::Latched } else { Verdict::Again(self.delay(settings, chance)) }
    }

    fn delay(&mut self, settings: &RestartSettings, chance: f64) -> Duration {
        let backoff = Backoff::doubling(settings.backoff.first.0, settings.backoff.longest.0);
        let delay = backoff.delay(self.attempt, chance);
        self.attempt = self.attempt.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(policy: RestartMode) -> RestartSettings {
        RestartSettings { policy, ..RestartSettings::default() }
    }

    fn once(policy: RestartMode, outcome: Outcome, was_ready: bool) -> Verdict {
        Ledger::default().judge(&settings(policy), outcome, Duration::ZERO, was_ready, Instant::now(), 0.0)
    }

    #[test]
    fn policy_by_outcome() {
        use CrashClass as C;
        use RestartMode::{Always, Never, OnFailure};
        let again = Verdict::Again(Duration::from_millis(500));
        let table = [
            (Always, Outcome::Clean, again),
            (OnFailure, Outcome::Clean, Verdict::Stopped),
            (Never, Outcome::Clean, Verdict::Stopped),
            (Always, Outcome::Failed(C::Unknown), again),
            (OnFailure, Outcome::Failed(C::Database), again),
            (OnFailure, Outcome::Failed(C::StartTimeout), again),
            (Never, Outcome::Failed(C::Unknown), Verdict::Failed),
            (Always, Outcome::Failed(C::Import), Verdict::Failed),
            (Always, Outcome::Failed(C::Configuration), Verdict::Failed),
            (OnFailure, Outcome::Failed(C::NotExecutable), Verdict::Failed),
            (Never, Outcome::PortHeld, again),
        ];
        for (policy, outcome, want) in table {
            assert_eq!(once(policy, outcome, false), want, "{policy:?} {outcome:?}");
        }
        // Had it been ready, "module not found" among its last words is no proof that it cannot start.
        assert_eq!(once(OnFailure, Outcome::Failed(C::Import), true), again);
    }

    #[test]
    fn the_fifth_failure_in_two_minutes_latches_and_a_stable_run_forgives() {
        let settings = settings(RestartMode::OnFailure);
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let crash = Outcome::Failed(CrashClass::Unknown);
        for n in 0..4u64 {
            let verdict =
                ledger.judge(&settings, crash, Duration::ZERO, true, start + Duration::from_secs(n), 0.0);
            assert_eq!(verdict, Verdict::Again(Duration::from_millis(500 << n)));
        }
        let mut forgiven = ledger.clone();
        let fifth = start + Duration::from_secs(5);
        assert_eq!(ledger.judge(&settings, crash, Duration::ZERO, true, fifth, 0.0), Verdict::Latched);
        let long = Duration::from_secs(120);
        assert_eq!(
            forgiven.judge(&settings, crash, long, true, fifth, 0.0),
            Verdict::Again(Duration::from_millis(500))
        );
    }

    #[test]
    fn a_held_port_latches_only_after_the_whole_window() {
        let settings = settings(RestartMode::OnFailure);
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let mut latched_at = None;
        for second in (0..300).step_by(10) {
            let now = start + Duration::from_secs(second);
            match ledger.judge(&settings, Outcome::PortHeld, Duration::ZERO, false, now, 0.0) {
                Verdict::Latched => {
                    latched_at = Some(second);
                    break;
                }
                Verdict::Again(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(latched_at, Some(120));
    }

    proptest! {
        /// Whatever happens, restarts within any window stay under the latch and delays within their bounds.
        #[test]
        fn restarts_are_bounded(steps in prop::collection::vec((0u64..40_000, 0u64..200_000, any::<bool>()), 1..200),
                                chance in 0.0f64..1.0, failures in 1u32..8) {
            let mut settings = settings(RestartMode::Always);
            settings.latch.failures = failures;
            let within = settings.latch.within.0;
            let (mut ledger, mut now) = (Ledger::default(), Instant::now());
            let mut restarts: Vec<Instant> = Vec::new();
            for (gap, ran, ready) in steps {
                // Time passes while it runs; a run cannot be longer than the time since the last end.
                now += Duration::from_millis(gap + ran);
                let outcome = Outcome::Failed(CrashClass::Unknown);
                match ledger.judge(&settings, outcome, Duration::from_millis(ran), ready, now, chance) {
                    Verdict::Again(delay) => {
                        prop_assert!(delay <= settings.backoff.longest.0);
                        prop_assert!(delay >= settings.backoff.first.0.mul_f64(0.9));
                        restarts.push(now);
                        let recent = restarts.iter().filter(|at| now - **at < within).count();
                        prop_assert!(recent < failures as usize, "{recent} restarts within the window");
                        prop_assert!(ledger.ends.len() < failures as usize);
                    }
                    Verdict::Latched => break,
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
