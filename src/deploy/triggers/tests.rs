use super::{
    backtest::replay,
    history::{History, time},
    judge::{Terms, end_of, lasting, read},
    machine::{Before, Decision, Deed, decide},
    scene::Scene,
};
use crate::{
    config::{Limit, TriggerSettings},
    domain::{
        Distribution, FiringState, Labels, Measure, NoData, Period, Reading, Sight, Stat, Summary,
        TriggerAction, TriggerFiring, TriggerState,
    },
};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn declared(metric: &str) -> TriggerSettings {
    TriggerSettings {
        name: "one".into(),
        metric: metric.into(),
        labels: BTreeMap::new(),
        agent: None,
        statistic: None,
        above: Some(Limit::Number(10.0)),
        below: None,
        window: Period::secs(60),
        min_samples: 3,
        lasting: Period::secs(0),
        no_data: NoData::Observe,
        action: TriggerAction::Revert,
        cooldown: Period::secs(300),
        always: false,
    }
}

fn terms(trigger: &TriggerSettings) -> Terms {
    Terms::of(trigger).expect("terms")
}

fn labels(instance: &str) -> Labels {
    Labels::of([("instance", instance)])
}

/// Series of measures at these seconds; somebody looked at all of them.
fn history(series: &[(&str, &[(i64, Measure)])]) -> History {
    let mut looks: BTreeMap<i64, u64> = BTreeMap::new();
    let mut all = Vec::new();
    for (name, measures) in series {
        looks.extend(measures.iter().map(|(second, _)| (*second, 1)));
        let slots = measures.iter().map(|(second, measure)| (*second, Summary::of(measure.clone())));
        all.push((labels(name), slots.collect()));
    }
    History { step_s: 10, series: all, looks: looks.into_iter().collect() }
}

fn gauge(values: &[(i64, f64)]) -> Vec<(i64, Measure)> {
    values.iter().map(|(second, value)| (*second, Measure::Gauge(*value))).collect()
}

fn every(values: &[f64]) -> Vec<(i64, Measure)> {
    (0..).step_by(10).zip(values).map(|(second, value)| (second, Measure::Gauge(*value))).collect()
}

fn counter(seconds: &[i64], by: f64) -> Vec<(i64, Measure)> {
    seconds.iter().map(|second| (*second, Measure::Counter { by, seconds: 10.0 })).collect()
}

fn sight(terms: &Terms, history: &History, until: i64) -> Sight {
    read(terms, history, until, i64::MIN).sight
}

#[test]
fn a_window_says_what_was_seen_in_it_and_nothing_of_what_was_not() {
    use Sight::{Breach, Quiet, Unmeasured};
    let last = terms(&declared("agent_memory_bytes"));
    for (values, wanted, why) in [
        (&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0][..], Quiet, "all is well"),
        (&[1.0, 1.0, 1.0, 1.0, 1.0, 10.0], Quiet, "the limit itself is not beyond it"),
        (&[1.0, 1.0, 1.0, 1.0, 1.0, 10.1], Breach, "the last is beyond"),
        (&[99.0, 99.0, 99.0, 99.0, 99.0, 1.0], Quiet, "it was beyond, and is not"),
        (&[1.0, 99.0], Unmeasured, "two looks of three"),
        (&[1.0, 1.0, 99.0], Breach, "three looks are enough to see what is wrong"),
        (&[], Unmeasured, "nothing"),
    ] {
        let mut measures = every(values);
        // To the end of the window.
        let shift = 60 - 10 * i64::try_from(values.len()).expect("small");
        for (second, _) in &mut measures {
            *second += shift;
        }
        assert_eq!(sight(&last, &history(&[("a", &measures)]), 60), wanted, "{why}");
    }
    // Two of six looks: enough to count, too few to call it quiet.
    let few = TriggerSettings { min_samples: 2, ..declared("agent_memory_bytes") };
    let seen = read(&terms(&few), &history(&[("a", &gauge(&[(0, 1.0), (50, 1.0)]))]), 60, i64::MIN);
    assert_eq!((seen.sight, seen.value, seen.samples), (Unmeasured, Some(1.0), 2));
    assert!((seen.observed - 1.0 / 3.0).abs() < 1e-9, "{seen:?}");
}

