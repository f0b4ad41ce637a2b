//! Patience with sources that show keys which prove nothing: some are free, then each doubles the wait, up to a cap;
//! each is forgotten in time. Knows nothing of what a source is, and keeps a bounded number of them.
use crate::config::FailureSettings;
use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

/// Half a megabyte or so. Beyond it, those are forgotten first that would wait no longer.
const MOST: usize = 8_192;

pub struct Patience<S> {
    sources: HashMap<S, Failing>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    failures: u32,
    /// It waits until then; from then on it is forgiven.
    until: Instant,
    /// It was turned away in this wait.
    told: bool,
}

impl<S> Default for Patience<S> {
    fn default() -> Self {
        Self { sources: HashMap::new() }
    }
}

impl<S: Hash + Eq + Clone> Patience<S> {
    /// How long this source must wait before it may try again, and whether it is told so for the first time in this
    /// wait; none if it may try now.
    pub fn wait(&mut self, source: &S, now: Instant) -> Option<(Duration, bool)> {
        let failing = self.sources.get_mut(source)?;
        let wait = failing.until.checked_duration_since(now).filter(|wait| !wait.is_zero())?;
        Some((wait, !std::mem::replace(&mut failing.told, true)))
    }

    /// It failed. What began before its wait did and fails within it is not counted again: callers at once are one
    /// mistake, not many.
    pub fn failed(&mut self, source: S, now: Instant, rules: &FailureSettings) {
        if self.sources.len() >= MOST && !self.sources.contains_key(&source) {
            self.make_room(now, rules);
        }
        let failing = self.sources.entry(source).or_insert(Failing { failures: 0, until: now, told: false });
        if failing.until > now {
            return;
        }
        failing.failures = failing.left(now, rules).saturating_add(1);
        (failing.until, failing.told) = (now + failing.penalty(rules), false);
    }

    /// Says whether there was anything to forgive.
    pub fn forgive(&mut self, source: &S) -> bool {
        self.sources.remove(source).is_some()
    }

    /// What stands against each: wrong keys not yet forgiven, and how long it still waits.
    pub fn standing(&self, now: Instant, rules: &FailureSettings) -> Vec<(S, u32, Duration)> {
        let all = self.sources.iter().map(|(source, failing)| {
            let wait = failing.until.saturating_duration_since(now);
            (source.clone(), failing.left(now, rules), wait)
        });
        all.filter(|(_, failures, _)| *failures > 0).collect()
    }

    /// Half of them go: the forgiven, and those whose wait ended or ends first.
    fn make_room(&mut self, now: Instant, rules: &FailureSettings) {
        self.sources.retain(|_, failing| failing.left(now, rules) > 0);
        if self.sources.len() < MOST / 2 {
            return;
        }
        let mut ends: Vec<Instant> = self.sources.values().map(|failing| failing.until).collect();
        let middle = ends.len() / 2;
        let (_, border, _) = ends.select_nth_unstable(middle);
        let border = *border;
        self.sources.retain(|_, failing| failing.until > border);
    }
}

