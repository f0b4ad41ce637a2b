//! All that one look gave, in one row: series and measure, in rising order of series.
use super::bytes::{Rest, put, put_distribution, put_float};
use crate::domain::Measure;

const GAUGE: u64 = 0;
const COUNTER: u64 = 1;
const HISTOGRAM: u64 = 2;

/// `measures` by series; the same series twice is once.
pub fn encode(measures: &mut Vec<(u32, Measure)>) -> Vec<u8> {
    measures.sort_by_key(|(series, _)| *series);
    measures.dedup_by_key(|(series, _)| *series);
    let mut bytes = Vec::with_capacity(measures.len() * 6);
    let mut before = 0;
    for (series, measure) in measures {
        let step = u64::from(*series - before) << 2;
        before = *series;
        match measure {
            Measure::Gauge(value) => {
                put(&mut bytes, step | GAUGE);
                put_float(&mut bytes, *value);
            }
            Measure::Counter { by, seconds } => {
                put(&mut bytes, step | COUNTER);
                put_float(&mut bytes, *by);
                put_float(&mut bytes, *seconds);
            }
            Measure::Histogram(distribution) => {
                put(&mut bytes, step | HISTOGRAM);
                put_distribution(&mut bytes, distribution);
            }
        }
    }
    bytes
}

/// Hands on what `wanted` says yes to, up to the series `last`, and makes nothing of the rest. None if the bytes make no
/// sense as far as they were read; what came before was handed on.
pub fn decode(
    bytes: &[u8],
    last: u32,
    wanted: impl Fn(u32) -> bool,
    mut take: impl FnMut(u32, Measure),
) -> Option<()> {
    let mut rest = Rest(bytes);
    let mut series = 0_u32;
    while !rest.is_empty() {
        let head = rest.number()?;
        series = series.checked_add(u32::try_from(head >> 2).ok()?)?;
        if series > last {
            return Some(());
        }
        if !wanted(series) {
            match head & 3 {
                GAUGE => rest.skip_float()?,
                COUNTER => rest.skip_float().and_then(|()| rest.skip_float())?,
                HISTOGRAM => rest.skip_distribution()?,
                _ => return None,
            }
            continue;
        }
        let measure = match head & 3 {
            GAUGE => Measure::Gauge(rest.float()?),
            COUNTER => Measure::Counter { by: rest.float()?, seconds: rest.float()? },
            HISTOGRAM => Measure::Histogram(rest.distribution()?),
            _ => return None,
        };
        take(series, measure);
    }
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::Distribution;
    use proptest::prelude::*;

    pub fn measure() -> impl Strategy<Value = Measure> {
        let number =
            || prop_oneof![(-9_000_000_i64..9_000_000).prop_map(|n| n as f64 / 1e3), -1e20_f64..1e20];
        prop_oneof![
            number().prop_map(Measure::Gauge),
            (number(), 1_u32..60)
                .prop_map(|(by, seconds)| Measure::Counter { by, seconds: f64::from(seconds) }),
            proptest::collection::vec((1_u64..100_000_000, 1_u64..1000), 0..12)
                .prop_map(|counts| Measure::Histogram(Distribution::new(counts))),
        ]
    }

    proptest! {
        #[test]
        fn a_tick_reads_back(measures in proptest::collection::btree_map(any::<u32>(), measure(), 0..40)) {
            let mut given: Vec<(u32, Measure)> = measures.into_iter().rev().collect();
            let bytes = encode(&mut given);
            let mut back = Vec::new();
            prop_assert_eq!(decode(&bytes, u32::MAX, |_| true, |series, measure| back.push((series, measure))), Some(()));
            prop_assert_eq!(&back, &given);
            // Each by itself, whether what comes after it is read or not.
            for (series, measure) in &given {
                for last in [*series, u32::MAX] {
                    let mut back = Vec::new();
                    let wanted = |asked| asked == *series;
                    prop_assert_eq!(decode(&bytes, last, wanted, |_, measure| back.push(measure)), Some(()));
                    prop_assert_eq!(&back, std::slice::from_ref(measure));
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, u32::MAX, |_| true, |_, _| ());
            let _ = decode(&bytes, 9, |series| series % 2 == 0, |_, _| ());
        }
    }
}
