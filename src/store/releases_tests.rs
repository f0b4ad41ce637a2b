//! What is kept of releases: word for word, each number once, and no state that the table of moves does not know.
use super::*;
use crate::{
    domain::{Migration, Revision},
    store::scratch::{Scratch, act},
};

fn release(id: u32) -> Release {
    Release {
        key: String::new(),
        schema_version: 1,
        id: ReleaseId(id),
        at: Timestamp::from_second(1_700_000_000).expect("a time"),
        by: Principal::user(7),
        note: "the first".into(),
        environment: "staging".into(),
        content: Digest([3; 32]),
        config: None,
        revision: Revision::Unknown("git is not installed".into()),
        agents: Vec::new(),
        migration: Migration::default(),
        agentd_version: "0.1.0".into(),
        database_version: Store::schema_version(),
        readiness: None,
        backup: None,
        warnings: Vec::new(),
    }
}

async fn with(count: u32) -> Scratch {
    let store = Scratch::new();
    for id in 1..=count {
        store.add_release(act(), release(id), Digest([4; 32]), String::new()).await.expect("added");
    }
    store
}

async fn bring(store: &Store, id: u32, to: ReleaseState) -> Result<()> {
    store.move_release(act(), ReleaseId(id), to, Principal::user(7), "because".into()).await
}

#[tokio::test]
async fn a_release_is_kept_word_for_word_and_a_number_is_never_given_twice() {
    let store = with(2).await;
    let kept = store.release(ReleaseId(1)).await.expect("read").expect("kept");
    assert_eq!(
        (&kept.release, kept.state, kept.record),
        (&release(1), ReleaseState::Candidate, Digest([4; 32]))
    );
    let again = store.add_release(act(), release(1), Digest([4; 32]), String::new()).await;
    assert_eq!(again.expect_err("taken").kind, StoreErrorKind::Conflict);
    assert!(store.delete_release(act(), ReleaseId(2), String::new()).await.expect("deleted"));
    assert!(!store.delete_release(act(), ReleaseId(2), String::new()).await.expect("asked"));
    assert_eq!(store.next_release().await.expect("read"), ReleaseId(3));
    assert_eq!(store.release(ReleaseId(2)).await.expect("read"), None);
}

#[tokio::test]
async fn one_is_stable_and_whoever_was_makes_room_in_the_same_moment() {
    use ReleaseState::{Candidate, OnTrial, Reverted, Stable, Superseded};
    let store = with(3).await;
    for (id, to) in [(1, Stable), (2, OnTrial), (2, Stable), (2, Stable), (3, OnTrial)] {
        bring(&store, id, to).await.expect("moved");
    }
    let states = || async {
        let all = store.releases().await.expect("read");
        all.iter().map(|known| (known.release.id.0, known.state)).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [(3, OnTrial), (2, Stable), (1, Superseded)]);
    for (id, to) in [(1, Candidate), (2, Candidate), (9, Stable)] {
        let fault = bring(&store, id, to).await.expect_err("moved");
        assert_eq!(fault.kind, StoreErrorKind::Conflict, "{fault}");
    }
    let held = store.delete_release(act(), ReleaseId(2), String::new()).await.expect_err("deleted");
    assert!(held.message.contains("it is stable"), "{held}");
    bring(&store, 3, Reverted).await.expect("moved");
    let one = store.release(ReleaseId(1)).await.expect("read").expect("kept");
    let steps: Vec<_> = one.moves.iter().map(|step| (step.from, step.to, step.why.as_str())).collect();
    assert_eq!(
        steps,
        [
            (None, Candidate, ""),
            (Some(Candidate), Stable, "because"),
            (Some(Stable), Superseded, "r-2 became stable")
        ]
    );
    assert!(one.stable_since().is_some());
}
