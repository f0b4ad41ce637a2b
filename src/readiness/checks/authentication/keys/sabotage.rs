//! The checks of keys and sessions, seen to pass over a sound desk and to object to each that lacks something.
use super::{
    agents,
    desk::{Desk, Flaw},
    inventory, sessions, shown, stored,
};
use crate::{
    config::KeySettings,
    domain::{ApiKey, Clients, Fault, Period, Principal, Role},
    readiness::{
        Found, Ground, Serve,
        check::settle,
        checks::{Saboteur, Tried, tried},
    },
};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeSet, sync::Arc};

pub const SABOTEURS: &[Saboteur] = &[
    Saboteur {
        of: "AU-001",
        at_work: || {
            let broken = [
                ("a router that takes anything", Flaw::TakesAnything),
                ("a router that takes nothing", Flaw::TakesNothing),
                ("a key that is known by its id alone", Flaw::ByIdAlone),
                ("a comparison that leaves the last character out", Flaw::ForgivesTheLast),
                ("a refusal that says what is wrong", Flaw::Talkative),
                ("refusals that leave no row", Flaw::Silent),
                ("a trail that repeats what was shown", Flaw::KeepsWhatWasShown),
                ("a daemon that forgets its keys when it restarts", Flaw::ForgetsAtRestart),
            ];
            at_desks(|ground, serve| shown::wrong_ones(ground, serve).boxed(), &broken)
        },
    },
    Saboteur {
        of: "AU-002",
        at_work: || {
            let broken = [
                ("a clock that stands still", Flaw::StoppedClock),
                ("a cache that no revocation reaches", Flaw::Remembers),
                ("a revocation that does nothing", Flaw::RevokesNothing),
                ("a rotation without an overlap", Flaw::NoOverlap),
                ("a router that takes anything", Flaw::TakesAnything),
                ("a refusal that says what is wrong", Flaw::Talkative),
            ];
            at_desks(|ground, serve| shown::ended(ground, serve).boxed(), &broken)
        },
    },
    Saboteur {
        of: "AU-003",
        at_work: || {
            let broken = [
                ("a clock that stands still", Flaw::StoppedClock),
                ("a cache that no end reaches", Flaw::Remembers),
                ("a revocation that does nothing", Flaw::RevokesNothing),
                ("sessions without number", Flaw::NoCap),
                ("sessions that open sessions", Flaw::SessionsBreed),
                ("a daemon that forgets sessions when it restarts", Flaw::ForgetsAtRestart),
            ];
            at_desks(|ground, serve| sessions::ended(ground, serve).boxed(), &broken)
        },
    },
    Saboteur {
        of: "AU-004",
        at_work: || {
            let broken = [
                ("a key that is written down where it is made", Flaw::KeepsWhatItMakes),
                ("a trail that repeats what was shown", Flaw::KeepsWhatWasShown),
            ];
            at_desks(|ground, serve| stored::searched(ground, serve).boxed(), &broken)
        },
    },
    Saboteur {
        of: "AU-005",
        at_work: || {
            let broken = [
                ("a key that makes an agent what it says", Flaw::AgentsAsTheySay),
                ("a router that does not look at the key", Flaw::TakesAnything),
                ("a router that takes no key", Flaw::TakesNothing),
                ("a route that lets anybody make keys", Flaw::AnyoneMakesKeys),
                ("an agent that reports for any", Flaw::ReportsForAny),
            ];
            at_desks(|ground, serve| agents::tried_all(ground, serve).boxed(), &broken)
        },
    },
    Saboteur {
        of: "AU-006",
        at_work: || {
            let hours = SignedDuration::from_hours;
            over_keys(
                |keys| inventory::fresh(keys, &settings(), now()),
                [
                    ("a key that is too old", ApiKey { created_at: now() - hours(24 * 11), ..sound() }),
                    (
                        "a key that nobody used for long",
                        ApiKey { last_used_at: Some(now() - hours(49)), ..sound() },
                    ),
                    ("a key that nobody ever used", ApiKey { last_used_at: None, ..sound() }),
                    ("a key that never expires", ApiKey { expires_at: None, ..sound() }),
                ],
            )
        },
    },
    Saboteur {
        of: "AU-007",
        at_work: || {
            over_keys(
                inventory::narrow,
                [
                    ("a key that is admin", ApiKey { role: Role::Admin, ..sound() }),
                    ("a key that is operator", ApiKey { role: Role::Operator, ..sound() }),
                    ("a key that may do all", ApiKey { application_role: Some("system".into()), ..sound() }),
                    ("a key that sees all clients", {
                        ApiKey { clients: Clients::All, application_role: None, ..sound() }
                    }),
                ],
            )
        },
    },
    Saboteur {
        of: "AU-008",
        at_work: || {
            let of = |name: &str| ApiKey { principal: principal(name), role: Role::Agent, ..sound() };
            over_keys(
                |keys| inventory::known(keys, &BTreeSet::from(["orders".to_owned()])),
                [
                    ("a key of service:test", of("service:test")),
                    ("a key of an agent that is gone", of("agent:billing")),
                    ("a fourth key of one principal", sound()),
                ],
            )
        },
    },
];

type Exercise = for<'a> fn(&'a Ground, &'a Arc<dyn Serve>) -> BoxFuture<'a, Result<Found, Fault>>;

fn at_desks(exercise: Exercise, broken: &[(&'static str, Flaw)]) -> BoxFuture<'static, Tried> {
    let broken: Vec<_> = broken.iter().map(|(what, flaw)| (*what, (exercise, Desk::with(*flaw)))).collect();
    tried(at_desk, (exercise, Desk::with(Flaw::None)), broken).boxed()
}

async fn at_desk(ground: &Ground, (exercise, serve): (Exercise, Arc<dyn Serve>)) -> Found {
    settle(exercise(ground, &serve).await)
}

/// Three sound keys of one principal and one of an agent; then each of the broken beside them.
fn over_keys<const N: usize>(
    judge: impl Fn(&[ApiKey]) -> Found + Send + 'static,
    broken: [(&'static str, ApiKey); N],
) -> BoxFuture<'static, Tried> {
    let agents = ApiKey { principal: principal("agent:orders"), role: Role::Agent, ..sound() };
    let well = vec![sound(), sound(), sound(), agents];
    let with = |(what, key): (&'static str, ApiKey)| (what, judge(&[well.clone(), vec![key]].concat()));
    let tried = Tried { sound: vec![judge(&well)], broken: broken.into_iter().map(with).collect() };
    async { tried }.boxed()
}

fn settings() -> KeySettings {
    KeySettings { max_age: Period::secs(10 * 86400), unused_after: Period::secs(2 * 86400) }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn principal(text: &str) -> Principal {
    text.parse().expect("a principal")
}

fn sound() -> ApiKey {
    ApiKey {
        id: "0".repeat(12),
        principal: principal("service:billing"),
        role: Role::Service,
        application_role: Some("support".into()),
        clients: Clients::None,
        networks: Vec::new(),
        created_at: now() - SignedDuration::from_hours(72),
        created_by: Principal::user(0),
        expires_at: Some(now() + SignedDuration::from_hours(24)),
        last_used_at: Some(now() - SignedDuration::from_hours(1)),
        revoked_at: None,
        replaced_by: None,
    }
}