impl Failing {
    /// What is not yet forgiven.
    fn left(&self, now: Instant, rules: &FailureSettings) -> u32 {
        let peace = now.saturating_duration_since(self.until).as_nanos();
        let forgiven = peace / rules.forgiven_after.0.as_nanos().max(1);
        self.failures.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    fn penalty(&self, rules: &FailureSettings) -> Duration {
        match self.failures.checked_sub(rules.tolerated.saturating_add(1)) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
                rules.first_wait.0.saturating_mul(factor).min(rules.longest_wait.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Period;
    use std::net::{IpAddr, Ipv6Addr};

    fn rules() -> FailureSettings {
        FailureSettings {
            tolerated: 3,
            first_wait: Period::secs(1),
            longest_wait: Period::secs(60),
            forgiven_after: Period::secs(600),
        }
    }

    fn waits<S: Hash + Eq + Clone>(patience: &mut Patience<S>, source: S, now: Instant) -> Option<u64> {
        patience.wait(&source, now).map(|(wait, _)| wait.as_secs())
    }

    #[test]
    fn who_waits_is_told_so_for_the_first_time_once_a_wait() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let hour = Duration::from_secs(3600);
        let strict =
            FailureSettings { tolerated: 0, first_wait: Period(hour), longest_wait: Period(hour), ..rules() };
        patience.failed(1, start, &strict);
        assert_eq!(patience.wait(&1, start), Some((hour, true)));
        assert_eq!(patience.wait(&1, start), Some((hour, false)));
        patience.failed(1, start + hour, &strict);
        assert_eq!(patience.wait(&1, start + hour), Some((hour, true)));
    }

    #[test]
    fn some_are_free_then_waits_double_up_to_the_cap() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        for _ in 0..3 {
            patience.failed("ana", start, &rules());
            assert_eq!(patience.wait(&"ana", start), None);
        }
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            patience.failed("ana", now, &rules());
            assert_eq!(waits(&mut patience, "ana", now), Some(seconds));
            assert_eq!(patience.wait(&"bo", now), None, "another source waits too");
            // Others that were under way make it no longer.
            patience.failed("ana", now, &rules());
            now += Duration::from_secs(seconds);
            assert_eq!(patience.wait(&"ana", now), None);
        }
    }

    #[test]
    fn each_is_forgotten_in_time_and_all_by_word() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..4 {
            patience.failed("ana", start, &rules());
        }
        let standing = |patience: &Patience<&'static str>, now| {
            patience.standing(now, &rules()).first().map(|(_, failures, wait)| (*failures, wait.as_secs()))
        };
        assert_eq!(standing(&patience, start), Some((4, 1)));
        assert_eq!(standing(&patience, after(600)), Some((4, 0)));
        assert_eq!(standing(&patience, after(601)), Some((3, 0)));
        // The next is the fourth again, and not the fifth.
        patience.failed("ana", after(601), &rules());
        assert_eq!(waits(&mut patience, "ana", after(601)), Some(1));
        assert!(patience.forgive(&"ana") && !patience.forgive(&"ana"));
        assert_eq!(patience.wait(&"ana", after(601)), None);
        patience.failed("bo", start, &rules());
        assert_eq!(standing(&patience, after(700)), None, "what is forgiven still stands");
    }

    #[test]
    fn a_hundred_thousand_sources_take_no_more_room_and_do_not_free_who_waits() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let address = |n: u128| IpAddr::V6(Ipv6Addr::from_bits(n));
        let tried = rules().tolerated + 9;
        let mut now = start;
        for _ in 0..tried {
            patience.failed(address(0), now, &rules());
            now += Duration::from_secs(waits(&mut patience, address(0), now).unwrap_or(0));
        }
        patience.failed(address(0), now, &rules());
        assert!(patience.wait(&address(0), now).is_some());
        for n in 1..100_000 {
            patience.failed(address(n), now, &rules());
            assert!(patience.sources.len() <= MOST);
        }
        assert!(patience.wait(&address(0), now).is_some(), "a crowd of others set it free");
        assert_eq!(patience.wait(&address(99_999), now), None, "one that failed once waits");
    }

    #[test]
    fn rules_at_the_edge_neither_panic_nor_open_up() {
        let mut patience = Patience::default();
        let now = Instant::now();
        let edge = FailureSettings {
            tolerated: u32::MAX,
            first_wait: Period(Duration::MAX),
            longest_wait: Period(Duration::from_secs(1 << 32)),
            forgiven_after: Period(Duration::ZERO),
        };
        patience.failed(1, now, &edge);
        assert_eq!(patience.wait(&1, now), None);
        patience.failed(2, now, &FailureSettings { tolerated: 0, ..edge });
        assert_eq!(waits(&mut patience, 2, now), Some(1 << 32));
    }
}
