//! A series over an hour or a day, in one row: which slots there is something for, and then column by column.
//! A slot that is not there is a gap.
use super::bytes::{Grid, Rest, put, put_column, put_distribution};
use crate::domain::{Measure, MetricKind, Numbers, Summary};

/// The format; a newer one is not read.
const VERSION: u8 = 1;
/// No chunk has more: an hour of ten seconds each.
pub const MOST_SLOTS: usize = 360;

/// By rising slot; all of one kind, which the first decides.
pub fn encode_measures(measures: &[(u16, Measure)]) -> Vec<u8> {
    let kind = match measures.first() {
        Some((_, Measure::Counter { .. })) => MetricKind::Counter,
        Some((_, Measure::Histogram(_))) => MetricKind::Histogram,
        Some((_, Measure::Gauge(_))) | None => MetricKind::Gauge,
    };
    let mut bytes = head(kind, measures.iter().map(|(slot, _)| *slot));
    match kind {
        MetricKind::Gauge => column(&mut bytes, measures.iter().map(|(_, measure)| first(measure))),
        MetricKind::Counter => {
            column(&mut bytes, measures.iter().map(|(_, measure)| first(measure)));
            column(&mut bytes, measures.iter().map(|(_, measure)| seconds(measure)));
        }
        MetricKind::Histogram => {
            for (_, measure) in measures {
                match measure {
                    Measure::Histogram(distribution) => put_distribution(&mut bytes, distribution),
                    Measure::Gauge(_) | Measure::Counter { .. } => put(&mut bytes, 0),
                }
            }
        }
    }
    bytes
}

pub fn decode_measures(bytes: &[u8]) -> Option<Vec<(u16, Measure)>> {
    let (kind, slots, mut rest) = open(bytes)?;
    let measures: Vec<Measure> = match kind {
        MetricKind::Gauge => read(&mut rest, slots.len())?.into_iter().map(Measure::Gauge).collect(),
        MetricKind::Counter => {
            let by = read(&mut rest, slots.len())?;
            let seconds = read(&mut rest, slots.len())?;
            by.into_iter().zip(seconds).map(|(by, seconds)| Measure::Counter { by, seconds }).collect()
        }
        MetricKind::Histogram => {
            slots.iter().map(|_| rest.distribution().map(Measure::Histogram)).collect::<Option<_>>()?
        }
    };
    Some(slots.into_iter().zip(measures).collect())
}

pub fn encode_summaries(summaries: &[(u16, Summary)]) -> Vec<u8> {
    let kind = summaries.first().map_or(MetricKind::Gauge, |(_, summary)| summary.kind());
    let mut bytes = head(kind, summaries.iter().map(|(slot, _)| *slot));
    if kind == MetricKind::Histogram {
        for (_, summary) in summaries {
            match summary {
                Summary::Histogram(distribution) => put_distribution(&mut bytes, distribution),
                Summary::Gauge(_) | Summary::Counter(_) => put(&mut bytes, 0),
            }
        }
        return bytes;
    }
    let numbers: Vec<Numbers> = summaries.iter().map(|(_, summary)| numbers(summary)).collect();
    put_column(&mut bytes, numbers.iter().map(|numbers| numbers.count.cast_signed()));
    let grid = Grid::of(numbers.iter().flat_map(|n| [&n.min, &n.max, &n.sum, &n.last]));
    put(&mut bytes, grid.code());
    let step = |value: f64| grid.step(value).unwrap_or_default();
    let base = |n: &Numbers| if grid == Grid::Free { 0 } else { step(n.min) };
    put_column(&mut bytes, numbers.iter().map(|n| step(n.min)));
    // What is close to the least of its stretch is written as how far it is from it. Sum and last of a counter are a
    // rise and a time, and its least is a rate.
    put_column(&mut bytes, numbers.iter().map(|n| step(n.max).wrapping_sub(base(n))));
    let gauge = kind == MetricKind::Gauge;
    put_column(
        &mut bytes,
        numbers.iter().map(|n| {
            step(n.sum).wrapping_sub(if gauge { base(n).wrapping_mul(n.count.cast_signed()) } else { 0 })
        }),
    );
    put_column(
        &mut bytes,
        numbers.iter().map(|n| step(n.last).wrapping_sub(if gauge { base(n) } else { 0 })),
    );
    bytes
}

pub fn decode_summaries(bytes: &[u8]) -> Option<Vec<(u16, Summary)>> {
    let (kind, slots, mut rest) = open(bytes)?;
    if kind == MetricKind::Histogram {
        let each = slots.into_iter().map(|slot| Some((slot, Summary::Histogram(rest.distribution()?))));
        return each.collect();
    }
    let counts = rest.column(slots.len())?;
    let grid = Grid::decoded(rest.number()?)?;
    let mut columns = [const { Vec::new() }; 4];
    for column in &mut columns {
        *column = rest.column(slots.len())?;
    }
    let [min, max, sum, last] = columns;
    let gauge = kind == MetricKind::Gauge;
    let each = slots.into_iter().enumerate().map(|(at, slot)| {
        let base = if grid == Grid::Free { 0 } else { min[at] };
        let numbers = Numbers {
            count: u64::try_from(counts[at]).ok()?,
            min: grid.value(min[at]),
            max: grid.value(max[at].wrapping_add(base)),
            sum: grid.value(sum[at].wrapping_add(if gauge { base.wrapping_mul(counts[at]) } else { 0 })),
            last: grid.value(last[at].wrapping_add(if gauge { base } else { 0 })),
        };
        let summary = if kind == MetricKind::Counter { Summary::Counter } else { Summary::Gauge };
        Some((slot, summary(numbers)))
    });
    each.collect()
}

