//! Levels that hold, that are passed for one stretch, and that were hardly seen.
use super::*;
use crate::deploy::checklist::soak::fixture::{at, points, trace};
use serde_json::{Value, json};

const STEP: Duration = Duration::from_secs(300);

fn level(more: Value) -> Result<Level, Vec<OptionProblem>> {
    let mut options = json!({"metric": "store_query_ms"});
    options.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    Level::compile(serde_json::from_value(options).expect("options"))
}

fn judged(more: Value, values: impl IntoIterator<Item = Option<f64>>) -> Said {
    level(more).expect("compiles").judge("store_query_ms", &points(values), STEP)
}

#[test]
fn one_stretch_over_the_limit_breaks_and_is_named_however_good_the_others_are() {
    let calm = || (0..100).map(|_| Some(5.0));
    let Said::Holds(told) = judged(json!({"at_most": 100}), calm()) else { panic!("it is calm") };
    assert!(told.contains("5 ms at its worst"), "{told}");
    let once = calm().enumerate().map(|(n, value)| if n == 60 { Some(130.0) } else { value });
    let Said::Breaks(told) = judged(json!({"at_most": 100}), once) else { panic!("it was too slow once") };
    assert!(told.contains("130 ms at its worst, 11-14 22:10:00 to 22:15:00Z, of at most 100 ms"), "{told}");
    let low = judged(json!({"at_least": 6}), calm());
    assert!(matches!(low, Said::Breaks(_)), "{low:?}");
    let both = json!({"at_most": 10, "at_least": 1});
    assert!(matches!(judged(both, calm()), Said::Holds(_)));
}

#[test]
fn what_was_hardly_seen_does_not_hold_and_what_broke_broke() {
    let few = |value: f64| vec![Some(value); 29];
    assert!(matches!(judged(json!({"at_most": 100}), few(5.0)), Said::Unsure(_)));
    assert!(matches!(judged(json!({"at_most": 100, "samples": 29}), few(5.0)), Said::Holds(_)));
    assert!(matches!(judged(json!({"at_most": 100}), few(500.0)), Said::Breaks(_)));
    assert!(matches!(judged(json!({"at_most": 100}), [None, None]), Said::Unsure(_)));
    assert!(matches!(judged(json!({"at_most": 100}), vec![Some(f64::NAN); 90]), Said::Unsure(_)));
}

#[test]
fn a_share_is_told_step_by_step_of_all_that_there_was() {
    let of = |outcome, values: &[Option<f64>]| {
        trace(Labels::of([("outcome", outcome)]), points(values.iter().copied()))
    };
    let all = [
        of("done", &[Some(98.0), Some(0.0), Some(50.0)]),
        of("internal", &[Some(1.0), Some(0.0), None]),
        of("timeout", &[Some(1.0), None, Some(50.0)]),
    ];
    let wanted = Labels::of([("outcome", "internal|timeout")]);
    let some: Vec<Trace> = all.iter().filter(|trace| is_one(&wanted, &trace.labels)).cloned().collect();
    assert_eq!(some.len(), 2);
    let told: Vec<_> = shares(&some, &all).iter().map(|point| (point.at, point.value, point.count)).collect();
    assert_eq!(told, [(at(0), 0.02, 100), (at(20), 0.5, 100)], "of nothing there is no share");
    assert!(shares(&[], &[]).is_empty());
}

#[test]
fn a_limit_that_is_none_or_a_share_of_nothing_is_refused() {
    let refused = |more: Value| level(more).err().map(|problems| problems[0].pointer.clone());
    assert_eq!(refused(json!({})).as_deref(), Some("/at_most"));
    assert_eq!(refused(json!({"at_most": 1, "window": "5s"})).as_deref(), Some("/window"));
    assert_eq!(refused(json!({"at_most": 1, "share": true})).as_deref(), Some("/share"));
    assert_eq!(refused(json!({"at_most": 1, "metric": "store_query"})).as_deref(), Some("/metric"));
    assert_eq!(refused(json!({"at_most": 1, "stat": "rate"})).as_deref(), Some("/stat"));
    let share =
        json!({"at_most": 0.01, "share": true, "metric": "requests", "labels": {"outcome": "internal"}});
    assert_eq!(refused(share), None);
    assert_eq!(refused(json!({"at_most": "2GiB", "metric": "agent_memory_bytes", "stat": "max"})), None);
}
