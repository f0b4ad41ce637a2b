//! How often the agents of the real fleet were started again in the last hour, by the events that the store has kept.
#[cfg(test)]
use crate::readiness::{
    Ground,
    checks::{Saboteur, tried},
};
use crate::{
    domain::{Event, EventKind, InstanceId},
    readiness::{Evidence, Found, check::settle},
    store::Store,
};
#[cfg(test)]
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// So many restarts of one instance are too many.
const TOO_MANY: u32 = 3;
/// As many events as the store gives at once.
const PAGE: u32 = 10_000;

pub async fn calm(evidence: &Evidence) -> Found {
    recent(&evidence.store, evidence.clock.now()).await
}

async fn recent(store: &Store, now: Timestamp) -> Found {
    let look = async {
        let since = now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let events = store.events(0, PAGE).await?;
        let cut_off = events.len() == PAGE as usize && events.first().is_some_and(|event| event.at > since);
        Ok(judge(&events, since, cut_off))
    };
    settle(look.await)
}

/// `cut_off`: there are more events in the hour than these.
fn judge(events: &[Event], since: Timestamp, cut_off: bool) -> Found {
    let mut ended: BTreeMap<&InstanceId, bool> = BTreeMap::new();
    let mut restarts: BTreeMap<&InstanceId, u32> = BTreeMap::new();
    let mut latched: Vec<&InstanceId> = Vec::new();
    for event in events {
        // A candidate is there to be found wanting.
        let Some(id) = event.instance.as_ref().filter(|id| !id.is_candidate()) else { continue };
        match event.kind {
            EventKind::AgentExited => drop(ended.insert(id, true)),
            // Somebody's wish; what comes after is a start.
            EventKind::AgentStopped => drop(ended.insert(id, false)),
            EventKind::AgentStarted if ended.remove(id) == Some(true) && event.at > since => {
                *restarts.entry(id).or_default() += 1;
            }
            EventKind::AgentCrashLooping if event.at > since => latched.push(id),
            _ => {}
        }
    }
    let most = restarts.values().copied().max().unwrap_or(0);
    let all: u32 = restarts.values().sum();
    let found = if let Some(id) = latched.first() {
        Found::fail(format!("{id} was given up as crash-looping in the last hour"))
    } else if most >= TOO_MANY {
        let who = restarts.iter().find(|(_, count)| **count == most).map(|(id, _)| id.to_string());
        Found::fail(format!("{} was started again {most} times in the last hour", who.unwrap_or_default()))
    } else if cut_off {
        Found::error(format!("more than {PAGE} events in the last hour: not all of them could be read"))
    } else if most > 0 {
        Found::warn(format!("{all} restarts in the last hour, {TOO_MANY} of one instance are too many"))
    } else {
        Found::pass("no agent was started again in the last hour")
    };
    let found = found
        .seen(format!("{} events read, the last hour began at {since} (source: the store)", events.len()));
    let found = restarts.iter().fold(found, |found, (id, count)| {
        found
            .seen(format!("{id}: restarted {count} ×"))
            .about(format!("agent/{id}"), format!("{count} restarts"))
    });
    latched.iter().fold(found, |found, id| found.seen(format!("{id}: crash-looping")))
}

/// A history is a line of kinds, of one instance; the first so many minutes ago.
#[cfg(test)]
async fn after(ground: &Ground, (minutes, kinds): (i64, &[EventKind])) -> Found {
    let plot = ground.plot().expect("a plot");
    let store = ground.store(&plot, &crate::config::StoreSettings::default()).await.expect("a store");
    let now = Timestamp::now();
    for (second, kind) in (0..).zip(kinds) {
        let at = now - SignedDuration::from_mins(minutes) + SignedDuration::from_secs(second);
        let instance = "orders/0".parse().ok();
        let event = Event { seq: 0, at, kind: *kind, instance, text: "seeded".into() };
        store.record_event(event).await.expect("recorded");
    }
    let found = recent(&store, now).await;
    store.close().await;
    found
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AO-008",
    at_work: || {
        use EventKind::{AgentCrashLooping as Latched, AgentExited as Exited, AgentStarted as Started};
        let three: &[EventKind] = &[Started, Exited, Started, Exited, Started, Exited, Started];
        let broken = [
            ("three restarts", (30, three)),
            ("one restart", (30, &three[..3])),
            ("a crash loop", (30, &[Started, Exited, Latched])),
        ];
        // Long ago is not now, and a stop by hand is no crash.
        tried(after, (120, three), broken).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_stop_by_hand_is_no_restart_and_a_history_that_is_cut_off_is_no_pass() {
        use EventKind::{AgentExited, AgentStarted, AgentStopped};
        let event = |kind| Event {
            seq: 0,
            at: Timestamp::now(),
            kind,
            instance: "orders/0".parse().ok(),
            text: String::new(),
        };
        let since = Timestamp::UNIX_EPOCH;
        let by_hand = [AgentStarted, AgentExited, AgentStopped, AgentStarted].map(event);
        assert_eq!(judge(&by_hand, since, false).outcome, Outcome::Pass);
        assert_eq!(judge(&by_hand, since, true).outcome, Outcome::Error);
        let crash = [AgentStarted, AgentExited, AgentStarted].map(event);
        let found = judge(&crash, since, false);
        assert_eq!((found.outcome, found.affected[0].resource.as_str()), (Outcome::Warn, "agent/orders/0"));
    }
}