#[test]
fn a_window_begins_with_its_first_second_and_ends_before_its_last_and_no_earlier_than_the_release() {
    let max = terms(&TriggerSettings {
        statistic: Some(Stat::Max),
        min_samples: 1,
        ..declared("agent_memory_bytes")
    });
    let mut measures = every(&[1.0; 12]);
    measures[0].1 = Measure::Gauge(99.0);
    let history = history(&[("a", &measures)]);
    assert_eq!(sight(&max, &history, 60), Sight::Breach, "it is the first of the window");
    assert_eq!(sight(&max, &history, 70), Sight::Quiet, "it is before it");
    assert_eq!(sight(&max, &history, 0), Sight::Unmeasured, "it is not over yet");
    assert_eq!(read(&max, &history, 60, 10).sight, Sight::Quiet, "another release ran then");
    assert_eq!(read(&max, &history, 60, 60).sight, Sight::Unmeasured);
    assert_eq!((end_of(59), end_of(60)), (60, 70));
}

#[test]
fn of_several_gauges_the_worst_counts_and_counters_and_histograms_are_one() {
    let (calm, wild) = (every(&[1.0; 6]), every(&[50.0; 6]));
    let of = |series: &[(&str, &[(i64, Measure)])]| {
        read(&terms(&declared("agent_memory_bytes")), &history(series), 60, i64::MIN)
    };
    let seen = of(&[("a", &calm), ("b", &wild), ("c", &calm)]);
    assert_eq!((seen.sight, seen.value, seen.of), (Sight::Breach, Some(50.0), Some(labels("b"))));
    // One that was just begun is not heard while others have something to say.
    assert_eq!(of(&[("a", &calm), ("b", &wild[5..])]).sight, Sight::Quiet);
    let low = TriggerSettings { above: None, below: Some(Limit::Number(1.0)), ..declared("probe_passing") };
    let seen = read(&terms(&low), &history(&[("a", &calm), ("b", &every(&[0.0; 6]))]), 60, i64::MIN);
    assert_eq!((seen.sight, seen.of), (Sight::Breach, Some(labels("b"))));

    let seconds = [0, 10, 20, 30, 40, 50];
    let rate = terms(&TriggerSettings { above: Some(Limit::Number(1.0)), ..declared("errors") });
    let each = counter(&seconds, 6.0);
    assert_eq!(sight(&rate, &history(&[("a", &each)]), 60), Sight::Quiet);
    let both = read(&rate, &history(&[("a", &each), ("b", &each)]), 60, i64::MIN);
    assert_eq!((both.sight, both.value, both.samples), (Sight::Breach, Some(1.2), 6));

    let p95 = terms(&TriggerSettings {
        above: Some(Limit::Quantity("200ms".into())),
        ..declared("store_query_ms")
    });
    let spread =
        |counts: &[(u64, u64)]| vec![(50, Measure::Histogram(Distribution::new(counts.iter().copied())))];
    // The mean of both percentiles is far above the limit; that of all is not.
    let (busy, slow) = (spread(&[(1_000, 990)]), spread(&[(900_000, 10)]));
    let mut looked = history(&[("a", &busy), ("b", &slow)]);
    looked.looks = (0..60).step_by(10).map(|second| (second, 1)).collect();
    let seen = read(&p95, &looked, 60, i64::MIN);
    assert_eq!((seen.sight, seen.samples), (Sight::Quiet, 1000));
    let worse = spread(&[(900_000, 200)]);
    looked.series[1].1 = vec![(50, Summary::of(worse[0].1.clone()))];
    assert_eq!(sight(&p95, &looked, 60), Sight::Breach);
    looked.looks.clear();
    looked.series[1].1.clear();
    assert_eq!(sight(&p95, &looked, 60), Sight::Unmeasured, "nobody looked for most of it");
}

#[test]
fn where_nothing_is_seen_the_declaration_says_what_that_means_and_a_daemon_that_was_down_proves_nothing() {
    let mut nothing = history(&[]);
    for (no_data, looks, wanted) in [
        (NoData::Observe, 6, Sight::Unmeasured),
        (NoData::Ignore, 6, Sight::Unmeasured),
        (NoData::Breach, 6, Sight::Breach),
        (NoData::Breach, 2, Sight::Unmeasured),
        (NoData::Breach, 0, Sight::Unmeasured),
    ] {
        nothing.looks = (0..looks).map(|look| (look * 10, 1)).collect();
        let terms = terms(&TriggerSettings { no_data, ..declared("probe_passing") });
        assert_eq!(sight(&terms, &nothing, 60), wanted, "{no_data:?} after {looks} looks");
    }
}

