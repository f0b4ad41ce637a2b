//! Do old rows go, and only they?
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::{RetentionSettings, StoreSettings},
    domain::{Act, Event, EventKind, Fault, Period, ProbeState, ProbeTransition},
    readiness::{Found, Ground, Proof, check::settle},
    store::Store,
};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Beyond what retention says, so that a clock that ticks between changes nothing.
const MARGIN: Duration = Duration::from_secs(3600);
/// Of each age so many rows are written; more validations than this are kept.
const ROWS: usize = 5;
/// Of the validations only so many are kept on scratch.
const REPORTS: u32 = 2;

/// How a store is pruned; a test spoils it.
pub type Pruning = for<'a> fn(&'a Store, RetentionSettings) -> BoxFuture<'a, Result<u64, Fault>>;

pub const BY_STORE: Pruning = |store, retention| async move { Ok(store.prune(retention).await?) }.boxed();

pub async fn pruned(ground: &Ground, retention: &RetentionSettings, prune: Pruning) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let settings = StoreSettings { readers_min: 1, readers_max: 1, ..StoreSettings::default() };
        let store = ground.store(&plot, &settings).await?;
        let found = on(&store, ground.clock().now(), retention, prune).await;
        store.close().await;
        found
    };
    settle(exercise.await)
}

async fn on(
    store: &Store,
    now: Timestamp,
    retention: &RetentionSettings,
    prune: Pruning,
) -> Result<Found, Fault> {
    let retention = RetentionSettings { reports: REPORTS, ..retention.clone() };
    let past = |age: Period| {
        let age = SignedDuration::try_from(age.0.saturating_add(MARGIN)).unwrap_or(SignedDuration::MAX);
        now.checked_sub(age).ok()
    };
    let (Some(old_event), Some(old_change)) = (past(retention.events), past(retention.probe_transitions))
    else {
        return Ok(Found::error("retention reaches further back than time does: nothing would ever go"));
    };
    for _ in 0..ROWS {
        for (at, text) in [(old_event, "old"), (now, "new")] {
            let text = text.to_owned();
            store
                .record_event(Event { seq: 0, at, kind: EventKind::ProbeChanged, instance: None, text })
                .await?;
        }
        for (at, detail) in [(old_change, "old"), (now, "new")] {
            let change = ProbeTransition {
                at,
                target: "scratch".into(),
                probe: "up".into(),
                from: ProbeState::Unknown,
                to: ProbeState::Passing,
                detail: detail.into(),
            };
            store.record_transition(change).await?;
        }
        let act = Act::of_daemon(rustix::process::geteuid().as_raw(), "scratch", "readiness/run");
        store.begin_run(act, "scratch".into(), true).await?;
    }
    // A validation that is under way is never pruned.
    store.interrupt_runs().await?;
    let gone = prune(store, retention.clone()).await?;
    let all = 100;
    let events: Vec<String> = store.events(0, all).await?.into_iter().map(|event| event.text).collect();
    let changes: Vec<String> =
        store.transitions(None, all).await?.into_iter().map(|change| change.detail).collect();
    let runs = store.runs(all).await?.len();
    let mut proof = Proof::default();
    for (what, age, rows) in
        [("events", retention.events, events), ("changes of probes", retention.probe_transitions, changes)]
    {
        let (old, new) = (count(&rows, "old"), count(&rows, "new"));
        proof.holds(
            old == 0 && new == ROWS,
            format!("{what}: of {ROWS} older than {age} and {ROWS} new, {old} and {new} are kept"),
        );
    }
    proof.holds(
        runs == REPORTS as usize,
        format!("validations: of {ROWS}, {runs} are kept, {REPORTS} were asked for"),
    );
    Ok(proof.judge(format!("{gone} rows past their time went, and no other")))
}

fn count(rows: &[String], what: &str) -> usize {
    rows.iter().filter(|row| *row == what).count()
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "DB-010",
    at_work: || {
        async fn exercise(ground: &Ground, prune: Pruning) -> Found {
            pruned(ground, &RetentionSettings::default(), prune).await
        }
        let nothing: Pruning = |_, _| std::future::ready(Ok(0)).boxed();
        let everything: Pruning = |store, retention| {
            let at_once = RetentionSettings {
                events: Period::default(),
                probe_transitions: Period::default(),
                ..retention
            };
            async move { Ok(store.prune(at_once).await?) }.boxed()
        };
        let broken = [("pruning that deletes nothing", nothing), ("pruning that deletes all", everything)];
        tried(exercise, BY_STORE, broken).boxed()
    },
};
