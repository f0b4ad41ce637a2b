//! Labels read back, what each kind tells, and sums of sums.
use super::*;
use proptest::prelude::*;

fn sum_of(measures: &[Measure]) -> Option<Summary> {
    let mut all = measures.iter().cloned().map(Summary::of);
    let mut first = all.next()?;
    all.for_each(|next| first.add(&next));
    Some(first)
}

#[test]
fn a_label_is_read_back_whatever_is_in_it() {
    for labels in [
        Labels::default(),
        Labels::of([("agent", "orders"), ("instance", "orders/0")]),
        Labels::of([("probe", "a,b=c\\,d")]),
    ] {
        assert_eq!(labels.to_string().parse(), Ok(labels));
    }
    for wrong in ["agent", "=x", "a=1,a=2"] {
        assert!(wrong.parse::<Labels>().is_err(), "{wrong}");
    }
    let all = Labels::of([("agent", "orders"), ("instance", "orders/0")]);
    assert!(all.has(&Labels::default()) && all.has(&Labels::of([("agent", "orders")])));
    assert!(!all.has(&Labels::of([("agent", "billing")])) && !all.has(&Labels::of([("probe", "ready")])));
}

#[test]
fn a_rate_is_by_the_time_that_was_watched() {
    let missed = [Measure::Counter { by: 10.0, seconds: 10.0 }, Measure::Counter { by: 20.0, seconds: 20.0 }];
    let sum = sum_of(&missed).expect("two looks");
    assert_eq!((sum.tell(None), sum.tell(Some(Stat::Sum)), sum.count()), (Some(1.0), Some(30.0), 2));
    assert_eq!(sum.tell(Some(Stat::P95)), None);
}

#[test]
fn what_does_not_suit_a_kind_is_not_told() {
    let one = |kind| match kind {
        MetricKind::Gauge => Summary::of(Measure::Gauge(4.0)),
        MetricKind::Counter => Summary::of(Measure::Counter { by: 4.0, seconds: 10.0 }),
        MetricKind::Histogram => Summary::of(Measure::Histogram(Distribution::new([(4000, 1)]))),
    };
    for kind in [MetricKind::Gauge, MetricKind::Counter, MetricKind::Histogram] {
        for stat in Stat::ALL {
            assert_eq!(one(kind).tell(Some(*stat)).is_some(), stat.suits(kind), "{kind:?} {stat:?}");
        }
    }
    assert_eq!(one(MetricKind::Histogram).tell(Some(Stat::P95)), Some(4.0), "in milliseconds");
    let empty = Summary::of(Measure::Histogram(Distribution::default()));
    assert_eq!((empty.tell(None), empty.count()), (None, 0), "nothing counted is not 0 ms");
}

fn measures() -> impl Strategy<Value = Vec<Measure>> {
    let number = || (-9_000_000_i64..9_000_000).prop_map(|n| n as f64 / 1e3);
    prop_oneof![
        proptest::collection::vec(number().prop_map(Measure::Gauge), 1..80),
        proptest::collection::vec(
            (0_u32..100_000, 1_u32..4).prop_map(|(by, looks)| Measure::Counter {
                by: f64::from(by),
                seconds: f64::from(looks) * 10.0
            }),
            1..80
        ),
        proptest::collection::vec(
            proptest::collection::vec((1_u64..500, 1_u64..5), 0..6)
                .prop_map(|counts| Measure::Histogram(Distribution::new(counts))),
            1..80
        ),
    ]
}

proptest! {
    #[test]
    fn sums_of_sums_are_the_sum(all in measures(), size in 1_usize..20) {
        let direct = sum_of(&all).expect("at least one");
        let parts: Vec<Summary> = all.chunks(size).filter_map(sum_of).collect();
        let mut again = parts[0].clone();
        parts[1..].iter().for_each(|part| again.add(part));
        prop_assert_eq!(again, direct);
    }
}
