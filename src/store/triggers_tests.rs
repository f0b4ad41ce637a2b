use super::*;
use crate::store::scratch::{Scratch, act};
use jiff::SignedDuration;

fn by() -> Principal {
    "user:1000".parse().expect("a principal")
}

fn fired(trigger: &str, action: TriggerAction, state: FiringState) -> TriggerFiring {
    TriggerFiring {
        id: 0,
        trigger: trigger.into(),
        at: Timestamp::now(),
        action,
        state,
        release: "r-2".parse().ok(),
        value: Some(3.5),
        told: "last of agent_memory_bytes is 3.5 B, above 2 B".into(),
        operation: None,
        ended_at: None,
        ended_by: None,
        why: String::new(),
    }
}

fn end(state: FiringState) -> FiringEnd {
    FiringEnd { state, operation: "op-3".parse().ok(), by: by(), why: "so".into() }
}

fn hold(trigger: Option<&str>, minutes: i64) -> TriggerHold {
    let at = Timestamp::now();
    TriggerHold {
        id: 0,
        trigger: trigger.map(str::to_owned),
        reason: "a drill".into(),
        by: by(),
        at,
        expires_at: at + SignedDuration::from_mins(minutes),
        released_at: None,
        released_by: None,
    }
}

#[tokio::test]
async fn a_firing_is_there_after_a_restart_told_and_audited_and_moves_by_the_table() {
    use {FiringState as S, TriggerAction as A};
    let store = Scratch::new();
    let one = store.add_firing(act(), fired("memory", A::Revert, S::Intended)).await.expect("kept");
    let two = store.add_firing(act(), fired("errors", A::Revert, S::Intended)).await;
    assert!(two.is_err(), "two rollbacks at a time");
    assert!(store.move_firing(act(), one.id, end(S::Reverted)).await.is_err(), "it was never begun");
    let reverting = store.move_firing(act(), one.id, end(S::Reverting)).await.expect("moved");
    assert_eq!((reverting.operation, reverting.ended_at), ("op-3".parse().ok(), None));
    let stopped = store.move_firing(act(), one.id, end(S::Stopped)).await.expect("moved");
    assert!(stopped.ended_at.is_some() && stopped.ended_by == Some(by()), "{stopped:?}");
    assert!(store.move_firing(act(), one.id, end(S::Reverting)).await.is_err(), "it moved out of its end");
    let told = store.add_firing(act(), fired("errors", A::Observe, S::Told)).await.expect("kept");
    let store = store.reopen().await;
    assert_eq!(store.firings(9).await.expect("read"), [told.clone(), stopped.clone()]);
    assert_eq!(store.standing_firings().await.expect("read"), [stopped, told]);
    let kinds: Vec<EventKind> =
        store.events(0, 9).await.expect("read").iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::TriggerFired, EventKind::TriggerStopped, EventKind::TriggerFired]);
    assert_eq!(store.reset_trigger(act(), "errors".into(), by()).await.expect("asked"), []);
    assert_eq!(store.reset_trigger(act(), "memory".into(), by()).await.expect("asked").len(), 1);
    assert_eq!(store.reset_trigger(act(), "memory".into(), by()).await.expect("asked"), [], "twice");
}

#[tokio::test]
async fn a_pause_stands_until_somebody_resumes_and_resumes_all() {
    use {FiringState as S, TriggerAction as A};
    let store = Scratch::new();
    for trigger in ["memory", "errors", "errors"] {
        store.add_firing(act(), fired(trigger, A::Pause, S::Paused)).await.expect("kept");
    }
    assert_eq!(store.standing_firings().await.expect("read").len(), 3, "each still pauses");
    assert_eq!(store.resume_triggers(act(), by()).await.expect("resumed").len(), 3);
    assert_eq!(store.resume_triggers(act(), by()).await.expect("asked"), []);
    assert_eq!(store.standing_firings().await.expect("read").len(), 2, "the newest of each");
}

#[tokio::test]
async fn holds_are_released_by_whom_they_hold_and_no_other() {
    let store = Scratch::new();
    let lapsed = TriggerHold { at: Timestamp::UNIX_EPOCH, ..hold(None, -1) };
    store.hold_triggers(act(), lapsed).await.expect("kept");
    for wrong in [TriggerHold { reason: " ".into(), ..hold(None, 5) }, hold(None, 0)] {
        assert!(store.hold_triggers(act(), wrong).await.is_err());
    }
    let one = store.hold_triggers(act(), hold(Some("memory"), 5)).await.expect("held");
    let all = store.hold_triggers(act(), hold(None, 5)).await.expect("held");
    assert_eq!(store.trigger_holds().await.expect("read"), [one.clone(), all.clone()]);
    assert_eq!(store.release_holds(act(), Some("errors".into()), by()).await.expect("asked"), []);
    let released = store.release_holds(act(), None, by()).await.expect("released");
    assert_eq!(released.iter().map(|hold| hold.id).collect::<Vec<_>>(), [all.id]);
    assert_eq!(store.trigger_holds().await.expect("read"), [one]);
}