#[test]
fn a_sum_over_part_of_a_window_is_less_by_itself() {
    let least = TriggerSettings {
        statistic: Some(Stat::Sum),
        above: None,
        below: Some(Limit::Number(10.0)),
        ..declared("store_commits")
    };
    let seen = |seconds: &[i64]| sight(&terms(&least), &history(&[("a", &counter(seconds, 3.0))]), 60);
    assert_eq!(seen(&[20, 30, 40, 50]), Sight::Unmeasured, "12 in four of six looks");
    assert_eq!(seen(&[30, 40, 50]), Sight::Unmeasured, "9 in three of six: the rest is not known");
    assert_eq!(seen(&[0, 10, 20, 30, 40, 50]), Sight::Quiet);
    let most =
        TriggerSettings { statistic: Some(Stat::Sum), above: Some(Limit::Number(8.0)), ..declared("errors") };
    let part = history(&[("a", &counter(&[30, 40, 50], 3.0))]);
    assert_eq!(
        sight(&terms(&most), &part, 60),
        Sight::Breach,
        "what is too much already does not become less"
    );
}

fn firing(state: FiringState, at: i64, ended: Option<i64>) -> TriggerFiring {
    TriggerFiring {
        id: 1,
        trigger: "one".into(),
        at: time(at),
        action: TriggerAction::Revert,
        state,
        release: None,
        value: None,
        told: String::new(),
        operation: None,
        ended_at: ended.map(time),
        ended_by: None,
        why: String::new(),
    }
}

fn idle(now: i64) -> Before<'static> {
    Before { last: None, since: None, held: false, busy: false, now, floor: i64::MIN }
}

#[test]
fn it_fires_when_its_limit_was_passed_for_long_enough_without_a_break() {
    use Sight::{Breach as B, Quiet as Q, Unmeasured as U};
    let terms = terms(&TriggerSettings { lasting: Period::secs(30), ..declared("agent_memory_bytes") });
    let run = |sights: &[Sight]| {
        let mut since = None;
        let deeds = (0..).step_by(10).zip(sights).map(|(now, sight)| {
            let decision = decide(&terms, &Before { since, ..idle(now) }, *sight);
            since = decision.since;
            decision.deed
        });
        deeds.collect::<Vec<_>>().iter().position(|deed| *deed == Deed::Fire)
    };
    assert_eq!(run(&[B, B, B]), None);
    assert_eq!(run(&[B, B, B, B]), Some(3));
    assert_eq!(run(&[B, B, Q, B, B, B]), None, "it was quiet between");
    assert_eq!(run(&[B, B, U, B, B, B]), None, "nobody knows what was between");
    assert_eq!(run(&[Q, U, Q, U]), None);
    // The same told from the metrics, after a restart.
    let wild = history(&[("a", &every(&[99.0; 12]))]);
    assert_eq!(lasting(&terms, &wild, 120, i64::MIN), Some(90));
    let broken = every(&[99.0, 99.0, 99.0, 99.0, 99.0, 99.0, 99.0, 99.0, 99.0, 1.0, 99.0, 99.0]);
    assert_eq!(lasting(&terms, &history(&[("a", &broken)]), 120, i64::MIN), Some(110));
}

#[test]
fn what_was_done_before_decides_what_is_done_now() {
    use {FiringState as F, TriggerState as T};
    let terms = terms(&declared("agent_memory_bytes"));
    let after = |last: TriggerFiring, now: i64, floor: i64| {
        let Decision { state, deed, .. } =
            decide(&terms, &Before { last: Some(&last), floor, ..idle(now) }, Sight::Breach);
        (state, deed)
    };
    let old = i64::MIN;
    for (last, now, floor, wanted, why) in [
        (firing(F::Told, 0, None), 299, old, (T::Cooling, Deed::Nothing), "it cools"),
        (firing(F::Told, 0, None), 300, old, (T::Pending, Deed::Fire), "it has cooled"),
        (firing(F::Told, 0, None), 10, 5, (T::Pending, Deed::Fire), "another release runs now"),
        (firing(F::Paused, 0, None), 10, old, (T::Cooling, Deed::Nothing), "it pauses already"),
        (firing(F::Intended, 0, None), 900, old, (T::Reverting, Deed::Nothing), "one is just begun"),
        (firing(F::Reverting, 0, None), 900, old, (T::Reverting, Deed::Nothing), "one is under way"),
        (firing(F::Reverted, 0, Some(100)), 399, 100, (T::Stopped, Deed::Stop), "it did not help"),
        (firing(F::Reverted, 0, Some(100)), 400, 100, (T::Pending, Deed::Fire), "it did, for long enough"),
        (firing(F::Abandoned, 0, Some(0)), 19, old, (T::Cooling, Deed::Nothing), "not at once"),
        (firing(F::Abandoned, 0, Some(0)), 20, old, (T::Pending, Deed::Fire), "none was begun"),
        (firing(F::Stopped, 0, Some(0)), 99_999, old, (T::Stopped, Deed::Nothing), "for ever"),
        (firing(F::Reset, 0, Some(0)), 10, old, (T::Pending, Deed::Fire), "somebody answers for it"),
    ] {
        assert_eq!(after(last, now, floor), wanted, "{why}");
    }
    let held = decide(&terms, &Before { held: true, since: Some(0), ..idle(900) }, Sight::Breach);
    assert_eq!(
        (held.state, held.deed, held.since),
        (T::Held, Deed::Nothing, None),
        "it begins anew after a hold"
    );
    let busy = decide(&terms, &Before { busy: true, since: Some(0), ..idle(900) }, Sight::Breach);
    assert_eq!((busy.deed, busy.since), (Deed::Nothing, None));
}

