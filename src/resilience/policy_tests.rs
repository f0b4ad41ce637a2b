//! Calls under a policy, in time that is turned by hand.
use super::*;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Down(Failing);

const TRANSIENT: Down = Down(Failing::Transient { after: None });

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is down")
    }
}

impl Failure for Down {
    fn failing(&self) -> Failing {
        self.0
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn terms() -> Terms {
    Terms {
        attempts: 3,
        backoff: Backoff { jitter: 0.0, ..Backoff::doubling(secs(1), secs(30)) },
        timeout: secs(30),
        deadline: secs(120),
        retry_budget: 0.2,
        breaker: BreakerRules {
            failures: 5,
            rate: None,
            window: secs(60),
            minimum: 10,
            open_for: secs(30),
            probes: 1,
        },
        concurrency: 2,
        queue: 0,
        rate: None,
    }
}

fn policy(terms: Terms) -> Policy {
    Policy::new("db", terms, Clock::system())
}

/// Fails so many times, and then answers 7. Returns how it ended, how often it was called and how long that took.
async fn asked(
    policy: &Policy,
    within: Duration,
    failures: u32,
    how: Down,
) -> (Result<Served<u32, Down>, Unserved<Down>>, u32, Duration) {
    let (began, calls) = (Instant::now(), AtomicU32::new(0));
    let attempt = |_| {
        let nth = calls.fetch_add(1, Ordering::SeqCst);
        async move { if nth < failures { Err(how) } else { Ok(7) } }
    };
    let ended = policy.call(Deadline::within(within), attempt).await;
    (ended, calls.into_inner(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_as_often_and_as_late_as_the_terms_say() {
    let (ended, calls, took) = asked(&policy(terms()), secs(100), 2, TRANSIENT).await;
    assert_eq!(ended.map(|served| (served.value, served.before.len())), Ok((7, 2)));
    assert_eq!((calls, took), (3, secs(1 + 2)));
    let (ended, calls, _) = asked(&policy(terms()), secs(100), 9, TRANSIENT).await;
    assert_eq!(ended.map_err(|unserved| unserved.stopped), Err(Stopped::Exhausted));
    assert_eq!(calls, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_tried_again_is_not() {
    for (how, stopped) in
        [(Failing::Lasting, Stopped::Lasting), (Failing::CallersMistake, Stopped::CallersMistake)]
    {
        let (ended, calls, took) = asked(&policy(terms()), secs(100), 9, Down(how)).await;
        assert_eq!((ended.map_err(|u| u.stopped), calls, took), (Err(stopped), 1, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_when_to_come_again_is_asked_then_and_the_deadline_holds_all_the_same() {
    let later = |seconds| Down(Failing::Transient { after: Some(secs(seconds)) });
    let (ended, calls, took) = asked(&policy(terms()), secs(100), 1, later(45)).await;
    assert!(ended.is_ok());
    assert_eq!((calls, took), (2, secs(45)), "above the cap of the backoff: it was asked for");
    let (ended, calls, took) = asked(&policy(terms()), secs(40), 1, later(45)).await;
    assert_eq!((ended.map_err(|u| u.stopped), calls, took), (Err(Stopped::Late), 1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_cut_and_counts_unless_its_caller_was_in_a_hurry() {
    let slow = Terms { attempts: 9, timeout: secs(10), deadline: secs(25), ..terms() };
    let policy = policy(slow);
    let began = Instant::now();
    let hang = |_| std::future::pending::<Result<u32, Down>>();
    let ended = policy.call(Deadline::far(), hang).await.expect_err("nobody answered");
    assert_eq!((ended.stopped, ended.troubles.len()), (Stopped::Late, 3));
    assert_eq!(began.elapsed(), secs(25), "10 + 1 + 10 + 2, and what was left");
    assert_eq!(policy.breaker().view().streak, 3);
    let hurried = policy.call(Deadline::within(secs(2)), hang).await.expect_err("nobody answered");
    assert_eq!(hurried.last(), Some(&Trouble::TimedOut(secs(2))));
    assert_eq!(policy.breaker().view().streak, 3, "two seconds prove nothing");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_handed_no_more_time_than_there_is() {
    let policy = policy(Terms { attempts: 2, timeout: secs(8), deadline: secs(10), ..terms() });
    let mut left = Vec::new();
    let ended = policy
        .call(Deadline::far(), |deadline: Deadline| {
            left.push(deadline.left());
            async move {
                tokio::time::sleep(secs(6)).await;
                Err::<(), _>(TRANSIENT)
            }
        })
        .await;
    assert!(ended.is_err());
    assert_eq!(left, [secs(8), secs(3)], "10 less 6 of the first and 1 between");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_without_a_call_and_lets_one_through_when_its_time_is_up() {
    let policy = policy(Terms { attempts: 1, ..terms() });
    for _ in 0..5 {
        assert!(asked(&policy, secs(9), 9, TRANSIENT).await.0.is_err());
    }
    let (ended, calls, _) = asked(&policy, secs(9), 0, TRANSIENT).await;
    assert!(matches!(ended.map_err(|u| u.stopped), Err(Stopped::Open(_))));
    assert_eq!(calls, 0);
    assert_eq!(policy.breaker().view().why.as_deref(), Some("it is down"));
    tokio::time::advance(secs(30)).await;
    assert!(asked(&policy, secs(9), 0, TRANSIENT).await.0.is_ok());
    assert_eq!(policy.breaker().view().phase, Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_panics_or_is_given_up_gives_its_turn_back() {
    let policy = policy(Terms { attempts: 1, ..terms() });
    for _ in 0..5 {
        assert!(asked(&policy, secs(9), 9, TRANSIENT).await.0.is_err());
    }
    tokio::time::advance(secs(30)).await;
    let trial = policy.clone();
    let panicked = tokio::spawn(async move {
        let panics = async { panic!("on purpose") };
        trial.once::<(), Down, _>(Deadline::far(), panics).await
    });
    assert!(panicked.await.is_err());
    let given_up = policy.once(Deadline::far(), std::future::pending::<Result<(), Down>>());
    assert!(tokio::time::timeout(secs(1), given_up).await.is_err());
    assert_eq!(policy.breaker().view().phase, Phase::HalfOpen);
    assert_eq!(policy.held(), (0, 0), "a place was kept");
    assert!(asked(&policy, secs(9), 0, TRANSIENT).await.0.is_ok(), "the one trial was lost");
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_storm_stay_within_their_budget() {
    let storm =
        Terms { concurrency: 500, breaker: BreakerRules { failures: 10_000, ..terms().breaker }, ..terms() };
    let (policy, calls) = (policy(storm), Arc::new(AtomicU32::new(0)));
    let failing = (0..200).map(|_| {
        let (policy, calls) = (policy.clone(), Arc::clone(&calls));
        tokio::spawn(async move {
            let attempt = |_| {
                calls.fetch_add(1, Ordering::SeqCst);
                async { Err::<(), _>(TRANSIENT) }
            };
            policy.call(Deadline::far(), attempt).await.map(drop).map_err(|unserved| unserved.stopped)
        })
    });
    let mut refused = 0;
    for ended in failing.collect::<Vec<_>>() {
        refused += u32::from(ended.await.expect("no panic") == Err(Stopped::Budget));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 200 + 40);
    assert!(refused > 0);
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_is_marked_and_stands_in_for_no_mistake() {
    let policy = policy(Terms { attempts: 1, ..terms() });
    let with = async |how| {
        let attempt = |_| async move { Err::<u32, _>(Down(how)) };
        policy.call_or(Deadline::far(), attempt, |_| async { Some(42) }).await
    };
    let served = with(Failing::Transient { after: None }).await.expect("something stands in");
    assert_eq!((served.value, served.instead), (42, Some(Stopped::Exhausted)));
    for how in [Failing::CallersMistake, Failing::Lasting] {
        assert!(with(how).await.is_err(), "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_attempts_back_and_refuses_what_would_come_too_late() {
    let policy = policy(Terms { rate: Some(2), ..terms() });
    let began = Instant::now();
    for _ in 0..6 {
        assert!(asked(&policy, secs(9), 0, TRANSIENT).await.0.is_ok());
    }
    assert!(began.elapsed() >= secs(2), "a burst of two, and two a second: {:?}", began.elapsed());
    let ended = asked(&policy, Duration::from_millis(100), 0, TRANSIENT).await.0;
    assert_eq!(ended.map_err(|u| u.stopped), Err(Stopped::TooFast));
}

#[tokio::test(start_paused = true)]
async fn new_terms_and_a_restart_leave_the_breaker_as_it_stood() {
    let policies = Policies::new(Clock::anchored(jiff::Timestamp::UNIX_EPOCH));
    let wanted = |terms| BTreeMap::from([(Arc::from("db"), terms)]);
    policies.apply(wanted(terms()));
    let mut changes = policies.changes();
    changes.mark_unchanged();
    let policy = policies.get("db").expect("it is there");
    policy
        .breaker()
        .trip(Tripped { by: "user:0".into(), reason: "maintenance".into() }, jiff::Timestamp::UNIX_EPOCH);
    assert!(changes.has_changed().expect("it lives"));
    policies.apply(wanted(Terms { attempts: 9, ..terms() }));
    assert_eq!((policy.terms().attempts, policy.breaker().view().phase), (9, Phase::Open));
    // Taken out of the file and put back.
    policies.apply(BTreeMap::new());
    assert!(policies.get("db").is_none());
    policies.apply(wanted(terms()));
    let again = policies.get("db").expect("it is back").breaker().clone();
    assert_eq!(again.view().tripped.map(|tripped| tripped.reason).as_deref(), Some("maintenance"));
    again.reset(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(again.view().phase, Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_open_after_a_restart_for_what_is_left_of_its_time() {
    let clock = Clock::anchored(jiff::Timestamp::from_second(1_000_000).expect("a time"));
    tokio::time::advance(secs(1000)).await;
    let opened_at = |ago: i64| {
        let kept = BreakerKept {
            phase: Phase::Open,
            since: clock.now() - jiff::SignedDuration::from_secs(ago.max(500)),
            opened_at: clock.now() - jiff::SignedDuration::from_secs(ago),
            why: Some("it was down".into()),
            tripped: None,
            opened: 4,
        };
        let policies = Policies::new(clock.clone());
        policies.remember("db", kept);
        policies.apply(BTreeMap::from([(Arc::from("db"), terms())]));
        policies.get("db").expect("it is there").breaker().view()
    };
    let view = opened_at(10);
    assert_eq!((view.phase, view.again_in, view.opened), (Phase::Open, Some(secs(20)), 4));
    assert_eq!(view.why.as_deref(), Some("it was down"));
    assert_eq!(opened_at(100).again_in, None, "its time was up while nobody ran");
    assert_eq!(opened_at(-100).again_in, Some(secs(30)), "a wall clock set back");
}
