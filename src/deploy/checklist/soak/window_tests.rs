//! When a window begins and is full: by which release, for how long, and how much of it was observed.
use super::*;
use crate::{
    deploy::checklist::soak::fixture::at,
    domain::{Digest, Migration, Principal, Release, ReleaseMove, Revision},
};
use proptest::prelude::*;

fn standing(id: u32, moves: &[(ReleaseState, i64)]) -> ReleaseStanding {
    let by: Principal = "user:0".parse().expect("a principal");
    let release = Release {
        schema_version: 1,
        id: ReleaseId(id),
        at: at(-9000),
        by: by.clone(),
        note: String::new(),
        key: String::new(),
        environment: "dev".into(),
        content: Digest([0; 32]),
        config: None,
        revision: Revision::Unknown("no repository".into()),
        agents: Vec::new(),
        migration: Migration::default(),
        agentd_version: "1".into(),
        database_version: 6,
        readiness: None,
        backup: None,
        warnings: Vec::new(),
    };
    let mut state = ReleaseState::Candidate;
    let mut told =
        vec![ReleaseMove { from: None, to: state, at: at(-9000), by: by.clone(), why: String::new() }];
    for (to, second) in moves {
        told.push(ReleaseMove {
            from: Some(state),
            to: *to,
            at: at(*second),
            by: by.clone(),
            why: String::new(),
        });
        state = *to;
    }
    ReleaseStanding { release, state, record: Digest([0; 32]), moves: told }
}

#[test]
fn a_window_begins_when_its_release_went_on_trial_and_blessing_it_begins_none() {
    use ReleaseState::{OnTrial, Reverted, Stable, Superseded};
    let (old, new) = (
        standing(1, &[(OnTrial, 0), (Stable, 100), (Superseded, 5000)]),
        standing(2, &[(OnTrial, 5000), (Stable, 9000)]),
    );
    let back = standing(3, &[(OnTrial, 10), (Reverted, 20), (OnTrial, 30)]);
    assert_eq!([&old, &new, &back].map(began), [at(0), at(5000), at(30)]);
    assert_eq!(began(&standing(4, &[])), at(-9000), "a candidate: since it was recorded, at the earliest");

    let all = [old, new];
    let of = |named: Option<&str>, since: Option<i64>| {
        beginning(&all, named.map(Into::into), since.map(at), at(20_000))
    };
    for (named, since, want) in [
        (None, None, (at(5000), Some("r-2"))),
        (Some("r-2"), None, (at(5000), Some("r-2"))),
        (Some("r-2"), Some(6000), (at(6000), Some("r-2"))),
        (None, Some(-100), (at(-100), None)),
        (Some("build-7"), Some(-100), (at(-100), Some("build-7"))),
    ] {
        let (begins, release) = of(named, since).expect("a window");
        assert_eq!((begins, release.as_deref()), want, "{named:?} {since:?}");
    }
    for (named, since, kind) in [
        (Some("r-1"), None, FaultKind::Refused),
        (Some("r-1"), Some(100), FaultKind::Refused),
        // What was recorded before it ran says nothing of it.
        (Some("r-2"), Some(4999), FaultKind::Refused),
        (Some("r-9"), None, FaultKind::NotFound),
        (Some("build-7"), None, FaultKind::NotFound),
        (None, Some(20_000), FaultKind::Usage),
    ] {
        let fault = of(named, since).expect_err("refused");
        assert!(fault.kind == kind && fault.hint.is_some(), "{named:?} {since:?}: {fault:?}");
    }
    assert_eq!(beginning(&[], None, None, at(0)).expect_err("nothing runs").kind, FaultKind::NotFound);
}

#[test]
fn the_first_release_has_nothing_before_it() {
    use ReleaseState::{OnTrial, Stable, Superseded};
    let all = [
        standing(1, &[(OnTrial, 0), (Superseded, 50)]),
        standing(2, &[(OnTrial, 50), (Stable, 60)]),
        standing(3, &[]),
    ];
    let before = |of: &str| has_predecessor(&all, Some(of));
    assert_eq!((before("r-1"), before("r-2"), before("r-9")), (false, true, true));
    assert!(!has_predecessor(&all[2..], Some("r-3")), "a candidate beside nothing that ever ran");
}