fn scene(on_trial: bool) -> Scene {
    Scene {
        now: time(0),
        floor: i64::MIN,
        busy: None,
        current: None,
        on_trial,
        off: false,
        holds: Vec::new(),
        firings: Vec::new(),
        attended: false,
    }
}

#[test]
fn it_acts_while_a_release_is_on_trial_and_where_nobody_has_to_be_asked() {
    use TriggerAction::{Observe, Pause, Revert};
    let declared = |action| TriggerSettings { action, ..declared("errors") };
    for action in [Observe, Pause, Revert] {
        assert_eq!(scene(true).action(&declared(action)), (action, None));
        let (acts, why) = scene(false).action(&declared(action));
        assert_eq!((acts, why.is_some()), (Observe, action != Observe), "nothing is on trial");
        let always = TriggerSettings { always: true, ..declared(action) };
        assert_eq!(scene(false).action(&always), (action, None));
        let (acts, _) = Scene { attended: true, ..scene(true) }.action(&declared(action));
        assert_eq!(acts, if action == Revert { Observe } else { action }, "a rollback needs an approval");
        let (acts, _) = Scene { off: true, ..scene(true) }.action(&declared(action));
        assert_eq!(acts, if action == Revert { Observe } else { action }, "it would switch the fleet on");
        let stopped = firing(FiringState::Stopped, 0, Some(0));
        let (acts, why) = Scene { firings: vec![stopped], ..scene(true) }.action(&declared(action));
        assert_eq!(acts, if action == Revert { Observe } else { action }, "one is stopped: {why:?}");
    }
}

#[test]
fn a_replay_fires_as_often_as_the_judge_would_have() {
    let terms = terms(&TriggerSettings {
        min_samples: 1,
        lasting: Period::secs(20),
        ..declared("agent_memory_bytes")
    });
    // Beyond from 100 to 199 and from 700 to 799; nobody looked from 300 to 599.
    let looked = (0..1000).step_by(10).filter(|second| !(300..600).contains(second));
    let value =
        |second: i64| if (100..200).contains(&second) || (700..800).contains(&second) { 99.0 } else { 1.0 };
    let measures: Vec<(i64, f64)> = looked.map(|second| (second, value(second))).collect();
    let history = history(&[("a", &gauge(&measures))]);
    let replayed = replay("one", &terms, &history, 0, 1000);
    let at: Vec<i64> = replayed.firings.iter().map(|firing| firing.at.as_second()).collect();
    assert_eq!((replayed.fired, at), (2, vec![130, 730]));
    assert!((replayed.observed - 0.7).abs() < 1e-9 && replayed.unmeasured > 0.2, "{replayed:?}");
    // As the loop judges, ten seconds at a time.
    let calm = TriggerSettings { above: Some(Limit::Number(100.0)), ..declared("agent_memory_bytes") };
    assert_eq!(replay("one", &super::tests::terms(&calm), &history, 0, 1000).fired, 0);
}

