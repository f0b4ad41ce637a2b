//! What has failed and is not written yet, by fingerprint: the count is exact, and memory is bounded whatever comes.
use crate::domain::{
    Alike, FaultCategory, FaultKind, FaultSeverity, Fingerprint, Occurrence, Tally, hour_of,
};
use std::collections::{HashMap, VecDeque};

/// Different fingerprints at a time; what is beyond them is counted together.
const MOST_TALLIES: usize = 512;
/// Samples of all of them together: at some 2 KiB each, 4 MiB.
const MOST_SAMPLES: usize = 2_048;

#[derive(Default)]
pub struct Pending {
    tallies: HashMap<Fingerprint, Tally>,
    samples: usize,
}

impl Pending {
    /// Keeps the newest `samples` of each.
    pub fn add(&mut self, alike: Alike, hint: Option<String>, sample: Occurrence, samples: usize) {
        let at = sample.at;
        let tally = Tally {
            alike,
            hint,
            first_at: at,
            last_at: at,
            count: 1,
            hours: [(hour_of(at), 1)].into(),
            samples: VecDeque::from([sample]),
        };
        self.merge(tally, samples);
    }

    /// Also puts back what could not be written: nothing of its count is lost.
    pub fn merge(&mut self, mut new: Tally, samples: usize) {
        if !self.tallies.contains_key(&new.alike.fingerprint) && self.tallies.len() >= MOST_TALLIES {
            new.alike = other();
        }
        let room = MOST_SAMPLES.saturating_sub(self.samples);
        match self.tallies.get_mut(&new.alike.fingerprint) {
            None => {
                new.samples.truncate(room.min(samples));
                self.samples += new.samples.len();
                self.tallies.insert(new.alike.fingerprint.clone(), new);
            }
            Some(known) => {
                let before = known.samples.len();
                // What is put back is older than what has come since.
                let (older, newer) = if new.last_at < known.last_at {
                    (new.samples, std::mem::take(&mut known.samples))
                } else {
                    (std::mem::take(&mut known.samples), new.samples)
                };
                known.samples = older;
                known.samples.extend(newer);
                let keep = samples.min(before + room).max(1);
                let surplus = known.samples.len().saturating_sub(keep);
                known.samples.drain(..surplus);
                self.samples = self.samples - before + known.samples.len();
                if new.last_at >= known.last_at {
                    known.hint = new.hint;
                }
                known.count += new.count;
                known.first_at = known.first_at.min(new.first_at);
                known.last_at = known.last_at.max(new.last_at);
                for (hour, count) in new.hours {
                    *known.hours.entry(hour).or_default() += count;
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    /// Everything, in the order in which it was last seen.
    pub fn take(&mut self) -> Vec<Tally> {
        self.samples = 0;
        let mut tallies: Vec<Tally> = self.tallies.drain().map(|(_, tally)| tally).collect();
        tallies.sort_by_key(|tally| tally.last_at);
        tallies
    }
}

/// The store knows it by its fingerprint and gives it its sentence.
fn other() -> Alike {
    Alike {
        fingerprint: Fingerprint::other(),
        category: FaultCategory::Resource,
        severity: FaultSeverity::Medium,
        kind: FaultKind::Busy,
        operation: "errors".into(),
        agent: None,
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn alike(n: usize) -> Alike {
        let operation = format!("op{n}");
        let (category, kind) = (FaultCategory::Api, FaultKind::Internal);
        let fingerprint = Fingerprint::of(category, kind, &operation, None, "cannot");
        Alike { fingerprint, category, kind, operation, ..other() }
    }

    fn sample(text: &str) -> Occurrence {
        Occurrence {
            at: Timestamp::now(),
            instance: None,
            client: None,
            correlation: None,
            message: text.into(),
            causes: Vec::new(),
            context: String::new(),
        }
    }

    #[test]
    fn memory_is_bounded_and_the_count_is_exact() {
        let mut pending = Pending::default();
        for n in 0..20_000 {
            pending.add(alike(n % 2_000), None, sample(&n.to_string()), 20);
        }
        assert!(pending.tallies.len() <= MOST_TALLIES + 1 && pending.samples <= MOST_SAMPLES + MOST_TALLIES);
        let held: usize = pending.tallies.values().map(|tally| tally.samples.len()).sum();
        assert_eq!(held, pending.samples);
        let taken = pending.take();
        assert_eq!(taken.iter().map(|tally| tally.count).sum::<u64>(), 20_000);
        assert_eq!(taken.iter().flat_map(|tally| tally.hours.values()).sum::<u64>(), 20_000);
        let of_others = taken.iter().find(|tally| tally.alike.fingerprint == Fingerprint::other());
        assert_eq!(of_others.map(|tally| tally.count), Some(20_000 - 512 * 10));
        assert!(pending.is_empty());
    }

    #[test]
    fn what_is_put_back_stands_before_what_came_since() {
        let mut pending = Pending::default();
        (0..3).for_each(|n| pending.add(alike(0), None, sample(&format!("old {n}")), 4));
        let back = pending.take();
        (0..3).for_each(|n| pending.add(alike(0), None, sample(&format!("new {n}")), 4));
        for tally in back {
            pending.merge(tally, 4);
        }
        let tally = pending.take().remove(0);
        let said: Vec<_> = tally.samples.iter().map(|sample| sample.message.as_str()).collect();
        assert_eq!((tally.count, said), (6, vec!["old 2", "new 0", "new 1", "new 2"]));
    }
}