fn soak(length: i64, observed: f64, ends: i64, now: i64) -> Soak {
    let settings = SoakSettings::default();
    progressed((at(0), at(length), at(ends)), Period::secs(3600), observed, &settings, at(now))
}

#[test]
fn a_window_is_full_when_it_is_long_enough_and_was_observed_enough() {
    for (length, observed, full) in
        [(3600, 0.95, true), (3590, 1.0, false), (3600, 0.949, false), (14_400, 0.95, true), (0, 0.0, false)]
    {
        assert_eq!(soak(length, observed, 14_400, length + 5).is_full(), full, "{length} {observed}");
    }
    assert_eq!(soak(3600, 1.0, 14_400, 3605).again_at, None, "it is full");
    assert_eq!(soak(2220, 1.0, 14_400, 2225).again_at, Some(at(3611)), "23 minutes more, and a look");
    // A tenth was missed of an hour: it takes another hour in which nothing is.
    assert_eq!(soak(3600, 0.9, 14_400, 3605).again_at, Some(at(7211)));
    // Half of two hours was missed: it will never make up for that before the window ends.
    assert_eq!(soak(7200, 0.5, 14_400, 7205).again_at, None);
    assert_eq!(soak(14_400, 0.5, 14_400, 90_000).again_at, None, "it is over");
    let all = SoakSettings { min_observed: 1.0, ..SoakSettings::default() };
    let one_missed = progressed((at(0), at(3600), at(14_400)), Period::secs(3600), 0.99, &all, at(3605));
    assert_eq!(
        (one_missed.is_full(), one_missed.again_at),
        (false, None),
        "all of it is not to be had any more"
    );
}

#[test]
fn only_whole_looks_are_in_a_window() {
    let half = |second: i64| at(second) + SignedDuration::from_millis(500);
    assert_eq!((slot(at(0), 9), slot(half(0), 9), slot(at(1), 9)), (at(0), at(10), at(10)));
    assert_eq!((slot(at(0), 0), slot(half(9), 0), slot(at(10), 0)), (at(0), at(0), at(10)));
}

#[test]
fn a_window_that_is_not_full_is_no_pass_however_well_all_looks() {
    use crate::domain::Outcome;
    for (length, observed, outcome) in
        [(2220, 0.992, Outcome::Skipped), (3600, 0.992, Outcome::Pass), (3600, 0.9, Outcome::Skipped)]
    {
        let found = judge(Phase::Short, &soak(length, observed, 14_400, length + 5));
        assert_eq!(found.outcome, outcome, "{found:?}");
    }
    let found = judge(Phase::Short, &soak(2220, 0.9925, 14_400, 2225));
    assert_eq!(found.summary, "short: 37m of 1h, 99.2% observed; can be asked again at 23:00:11Z");
}

proptest! {
    /// Asked again when it says, with nothing missed between, it is full; and no second before that it would have been,
    /// by more than a look.
    #[test]
    fn when_it_can_be_asked_again_it_is_full(length in 0_i64..14_400, missed in 0.0_f64..1.0) {
        let (length, ends) = (length / 10 * 10, 14_400);
        let first = soak(length, 1.0 - missed, ends, length);
        let Some(again) = first.again_at else { return Ok(()) };
        prop_assert!(!first.is_full() && again <= at(ends));
        let later = again.duration_since(at(0)).as_secs() / 10 * 10;
        let seen = (1.0 - missed) * length as f64 + (later - length) as f64;
        let then = soak(later, (seen / later as f64).min(1.0), ends, later);
        prop_assert!(then.length().as_secs() >= 3600, "{then:?}");
        prop_assert!(then.observed >= then.min_observed - 1e-9, "{then:?}");
    }
}