fn head(kind: MetricKind, slots: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut bytes = vec![VERSION << 4 | code(kind)];
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some((from, length)) if *from + *length == slot => *length += 1,
            _ => runs.push((slot, 1)),
        }
    }
    put(&mut bytes, runs.len() as u64);
    let mut end = 0;
    for (from, length) in runs {
        put(&mut bytes, u64::from(from.saturating_sub(end)));
        put(&mut bytes, u64::from(length));
        end = from + length;
    }
    bytes
}

fn open(bytes: &[u8]) -> Option<(MetricKind, Vec<u16>, Rest<'_>)> {
    let mut rest = Rest(bytes);
    let first = rest.byte().filter(|first| first >> 4 == VERSION)?;
    let kinds = [MetricKind::Gauge, MetricKind::Counter, MetricKind::Histogram];
    let kind = kinds.into_iter().find(|kind| code(*kind) == first & 15)?;
    let runs = rest.number().filter(|runs| *runs <= MOST_SLOTS as u64)?;
    let (mut slots, mut end) = (Vec::new(), 0_u64);
    for _ in 0..runs {
        let from = end.checked_add(rest.number()?)?;
        end = from.checked_add(rest.number()?).filter(|end| *end <= MOST_SLOTS as u64)?;
        slots.extend((from..end).map(|slot| u16::try_from(slot).unwrap_or(u16::MAX)));
    }
    Some((kind, slots, rest))
}

fn column(bytes: &mut Vec<u8>, values: impl Iterator<Item = f64>) {
    let values: Vec<f64> = values.collect();
    let grid = Grid::of(values.iter());
    let steps: Vec<i64> = values.iter().map(|value| grid.step(*value).unwrap_or_default()).collect();
    // Memory comes in pages: their zeros are written once.
    let shift = match grid {
        Grid::Free => 0,
        Grid::Whole | Grid::Thousandths => {
            steps.iter().filter(|step| **step != 0).map(|step| step.trailing_zeros()).min().unwrap_or(0)
        }
    };
    put(bytes, grid.code() | u64::from(shift) << 2);
    put_column(bytes, steps.into_iter().map(|step| step >> shift));
}

fn read(rest: &mut Rest<'_>, length: usize) -> Option<Vec<f64>> {
    let head = rest.number()?;
    let (grid, shift) =
        (Grid::decoded(head & 3)?, u32::try_from(head >> 2).ok().filter(|shift| *shift < 63)?);
    Some(rest.column(length)?.into_iter().map(|step| grid.value(step << shift)).collect())
}

fn code(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Gauge => 0,
        MetricKind::Counter => 1,
        MetricKind::Histogram => 2,
    }
}

fn first(measure: &Measure) -> f64 {
    match measure {
        Measure::Gauge(value) | Measure::Counter { by: value, .. } => *value,
        Measure::Histogram(_) => 0.0,
    }
}

fn seconds(measure: &Measure) -> f64 {
    match measure {
        Measure::Counter { seconds, .. } => *seconds,
        Measure::Gauge(_) | Measure::Histogram(_) => 0.0,
    }
}

fn numbers(summary: &Summary) -> Numbers {
    match summary {
        Summary::Gauge(numbers) | Summary::Counter(numbers) => *numbers,
        // Of another kind than the first: it counts for nothing.
        Summary::Histogram(_) => Numbers { count: 0, min: 0.0, max: 0.0, sum: 0.0, last: 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::metrics::tick::tests::measure;
    use proptest::prelude::*;

    /// Slots with measures of one kind.
    fn slots() -> impl Strategy<Value = Vec<(u16, Measure)>> {
        proptest::collection::btree_map(0_u16..360, measure(), 0..120).prop_map(|slots| {
            let kind = slots.values().next().map(|first| Summary::of(first.clone()).kind());
            let same = |measure: &Measure| Some(Summary::of(measure.clone()).kind()) == kind;
            slots.into_iter().filter(|(_, measure)| same(measure)).collect()
        })
    }

    #[test]
    fn an_hour_of_little_change_is_small() {
        let pages = |slot: u16| f64::from(50_000 + u32::from(slot % 7)) * 4096.0;
        let hour: Vec<_> = (0..360).map(|slot| (slot, Measure::Gauge(pages(slot)))).collect();
        assert!(encode_measures(&hour).len() < 400, "{}", encode_measures(&hour).len());
        let still: Vec<_> = (0..360).map(|slot| (slot, Measure::Gauge(1.0))).collect();
        assert!(encode_measures(&still).len() < 12);
    }

    #[test]
    fn a_newer_format_is_not_guessed_at() {
        let mut bytes = encode_measures(&[(3, Measure::Gauge(1.0))]);
        assert!(decode_measures(&bytes).is_some());
        bytes[0] |= 0xf0;
        assert_eq!(decode_measures(&bytes), None);
    }

    proptest! {
        #[test]
        fn measures_read_back(slots in slots()) {
            prop_assert_eq!(decode_measures(&encode_measures(&slots)), Some(slots));
        }

        #[test]
        fn summaries_read_back(slots in slots(), copies in 1_usize..5) {
            let summed: Vec<(u16, Summary)> = slots.into_iter().map(|(slot, measure)| {
                let one = Summary::of(measure);
                let mut all = one.clone();
                (1..copies).for_each(|_| all.add(&one));
                (slot, all)
            }).collect();
            prop_assert_eq!(decode_summaries(&encode_summaries(&summed)), Some(summed));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0_u8..3) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = VERSION << 4 | kind;
            }
            let _ = decode_measures(&bytes);
            let _ = decode_summaries(&bytes);
        }
    }
}
