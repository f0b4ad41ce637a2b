//! Pure: one result after another becomes a standing, with hysteresis so that one bad look flips nothing.
use crate::domain::ProbeState;

/// How many results in a row it takes to change one's mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub failures: u32,
    pub successes: u32,
}

/// The standing of one probe on one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judge {
    /// What the results so far amount to: Unknown, Passing or Failing.
    settled: ProbeState,
    blocked: bool,
    last_ok: bool,
    /// Results in a row that agree with the last one.
    pub streak: u32,
}

impl Default for Judge {
    fn default() -> Self {
        Self { settled: ProbeState::Unknown, blocked: false, last_ok: false, streak: 0 }
    }
}

impl Judge {
    pub fn state(&self) -> ProbeState {
        if self.blocked { ProbeState::Blocked } else { self.settled }
    }

    /// Takes in one result. While the target is `starting`, failures are what one expects and decide nothing; and
    /// whoever has never passed passes with its first success.
    pub fn take(&mut self, ok: bool, starting: bool, thresholds: Thresholds) {
        self.streak = if self.streak > 0 && ok == self.last_ok { self.streak.saturating_add(1) } else { 1 };
        self.last_ok = ok;
        let needed = match (ok, self.settled) {
            (true, ProbeState::Failing) => thresholds.successes.max(1),
            (true, _) => 1,
            (false, _) => thresholds.failures.max(1),
        };
        if self.streak >= needed {
            if ok {
                self.settled = ProbeState::Passing;
            } else if !starting {
                self.settled = ProbeState::Failing;
            }
        }
    }

    /// Would one more failure make it fail?
    pub fn is_on_the_edge(&self, thresholds: Thresholds) -> bool {
        let run = if self.last_ok { 0 } else { self.streak };
        self.settled != ProbeState::Failing && run + 1 >= thresholds.failures.max(1)
    }

    /// Failing looks in a row that have not decided anything yet.
    pub fn is_doubtful(&self) -> bool {
        self.streak > 0 && !self.last_ok && self.settled != ProbeState::Failing
    }

    /// While something below is down nothing is asked, and old results prove nothing: when it is back, one begins
    /// anew.
    pub fn block(&mut self, blocked: bool) {
        if self.blocked != blocked {
            *self = Self { blocked, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeState::{Failing, Passing, Unknown};
    use proptest::prelude::*;

    fn run(results: &str, starting: bool, failures: u32, successes: u32) -> Vec<ProbeState> {
        let mut judge = Judge::default();
        let step = |c| {
            judge.take(c == '+', starting, Thresholds { failures, successes });
            judge.state()
        };
        results.chars().map(step).collect()
    }

    #[test]
    fn tables() {
        let table: &[(&str, bool, u32, u32, &[ProbeState])] = &[
            ("+", false, 3, 1, &[Passing]),
            ("--", false, 3, 1, &[Unknown, Unknown]),
            ("---", false, 3, 1, &[Unknown, Unknown, Failing]),
            ("+--+--", false, 3, 1, &[Passing; 6]),
            ("+---", false, 3, 1, &[Passing, Passing, Passing, Failing]),
            ("-++", false, 1, 2, &[Failing, Failing, Passing]),
            ("-+-++", false, 1, 2, &[Failing, Failing, Failing, Failing, Passing]),
            // The first success counts whatever the threshold: a start is not a recovery.
            ("--+", false, 3, 5, &[Unknown, Unknown, Passing]),
            // Starting: it may refuse for as long as its start timeout lets it.
            ("------+", true, 1, 3, &[Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Passing]),
            // Thresholds of zero cannot be configured, and would still not pass without a look.
            ("-", false, 0, 0, &[Failing]),
        ];
        for (results, starting, failures, successes, want) in table {
            assert_eq!(&run(results, *starting, *failures, *successes), want, "{results}");
        }
    }

    #[test]
    fn blocked_hides_the_standing_and_voids_the_streak() {
        let thresholds = Thresholds { failures: 2, successes: 1 };
        let mut judge = Judge::default();
        judge.take(true, false, thresholds);
        judge.take(false, false, thresholds);
        assert!(judge.is_on_the_edge(thresholds) && judge.is_doubtful());
        judge.block(true);
        assert_eq!(judge.state(), ProbeState::Blocked);
        judge.block(false);
        judge.take(false, false, thresholds);
        assert_eq!(judge.state(), Unknown, "a result from before the block counted after it");
        judge.take(false, false, thresholds);
        assert_eq!(judge.state(), Failing);
    }

    proptest! {
        /// Whatever comes, a standing turns only on exactly enough results in a row.
        #[test]
        fn it_never_flips_before_the_threshold(
            results in prop::collection::vec(any::<bool>(), 1..200),
            failures in 1u32..6,
            successes in 1u32..6,
        ) {
            let thresholds = Thresholds { failures, successes };
            let mut judge = Judge::default();
            for (at, ok) in results.iter().enumerate() {
                let before = judge.state();
                judge.take(*ok, false, thresholds);
                let run = results[..=at].iter().rev().take_while(|r| *r == ok).count();
                let run = u32::try_from(run).expect("a short run");
                prop_assert_eq!(judge.streak, run);
                match (before, judge.state()) {
                    (Passing | Unknown, Failing) => prop_assert!(!ok && run == failures),
                    (Failing, Passing) => prop_assert!(*ok && run == successes),
                    (Unknown, Passing) => prop_assert!(*ok),
                    (old, new) => prop_assert_eq!(old, new),
                }
                // And it does not lag either.
                if !ok && run >= failures { prop_assert_eq!(judge.state(), Failing); }
                if *ok && run >= successes { prop_assert_eq!(judge.state(), Passing); }
            }
        }
    }
}
