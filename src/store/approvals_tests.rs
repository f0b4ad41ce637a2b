use super::*;
use crate::{
    config::RetentionSettings,
    domain::{ApprovalState, AuditOutcome, Caller, Identity, Period, Role},
    store::scratch::Scratch,
};
use jiff::SignedDuration;
use serde_json::json;

fn act(action: &'static str) -> Act {
    Act::new(&Caller::by_socket(Identity { uid: 1, gid: 1, pid: None }, Role::Admin, None), action, "")
}

fn asking(what: &str, by: u32) -> Asking {
    Asking {
        action: Action {
            action: "waivers/add".into(),
            object: String::new(),
            request: json!({ "what": what }),
        },
        digest: format!("{what:0>64}"),
        by: Principal::user(by),
        uid: by,
        expires_at: Timestamp::now() + SignedDuration::from_hours(1),
    }
}

fn word_of(step: ApprovalStep) -> Decision {
    Decision { step, by: Principal::user(2), uid: 2, reason: String::new(), expires_at: None }
}

async fn used(store: &Store, what: &str, by: u32) -> Option<u64> {
    let asking = asking(what, by);
    let used = store.use_approval(act("approvals/use"), asking.digest, asking.by, asking.uid).await;
    used.expect("looked for").map(|approval| approval.id)
}

#[tokio::test]
async fn what_was_given_is_used_once_by_who_asked_for_what_was_asked_even_after_a_kill() {
    let store = Scratch::new();
    let asked = store.ask_approval(act("approvals/ask"), asking("a", 1)).await.expect("asked");
    let again = store.ask_approval(act("approvals/ask"), asking("a", 1)).await.expect("asked");
    assert_eq!((asked.id, asked.state, &asked), (1, ApprovalState::Pending, &again), "asked twice");
    assert_eq!(used(&store, "a", 1).await, None, "used before it was given");
    let given = store.decide_approval(act("approvals/give"), 1, word_of(ApprovalStep::Give)).await;
    assert_eq!(given.expect("given").map(|given| given.state), Some(ApprovalState::Given));
    // As a kill leaves it: the file and its log as they are, with no goodbye.
    let other = tempfile::tempdir().expect("a directory");
    for name in ["agentd.db", "agentd.db-wal"] {
        std::fs::copy(store.home.path().join(name), other.path().join(name)).expect("copied");
    }
    let settings = crate::config::StoreSettings::default();
    let clock = crate::resilience::Clock::system();
    let store = Store::open(&other.path().join("agentd.db"), other.path(), &settings, clock).expect("opens");
    assert_eq!(used(&store, "b", 1).await, None, "another action");
    assert_eq!(used(&store, "a", 3).await, None, "another asker");
    assert_eq!(used(&store, "a", 1).await, Some(1));
    assert_eq!(used(&store, "a", 1).await, None, "used twice");
    let rows = store.audit_events(0, 9).await.expect("read");
    let told: Vec<_> = rows.iter().map(|row| (row.action.as_str(), row.object.as_str())).collect();
    assert_eq!(
        told,
        [("approvals/ask", "approval/1"), ("approvals/give", "approval/1"), ("approvals/use", "approval/1")]
    );
    assert!(rows.iter().all(|row| row.outcome == AuditOutcome::Done));
}

#[tokio::test]
async fn of_many_who_use_one_at_once_one_does() {
    let store = Scratch::new();
    store.ask_approval(act("approvals/ask"), asking("a", 1)).await.expect("asked");
    store.decide_approval(act("approvals/give"), 1, word_of(ApprovalStep::Give)).await.expect("given");
    let uses: Vec<_> = (0..32)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move { used(&store, "a", 1).await.is_some() })
        })
        .collect();
    let mut through = 0;
    for one in uses {
        through += usize::from(one.await.expect("no panic"));
    }
    assert_eq!(through, 1);
}

#[tokio::test]
async fn what_has_ended_is_not_given_and_a_denial_stands_until_it_lapses() {
    let store = Scratch::new();
    for (what, step) in [("a", ApprovalStep::Deny), ("b", ApprovalStep::Withdraw)] {
        let asked = store.ask_approval(act("approvals/ask"), asking(what, 1)).await.expect("asked");
        store.decide_approval(act("approvals/end"), asked.id, word_of(step)).await.expect("ended");
        let late = store.decide_approval(act("approvals/give"), asked.id, word_of(ApprovalStep::Give)).await;
        assert_eq!(late.map_err(|error| error.kind), Err(StoreErrorKind::Conflict), "{what}");
    }
    let again = |what: &'static str| store.ask_approval(act("approvals/ask"), asking(what, 1));
    assert_eq!(again("a").await.expect("answered").state, ApprovalState::Denied);
    assert_eq!(again("b").await.expect("asked anew").id, 3);
    let late = Asking { expires_at: Timestamp::now() + SignedDuration::from_millis(30), ..asking("c", 1) };
    let lapses = store.ask_approval(act("approvals/ask"), late).await.expect("asked");
    while lapses.state_at(Timestamp::now()) != ApprovalState::Expired {
        tokio::task::yield_now().await;
    }
    let given = store.decide_approval(act("approvals/give"), lapses.id, word_of(ApprovalStep::Give)).await;
    assert_eq!(given.map_err(|error| error.kind), Err(StoreErrorKind::Conflict), "given too late");
    assert_eq!(store.approvals(false).await.expect("read").len(), 1, "it is shown as open");
    assert_ne!(again("c").await.expect("asked anew").id, lapses.id);
    assert_eq!(store.approvals(true).await.expect("read").len(), 5);
    assert!(
        store.decide_approval(act("x"), 99, word_of(ApprovalStep::Give)).await.expect("looked").is_none()
    );
    assert!(store.approval(u64::MAX).await.expect("looked").is_none());
}

#[tokio::test]
async fn one_that_is_long_past_goes_and_one_that_can_still_be_used_stays() {
    let store = Scratch::new();
    let soon = Asking { expires_at: Timestamp::now() + SignedDuration::from_millis(1), ..asking("a", 1) };
    let soon = store.ask_approval(act("approvals/ask"), soon).await.expect("asked");
    let open = store.ask_approval(act("approvals/ask"), asking("b", 1)).await.expect("asked");
    while soon.state_at(Timestamp::now()) != ApprovalState::Expired {
        tokio::task::yield_now().await;
    }
    let keep = |approvals| RetentionSettings { approvals, ..RetentionSettings::default() };
    assert_eq!(store.prune(keep(Period::secs(60))).await.expect("pruned"), 0);
    assert_eq!(store.prune(keep(Period::default())).await.expect("pruned"), 1);
    assert_eq!(store.approvals(true).await.expect("read"), [open]);
    let next = store.ask_approval(act("approvals/ask"), asking("a", 1)).await.expect("asked");
    assert_eq!(next.id, 3, "a number was given twice");
}

#[tokio::test]
async fn one_asker_cannot_ask_for_more_than_somebody_can_read() {
    let store = Scratch::new();
    for number in 0..MOST_OPEN_EACH {
        store.ask_approval(act("approvals/ask"), asking(&format!("{number}"), 1)).await.expect("asked");
    }
    let more = store.ask_approval(act("approvals/ask"), asking("more", 1)).await;
    assert_eq!(more.map_err(|error| error.kind).err(), Some(StoreErrorKind::Busy));
    assert!(store.ask_approval(act("approvals/ask"), asking("more", 2)).await.is_ok(), "another asker");
    assert!(store.ask_approval(act("approvals/ask"), asking("0", 1)).await.is_ok(), "what is asked already");
}
