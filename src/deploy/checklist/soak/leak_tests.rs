//! Leaks that are seen, that are none, and that nobody can tell.
use super::*;
use crate::deploy::checklist::soak::fixture::{at, points};
use serde_json::json;

const MIB: f64 = 1_048_576.0;
/// An hour of looks.
const HOUR: i32 = 360;

fn noise(n: i32) -> f64 {
    f64::from((n * 7919) % 101) / 10.0
}

/// So many MiB an hour, over an hour, with noise of 10 MiB.
fn growing(mib_an_hour: f64) -> impl Iterator<Item = Option<f64>> {
    (0..HOUR).map(move |n| Some((100.0 + f64::from(n) / f64::from(HOUR) * mib_an_hour + noise(n)) * MIB))
}

fn judged(values: impl IntoIterator<Item = Option<f64>>, cuts: &[Timestamp]) -> Said {
    let leak = Leak(Options::default());
    let chosen = Chosen::of("agent_memory_bytes", Stat::Avg);
    leak.judge(&chosen, "orders/0 agent_memory_bytes", (&points(values), cuts), (at(0), at(3600)), 8.0 * MIB)
}

#[test]
fn a_leak_breaks_and_noise_a_still_line_and_growth_that_is_allowed_hold() {
    let Said::Breaks(told) = judged(growing(20.0), &[]) else { panic!("it leaks") };
    assert!(told.contains("MiB an hour (") && told.contains("allowed are 8 MiB"), "{told}");
    for values in [growing(0.0).collect::<Vec<_>>(), growing(3.0).collect(), growing(-50.0).collect()] {
        assert!(matches!(judged(values, &[]), Said::Holds(_)));
    }
    assert!(matches!(judged((0..HOUR).map(|_| Some(7.0 * MIB)), &[]), Said::Holds(_)), "a still line");
}

#[test]
fn what_is_as_much_as_is_allowed_or_swings_slowly_cannot_be_told() {
    assert!(matches!(judged(growing(8.0), &[]), Said::Unsure(_)));
    let wave = (0..HOUR).map(|n| Some((100.0 + (f64::from(n) / 57.3 + 3.0).sin() * 10.0) * MIB));
    let Said::Unsure(told) = judged(wave, &[]) else { panic!("half a wave is no trend") };
    assert!(told.contains("cannot be told yet"), "{told}");
}

#[test]
fn too_few_points_gaps_and_figures_that_are_none_are_no_pass() {
    for values in [
        vec![],
        vec![Some(MIB); 11],
        vec![None; 100],
        vec![Some(f64::NAN); 100],
        growing(0.0).enumerate().map(|(n, value)| value.filter(|_| n % 40 == 0)).collect(),
        growing(0.0).take(100).collect(),
    ] {
        let said = judged(values.clone(), &[]);
        assert!(matches!(said, Said::Unsure(_)), "{} points: {said:?}", values.len());
    }
    // A gap in the middle takes nothing from what is seen on both sides of it.
    let gap = |mib: f64| {
        growing(mib).enumerate().map(|(n, v)| v.filter(|_| !(100..200).contains(&n))).collect::<Vec<_>>()
    };
    assert!(matches!(judged(gap(0.0), &[]), Said::Holds(_)));
    assert!(matches!(judged(gap(20.0), &[]), Said::Breaks(_)));
}

#[test]
fn a_restart_hides_no_leak_and_makes_none() {
    // A sawtooth that is as low at its end as at its beginning: taken as one line it would hardly rise.
    let saw = |n: i32| Some((100.0 + f64::from(n % 120) / 120.0 * 40.0 + noise(n) / 10.0) * MIB);
    let cuts = [at(1200), at(2400)];
    let said = judged((0..HOUR).map(saw), &cuts);
    assert!(matches!(said, Said::Breaks(_)), "{said:?}");
    // One step up at a restart is no growth.
    let step = |n: i32| Some((if n < 60 { 100.0 } else { 180.0 } + noise(n) / 10.0) * MIB);
    let said = judged((0..HOUR).map(step), &[at(600)]);
    assert!(matches!(said, Said::Holds(_)), "{said:?}");
    // Restarted so often that nothing of it was watched for long.
    let often: Vec<Timestamp> = (1..6).map(|n| at(n * 600)).collect();
    let said = judged((0..HOUR).map(|n| Some((100.0 + noise(n)) * MIB)), &often);
    assert!(matches!(&said, Said::Unsure(told) if told.contains("in 6 parts")), "{said:?}");
}

#[test]
fn lives_lie_between_cuts_and_what_is_cut_is_in_none() {
    let six = points((0..6).map(|n| Some(f64::from(n))));
    let lengths = |cuts: &[Timestamp]| lives(&six, cuts).iter().map(|life| life.len()).collect::<Vec<_>>();
    assert_eq!(lengths(&[]), [6]);
    assert_eq!(lengths(&[at(20)]), [2, 3]);
    assert_eq!(lengths(&[at(25)]), [3, 3]);
    assert_eq!(lengths(&[at(0), at(10), at(10), at(50)]), [3]);
    assert_eq!(lengths(&[at(-10), at(900)]), [6]);
    assert!(lives(&[], &[at(0)]).is_empty());
}

#[test]
fn what_may_grow_by_less_than_nothing_is_refused() {
    for wrong in [json!({"files": -1.0}), json!({"memory": -5}), json!({"points": 3})] {
        let options = serde_json::from_value(wrong.clone()).expect("options");
        assert!(Leak::compile(options).is_err(), "{wrong}");
    }
    let sizes = serde_json::from_value(json!({"memory": "1MiB", "processes": 0})).expect("options");
    assert!(Leak::compile(sizes).is_ok());
}
