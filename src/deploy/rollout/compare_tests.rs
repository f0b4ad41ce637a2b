//! Tables of what was seen and what it amounts to.
use super::*;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// So many looks at each side; of the candidate's so many fail, and each takes so long.
fn sides(n: usize, fail: usize, stable_ms: f64, candidate_ms: f64) -> Sides {
    let mut sides = Sides::default();
    for round in 0..n {
        let look = |took_ms, ok| Look { ok, took_ms };
        sides.looked("up", look(stable_ms, true), look(candidate_ms, round >= fail));
    }
    sides
}

fn judged(sides: &Sides) -> Worth {
    compare(&RolloutSettings::default(), sides).worth
}

#[test]
fn a_candidate_is_what_its_figures_say_and_too_few_say_nothing() {
    for (n, fail, stable, candidate, worth) in [
        (0, 0, 0.0, 0.0, Worth::Unmeasured),
        (29, 0, 10.0, 10.0, Worth::Unmeasured),
        (30, 0, 10.0, 10.0, Worth::Same),
        // 20 % and 5 ms, both of them.
        (30, 0, 10.0, 14.0, Worth::Same),
        (30, 0, 100.0, 119.0, Worth::Same),
        (30, 0, 10.0, 15.1, Worth::Worse),
        (30, 0, 100.0, 121.0, Worth::Worse),
        (30, 0, 121.0, 100.0, Worth::Better),
        // Too few for a latency, and not for what fails.
        (30, 2, 10.0, 10.0, Worth::Worse),
        (200, 1, 10.0, 10.0, Worth::Same),
        (200, 2, 10.0, 10.0, Worth::Same),
        (200, 3, 10.0, 10.0, Worth::Worse),
        (30, 30, 10.0, 10.0, Worth::Worse),
        (29, 29, 10.0, 10.0, Worth::Unmeasured),
    ] {
        let judged = compare(&RolloutSettings::default(), &sides(n, fail, stable, candidate));
        assert_eq!(judged.worth, worth, "{n} {fail} {stable} {candidate}: {judged:#?}");
        assert_eq!(judged.because.is_empty(), worth == Worth::Same, "{judged:#?}");
    }
}

#[test]
fn a_crash_is_worse_at_once_and_one_of_the_other_side_makes_nothing_measured() {
    let crashed = |stable, candidate, n| {
        let mut sides = sides(n, 0, 10.0, 10.0);
        (sides.stable.crashes, sides.candidate.crashes) = (stable, candidate);
        judged(&sides)
    };
    assert_eq!(crashed(0, 1, 0), Worth::Worse, "a crash was waited out");
    assert_eq!(crashed(9, 1, 30), Worth::Worse, "that the other crashes too excuses nobody");
    assert_eq!(crashed(1, 0, 30), Worth::Better);
    assert_eq!(crashed(1, 0, 29), Worth::Unmeasured);
    let erred = |stable, candidate| {
        let mut sides = sides(30, 0, 10.0, 10.0);
        (sides.stable.errors, sides.candidate.errors) = (stable, candidate);
        judged(&sides)
    };
    assert_eq!(
        [erred(0, 1), erred(0, 2), erred(2, 0), erred(5, 6)],
        [Worth::Same, Worth::Worse, Worth::Better, Worth::Same]
    );
}

#[test]
fn a_few_slow_answers_are_the_p95_and_one_is_not() {
    let slow = |how_many: usize| {
        let mut sides = sides(30, 0, 10.0, 10.0);
        for look in sides.candidate.looks.get_mut("up").expect("looks").iter_mut().take(how_many) {
            look.took_ms = 500.0;
        }
        judged(&sides)
    };
    assert_eq!([slow(0), slow(1), slow(2)], [Worth::Same, Worth::Same, Worth::Worse]);
}

#[test]
fn memory_speaks_only_against_it() {
    let weighed = |stable: f64, candidate: f64, rises: f64, minutes: i64| {
        let mut sides = sides(30, 0, 10.0, 10.0);
        for minute in 0..minutes {
            let at = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
            let more = rises * minute as f64 / 60.0;
            sides.weighed(at, stable * MIB, (candidate + more) * MIB);
        }
        judged(&sides)
    };
    assert_eq!(weighed(100.0, 100.0, 0.0, 5), Worth::Same);
    assert_eq!(weighed(100.0, 20.0, 0.0, 5), Worth::Same, "who has just begun uses little");
    assert_eq!(weighed(100.0, 160.0, 0.0, 5), Worth::Same, "60 % and 60 MiB");
    assert_eq!(weighed(100.0, 170.0, 0.0, 5), Worth::Worse);
    assert_eq!(weighed(1000.0, 1400.0, 0.0, 5), Worth::Same, "40 %");
    assert_eq!(weighed(1000.0, 1000.0, 60.0, 40), Worth::Worse, "it leaks");
    assert_eq!(weighed(1000.0, 1000.0, 60.0, 29), Worth::Same, "too few to say");
    assert_eq!(weighed(1000.0, 1000.0, 10.0, 40), Worth::Same);
}

#[test]
fn each_probe_is_judged_by_itself() {
    let mut sides = sides(30, 0, 10.0, 10.0);
    sides.looked("deep", Look { ok: true, took_ms: 1.0 }, Look { ok: true, took_ms: 1.0 });
    let judged = compare(&RolloutSettings::default(), &sides);
    assert_eq!(judged.worth, Worth::Unmeasured);
    assert!(judged.because.iter().all(|why| why.contains("probe deep") && why.contains("1 of 30")));
}

proptest! {
    #[test]
    fn whatever_was_seen_has_a_verdict_and_never_a_good_one_of_too_little(
        looks in proptest::collection::vec((any::<bool>(), 0.0_f64..1e6, any::<bool>(), 0.0_f64..1e6), 0..60),
        crashes in 0_u32..3,
    ) {
        let mut sides = Sides::default();
        for (ok, took_ms, candidate_ok, candidate_ms) in &looks {
            let (stable, candidate) =
                (Look { ok: *ok, took_ms: *took_ms }, Look { ok: *candidate_ok, took_ms: *candidate_ms });
            sides.looked("up", stable, candidate);
        }
        sides.candidate.crashes = crashes;
        let judged = compare(&RolloutSettings::default(), &sides);
        let good = matches!(judged.worth, Worth::Same | Worth::Better);
        prop_assert!(!good || (looks.len() >= 30 && crashes == 0));
        prop_assert!(crashes == 0 || judged.worth == Worth::Worse);
    }
}
