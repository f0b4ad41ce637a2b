//! Which series there are, and how counters stood when something was last kept: what a rise is told from.
use super::sights::{Seen, Sight};
use crate::domain::{Distribution, Measure, MetricSeries, rounded};
use std::collections::HashMap;

/// Beyond it nobody knows when a counter rose: a gap.
const LONGEST_S: i64 = 60;
/// When a refused series is asked for again, and one that is not seen any more is forgotten.
const AGAIN_S: i64 = 3600;

/// Series that `unnamed` gives at a time.
pub const NAMED_AT_ONCE: usize = 200;

type Key = (&'static str, String);

#[derive(Default)]
pub struct Book {
    entries: HashMap<Key, Entry>,
}

struct Entry {
    /// None while it is refused.
    series: Option<u32>,
    named_at: i64,
    seen_at: i64,
    before: Option<Standing>,
    /// As it stands now: what is before, once this look is kept.
    now: Option<Standing>,
    /// Of a histogram: what was taken and could not be kept yet.
    unkept: Distribution,
}

#[derive(Clone, Copy)]
struct Standing {
    at: i64,
    value: f64,
    life: Option<u64>,
}

impl Book {
    /// Some of what has no number yet, or was refused one long ago.
    pub fn unnamed(&self, sights: &[Sight], now: i64) -> Vec<MetricSeries> {
        let is_unnamed = |sight: &&Sight| {
            self.entries
                .get(&key(sight))
                .is_none_or(|entry| entry.series.is_none() && !(0..AGAIN_S).contains(&(now - entry.named_at)))
        };
        let series = |sight: &Sight| MetricSeries {
            name: sight.metric.name.to_owned(),
            labels: sight.labels.parse().unwrap_or_default(),
            kind: sight.metric.kind,
            unit: sight.metric.unit,
        };
        sights.iter().filter(is_unnamed).take(NAMED_AT_ONCE).map(series).collect()
    }

    /// What the store said to them.
    pub fn name(&mut self, sights: &[Sight], named: &[MetricSeries], numbers: &[Option<u32>], now: i64) {
        let numbers: HashMap<(&str, String), Option<u32>> = named
            .iter()
            .zip(numbers)
            .map(|(series, number)| ((series.name.as_str(), series.labels.to_string()), *number))
            .collect();
        for sight in sights {
            let key = key(sight);
            if let Some(number) = numbers.get(&(key.0, key.1.clone())) {
                let entry = Entry {
                    series: *number,
                    named_at: now,
                    seen_at: now,
                    before: None,
                    now: None,
                    unkept: Distribution::default(),
                };
                self.entries.insert(key, entry);
            }
        }
    }

    /// Series of this look that are not kept.
    pub fn refused(&self, sights: &[Sight]) -> usize {
        let is_refused =
            |sight: &&Sight| self.entries.get(&key(sight)).is_none_or(|entry| entry.series.is_none());
        sights.iter().filter(is_refused).count()
    }

    /// What there is to keep of a look at this second.
    pub fn measures(&mut self, sights: Vec<Sight>, now: i64) -> Vec<(u32, Measure)> {
        let mut measures = Vec::with_capacity(sights.len());
        for sight in sights {
            let Some(entry) = self.entries.get_mut(&key(&sight)) else { continue };
            entry.seen_at = now;
            let Some(series) = entry.series else { continue };
            let measure = match sight.seen {
                Seen::Level(value) => Some(Measure::Gauge(value)).filter(|_| value.is_finite()),
                Seen::Total { value, life } => {
                    let standing = Standing { at: now, value, life };
                    entry.now = Some(standing);
                    entry.before.and_then(|before| risen(before, standing))
                }
                Seen::Spread(fresh) => {
                    entry.unkept.add(&fresh);
                    Some(Measure::Histogram(entry.unkept.clone()))
                }
            };
            measures.extend(measure.map(|measure| (series, measure)));
        }
        measures
    }

    /// The look is on the disk.
    pub fn kept(&mut self, now: i64) {
        for entry in self.entries.values_mut() {
            entry.unkept = Distribution::default();
            entry.before = entry.now.take().or(entry.before);
        }
        self.entries.retain(|_, entry| (now - entry.seen_at).abs() < AGAIN_S);
    }
}

/// By how much it rose. One that fell, or is of another life, began again at 0.
fn risen(before: Standing, now: Standing) -> Option<Measure> {
    let seconds = now.at - before.at;
    if !(1..=LONGEST_S).contains(&seconds) || !now.value.is_finite() {
        return None;
    }
    let began_again = match now.life {
        Some(_) => now.life != before.life,
        None => now.value < before.value,
    };
    let by = if began_again { now.value } else { (now.value - before.value).max(0.0) };
    Some(Measure::Counter { by: rounded(by), seconds: seconds as f64 })
}

fn key(sight: &Sight) -> Key {
    (sight.metric.name, sight.labels.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Labels,
        metrics::catalogue::{DAEMON_MEMORY, ERRORS, STORE_QUERY},
    };
    use proptest::prelude::*;

    fn total(value: f64, life: Option<u64>) -> Sight {
        Sight::total(ERRORS, Labels::default(), value, life)
    }

    fn look(book: &mut Book, sight: Sight, now: i64, kept: bool) -> Option<Measure> {
        let sights = vec![sight];
        let unnamed = book.unnamed(&sights, now);
        let numbers = vec![Some(7); unnamed.len()];
        book.name(&sights, &unnamed, &numbers, now);
        let measure = book.measures(sights, now).pop().map(|(_, measure)| measure);
        if kept {
            book.kept(now);
        }
        measure
    }

    const fn by(amount: f64, seconds: f64) -> Measure {
        Measure::Counter { by: amount, seconds }
    }

    #[test]
    fn a_counter_is_told_from_the_look_before_and_from_nothing_nothing_is_told() {
        let mut book = Book::default();
        assert_eq!(look(&mut book, total(100.0, None), 1000, true), None, "since when is unknown");
        assert_eq!(look(&mut book, total(103.0, None), 1010, true), Some(by(3.0, 10.0)));
        assert_eq!(look(&mut book, total(1.0, None), 1020, true), Some(by(1.0, 10.0)), "it began again");
        assert_eq!(look(&mut book, total(5.0, None), 1030, false), Some(by(4.0, 10.0)));
        assert_eq!(
            look(&mut book, total(6.0, None), 1040, true),
            Some(by(5.0, 20.0)),
            "what was not kept is not lost"
        );
        assert_eq!(look(&mut book, total(9.0, None), 1000, true), None, "the clock went back");
        assert_eq!(look(&mut book, total(10.0, None), 1010, true), Some(by(1.0, 10.0)));
        assert_eq!(look(&mut book, total(99.0, None), 2000, true), None, "nobody knows when");
    }

    #[test]
    fn one_that_falls_within_its_life_did_not_begin_again() {
        let mut book = Book::default();
        look(&mut book, total(50.0, Some(1)), 1000, true);
        assert_eq!(look(&mut book, total(40.0, Some(1)), 1010, true), Some(by(0.0, 10.0)));
        assert_eq!(look(&mut book, total(45.0, Some(2)), 1020, true), Some(by(45.0, 10.0)));
    }

    #[test]
    fn what_could_not_be_kept_of_a_histogram_comes_with_the_next() {
        let mut book = Book::default();
        let spread = |value| Sight::spread(STORE_QUERY, Labels::default(), Distribution::new([(value, 2)]));
        look(&mut book, spread(5), 1000, false);
        let both = Measure::Histogram(Distribution::new([(5, 2), (9, 2)]));
        assert_eq!(look(&mut book, spread(9), 1010, true), Some(both));
        let one = Measure::Histogram(Distribution::new([(1, 2)]));
        assert_eq!(look(&mut book, spread(1), 1020, true), Some(one));
    }

    #[test]
    fn a_refused_one_is_counted_and_asked_for_again_later() {
        let mut book = Book::default();
        let sights = [Sight::level(DAEMON_MEMORY, Labels::default(), 1.0)];
        let unnamed = book.unnamed(&sights, 1000);
        book.name(&sights, &unnamed, &[None], 1000);
        assert_eq!((book.refused(&sights), book.measures(sights.to_vec(), 1000).len()), (1, 0));
        assert!(book.unnamed(&sights, 1010).is_empty());
        assert_eq!(book.unnamed(&sights, 1000 + AGAIN_S).len(), 1);
    }

    proptest! {
        /// Whatever a counter does, what is told of it is never negative and never more than all that it rose.
        #[test]
        fn rises_add_up_to_what_rose(steps in proptest::collection::vec((0_u32..50, any::<bool>()), 1..60)) {
            let mut book = Book::default();
            let (mut value, mut rose, mut told, mut at) = (0.0, 0.0, 0.0, 1000);
            look(&mut book, total(value, Some(0)), at, true);
            for (life, (step, again)) in (1_u64..).zip(&steps) {
                let life = if *again { value = 0.0; Some(life) } else { None };
                value += f64::from(*step);
                rose += f64::from(*step);
                at += 10;
                // Of another life, or a fall: both are told.
                if let Some(Measure::Counter { by, .. }) = look(&mut book, total(value, life), at, true) {
                    prop_assert!(by >= 0.0);
                    told += by;
                }
            }
            prop_assert!((told - rose).abs() < 1e-6, "{told} of {rose}");
        }
    }
}
