//! What was seen of the candidate and of what is stable: the newest looks of each, and no more than are kept of either.
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Looks and readings that are kept of each side: about a quarter of an hour at a look a second.
const MOST: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub ok: bool,
    pub took_ms: f64,
}

/// Of one side.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From its start until it was ready; none where nobody saw that.
    pub ready_s: Option<f64>,
    /// By probe, oldest first.
    pub looks: BTreeMap<String, VecDeque<Look>>,
    pub crashes: u32,
    pub errors: u32,
    /// Bytes, oldest first.
    pub memory: VecDeque<(Timestamp, f64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Sides {
    pub stable: Seen,
    pub candidate: Seen,
}

impl Sides {
    /// One look at each, of one round: neither is ever ahead of the other.
    pub fn looked(&mut self, probe: &str, stable: Look, candidate: Look) {
        for (side, look) in [(&mut self.stable, stable), (&mut self.candidate, candidate)] {
            push(side.looks.entry(probe.to_owned()).or_default(), look);
        }
    }

    pub fn weighed(&mut self, at: Timestamp, stable: f64, candidate: f64) {
        push(&mut self.stable.memory, (at, stable));
        push(&mut self.candidate.memory, (at, candidate));
    }
}

fn push<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() >= MOST {
        kept.pop_front();
    }
    kept.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_the_same_moments_and_not_more_than_fit() {
        let mut sides = Sides::default();
        let look = |took_ms| Look { ok: true, took_ms };
        for round in 0..MOST + 7 {
            sides.looked("up", look(round as f64), look(round as f64));
        }
        let (stable, candidate) = (&sides.stable.looks["up"], &sides.candidate.looks["up"]);
        assert_eq!((stable.len(), stable.front()), (MOST, Some(&look(7.0))));
        assert_eq!(stable, candidate);
    }
}