#[test]
fn a_sentence_says_what_was_seen_and_what_was_wanted() {
    let trigger =
        TriggerSettings { above: Some(Limit::Quantity("200ms".into())), ..declared("store_query_ms") };
    let reading = Reading { sight: Sight::Breach, value: Some(350.0), samples: 9, observed: 1.0, of: None };
    assert_eq!(
        terms(&trigger).sentence(&trigger, &reading),
        "p95 of store_query_ms over 1m is 350 ms; it may not be above 200 ms"
    );
    let nothing = Reading { sight: Sight::Unmeasured, value: None, samples: 0, observed: 0.0, of: None };
    assert!(terms(&trigger).sentence(&trigger, &nothing).contains("unmeasured: 0 samples, 0 % observed"));
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Sees(Sight),
    Holds(bool),
    /// The rollback under way ends, well or not.
    Ends(bool),
    Resets,
    /// Somebody deploys.
    Deploys,
}

fn happens() -> impl Strategy<Value = Happens> {
    let sight = prop_oneof![4 => Just(Sight::Breach), 1 => Just(Sight::Quiet), 1 => Just(Sight::Unmeasured)];
    prop_oneof![
        12 => sight.prop_map(Happens::Sees),
        1 => any::<bool>().prop_map(Happens::Holds),
        2 => any::<bool>().prop_map(Happens::Ends),
        1 => Just(Happens::Resets),
        1 => Just(Happens::Deploys),
    ]
}

proptest! {
    /// Whatever happens: nothing is begun while held, beside another, after a stop, within the cooldown of one release, or
    /// before the limit was passed for long enough; and what did not help is not tried again.
    #[test]
    fn it_never_acts_where_it_must_not(
        story in prop::collection::vec(happens(), 0..200),
        lasting in 0_u64..5,
        reverts in any::<bool>(),
    ) {
        let terms = terms(&TriggerSettings {
            lasting: Period::secs(lasting * 10),
            cooldown: Period::secs(100),
            ..declared("agent_memory_bytes")
        });
        let (mut now, mut held, mut floor, mut since) = (0, false, i64::MIN, None);
        let mut last: Option<TriggerFiring> = None;
        let mut beyond = 0_u64;
        for event in story {
            let state = last.as_ref().map(|firing| firing.state);
            match event {
                Happens::Holds(holds) => held = holds,
                Happens::Ends(well) if state == Some(FiringState::Reverting) => {
                    let ended = if well { FiringState::Reverted } else { FiringState::Stopped };
                    last = last.map(|firing| TriggerFiring { state: ended, ended_at: Some(time(now)), ..firing });
                    floor = now;
                }
                Happens::Resets if state == Some(FiringState::Stopped) => {
                    last = last.map(|firing| TriggerFiring { state: FiringState::Reset, ..firing });
                }
                Happens::Deploys if state != Some(FiringState::Reverting) => floor = now,
                Happens::Ends(_) | Happens::Resets | Happens::Deploys => {}
                Happens::Sees(sight) => {
                    now += 10;
                    let in_flight = state == Some(FiringState::Reverting);
                    let before = Before { last: last.as_ref(), since, held, busy: in_flight, now, floor };
                    let decision = decide(&terms, &before, sight);
                    let counts = sight == Sight::Breach && !held && !in_flight && state != Some(FiringState::Stopped);
                    beyond = if counts { beyond + 1 } else { 0 };
                    since = decision.since;
                    if decision.deed != Deed::Nothing {
                        prop_assert!(!held && !in_flight && state != Some(FiringState::Stopped));
                        prop_assert!(beyond > lasting, "{beyond} looks beyond it of {lasting}");
                        prop_assert_eq!(decision.since.is_some(), true);
                    }
                    let recent = |at: i64| now - at < 100;
                    let reverted_at = last.as_ref().filter(|firing| firing.state == FiringState::Reverted)
                        .and_then(|firing| firing.ended_at).map(Timestamp::as_second);
                    match decision.deed {
                        Deed::Stop => prop_assert!(reverted_at.is_some_and(recent)),
                        Deed::Fire => {
                            prop_assert!(!reverted_at.is_some_and(recent), "what did not help is tried again");
                            let told = last.as_ref().filter(|firing| firing.state == FiringState::Told);
                            let same = told.filter(|firing| firing.at.as_second() >= floor);
                            prop_assert!(!same.is_some_and(|firing| recent(firing.at.as_second())));
                        }
                        Deed::Nothing => {}
                    }
                    let next = match decision.deed {
                        Deed::Nothing => None,
                        Deed::Stop => Some(FiringState::Stopped),
                        Deed::Fire if reverts => Some(FiringState::Reverting),
                        Deed::Fire => Some(FiringState::Told),
                    };
                    if let Some(next) = next {
                        last = Some(firing(next, now, (next == FiringState::Stopped).then_some(now)));
                    }
                }
            }
        }
    }
}
