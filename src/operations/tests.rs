//! How an operation goes when nothing is cut off: forward, back, called off, refused, kept and pruned.
use super::scene::{Scene, Shared, Way, ana, blueprint, kept};
use crate::domain::{
    ErrorFilter, EventKind, FaultKind, OnFailure, Operation, OperationId, OperationState as O, Principal,
    StepState as S,
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::MetadataExt, time::Duration};
use tokio::time::sleep;

fn states(operation: &Operation) -> Vec<S> {
    operation.steps.iter().map(|step| step.state).collect()
}

#[tokio::test]
async fn steps_run_in_order_with_what_earlier_ones_left_and_all_of_it_is_written() {
    let scene = Scene::new(Shared::default());
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    assert_eq!(id.to_string(), "op-1");
    let end = operations.settled(id).await.expect("it ends");
    assert_eq!((end.state, states(&end), end.by.clone()), (O::Succeeded, vec![S::Done; 3], ana()));
    assert_eq!(scene.world.look().calls, ["op-1/drain", "op-1/switch", "op-1/start"]);
    let left = end.steps[1].left.clone().expect("it left something");
    assert_eq!((&left["to"], &left["before"]["by"]), (&json!("r-3"), &json!("drain")));
    assert_eq!(end.steps[2].note.as_deref(), Some("3 of 3"));
    assert!(!end.over_budget && end.ended_at.is_some());
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!((mode(&scene.dir), mode(&scene.file(id))), (0o700, 0o600));
    let read = scene.journal(id);
    assert!(!read.torn && read.damage.is_none());
    assert_eq!(read.operation.map(kept), Some(kept(end)));
    let events = scene.store.events(0, 99).await.expect("read");
    let events: Vec<_> = events.iter().map(|event| (event.kind, event.text.as_str())).collect();
    assert_eq!(events[0], (EventKind::OperationBegun, "op-1 rollback: Roll back to r-3, by user:1000"));
    assert!(
        events[1].0 == EventKind::OperationEnded && events[1].1.starts_with("op-1 rollback: succeeded after")
    );
    assert_eq!(operations.list(9)[0].ran, 3);
}

#[tokio::test]
async fn a_step_that_fails_is_undone_too_with_nothing_left_and_those_before_it_in_reverse() {
    for (way, why) in [(Way::Fails, "cannot reach it: no route"), (Way::Panics, "it panicked: on purpose")] {
        let scene = Scene::new(Shared::default().with("switch", way));
        let (operations, errors) = scene.assemble(None, &std::sync::Arc::default());
        operations.recover().await.expect("read");
        let id = operations.begin(blueprint(), ana()).await.expect("begun");
        let end = operations.settled(id).await.expect("it ends");
        assert_eq!((end.state, states(&end)), (O::Unwound, vec![S::Undone, S::Undone, S::Waiting]));
        assert!(end.why.as_ref().is_some_and(|reason| reason.message.contains(why)), "{:?}", end.why);
        {
            let world = scene.world.look();
            assert_eq!(world.calls, ["op-1/drain", "op-1/switch", "op-1/switch/undo", "op-1/drain/undo"]);
            assert!(world.present.is_empty() && world.wrong.is_empty(), "{:?}", world.wrong);
            assert_eq!(world.handed["switch"], None);
            assert_eq!(world.handed["drain"].as_ref().map(|left| &left["by"]), Some(&json!("drain")));
        }
        assert!(errors.flush().await);
        let groups = scene
            .store
            .error_groups(
                ErrorFilter { all: true, ..ErrorFilter::default() },
                scene.store.now(),
                errors.rule(),
                9,
            )
            .await
            .expect("read");
        assert_eq!(groups.len(), 1, "a failure is recorded once");
        assert_eq!(groups[0].alike.operation, "operation/rollback");
    }
}

#[tokio::test]
async fn where_it_shall_stop_at_a_failure_nothing_is_undone_and_the_resource_is_free() {
    let scene = Scene::new(Shared::default().with("switch", Way::Fails));
    let operations = scene.engine().await;
    let stop = super::Blueprint { on_failure: OnFailure::Stop, ..blueprint() };
    let id = operations.begin(stop, ana()).await.expect("begun");
    let end = operations.settled(id).await.expect("it ends");
    assert_eq!((end.state, states(&end)), (O::Stopped, vec![S::Done, S::Failed, S::Waiting]));
    assert_eq!(scene.world.look().present.len(), 2);
    // Somebody must be able to put it right.
    assert_eq!(operations.begin(blueprint(), ana()).await.expect("begun"), OperationId(2));
}

#[tokio::test]
async fn an_undo_that_fails_stops_it_and_says_what_was_and_was_not_undone() {
    let scene = Scene::new(Shared::default().with("start", Way::Fails).with("switch", Way::UndoFails));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    let end = operations.settled(id).await.expect("it ends");
    assert_eq!((end.state, states(&end)), (O::Stopped, vec![S::Done, S::UndoFailed, S::Undone]));
    let said = end.why.expect("a reason").message;
    let wanted = "cannot undo `switch`: cannot put it back; undone: start; not undone: drain, switch";
    assert_eq!(said, wanted);
    assert_eq!(scene.world.called("op-1/drain/undo"), 0, "it went on");
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_deadline_has_failed_whether_it_ran_or_was_undone() {
    let scene = Scene::new(Shared::default().with("switch", Way::Hangs).with("drain", Way::UndoHangs));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    let end = operations.settled(id).await.expect("it ends");
    assert_eq!((end.state, states(&end)), (O::Stopped, vec![S::UndoFailed, S::Undone, S::Waiting]));
    let reason =
        |place: usize| end.steps[place].why.clone().or(end.steps[place].undo_why.clone()).expect("a reason");
    assert_eq!(reason(1).message, "cannot run `switch` within 1h");
    assert!(
        reason(0).message.starts_with("cannot undo `drain`: cannot undo `drain` within 1h; undone: switch")
    );
    assert_eq!(reason(1).kind, FaultKind::Timeout);
}

#[tokio::test]
async fn a_second_operation_on_a_resource_is_refused_by_name_until_the_first_has_ended() {
    let scene = Scene::new(Shared::default().with("switch", Way::WaitsForCancel));
    let operations = scene.engine().await;
    let first = operations.begin(blueprint(), ana()).await.expect("begun");
    scene.world.has_called("op-1/switch").await;
    let fault = operations.begin(blueprint(), ana()).await.expect_err("refused");
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert_eq!(fault.message, "cannot begin a rollback: op-1, a rollback, holds the fleet");
    assert!(fault.hint.is_some_and(|hint| hint.contains("operation cancel op-1")));
    let elsewhere =
        super::Blueprint { resource: "backups".into(), steps: vec!["drain".into()], ..blueprint() };
    let other = operations.begin(elsewhere, ana()).await.expect("begun");
    assert_eq!(operations.settled(other).await.expect("it ends").state, O::Succeeded);
    operations.cancel(first, ana()).await.expect("called off");
    operations.settled(first).await.expect("it ends");
    let two = operations.begin(blueprint(), ana()).await.expect("begun");
    // Two at once: one is begun.
    operations.cancel(two, ana()).await.expect("called off");
    operations.settled(two).await.expect("it ends");
    let (one, another) =
        tokio::join!(operations.begin(blueprint(), ana()), operations.begin(blueprint(), ana()));
    assert_eq!(u8::from(one.is_ok()) + u8::from(another.is_ok()), 1, "{one:?} {another:?}");
}

#[tokio::test]
async fn what_is_called_off_ends_its_step_and_is_undone_whether_the_step_gives_up_or_goes_on() {
    for (way, step) in [(Way::WaitsForCancel, false), (Way::WaitsAndGoesOn, true)] {
        let scene = Scene::new(Shared::default().with("switch", way));
        let operations = scene.engine().await;
        let id = operations.begin(blueprint(), ana()).await.expect("begun");
        scene.world.has_called("op-1/switch").await;
        let bob = Principal::user(7);
        let seen = operations.cancel(id, bob.clone()).await.expect("called off");
        assert_eq!(seen.cancel.map(|wish| wish.by), Some(bob));
        let again = operations.cancel(id, ana()).await;
        assert!(again.is_ok() || again.is_err_and(|fault| fault.kind == FaultKind::Conflict));
        let end = operations.settled(id).await.expect("it ends");
        assert_eq!((end.state, states(&end)), (O::Cancelled, vec![S::Undone, S::Undone, S::Waiting]));
        assert_eq!(scene.world.look().handed["switch"].is_some(), step);
        assert_eq!(scene.world.look().wrong, Vec::<String>::new());
        let late = operations.cancel(id, ana()).await.expect_err("refused");
        assert_eq!(
            (late.kind, late.message.as_str()),
            (FaultKind::Conflict, "cannot cancel op-1: it has ended, cancelled")
        );
    }
    let scene = Scene::new(Shared::default());
    let unknown = scene.engine().await.cancel(OperationId(9), ana()).await.expect_err("refused");
    assert_eq!(unknown.kind, FaultKind::NotFound);
}

#[tokio::test]
async fn what_is_unwinding_already_is_not_called_off() {
    let scene = Scene::new(Shared::default().with("start", Way::Fails).with("switch", Way::UndoHangs));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    scene.world.has_called("op-1/switch/undo").await;
    let fault = operations.cancel(id, ana()).await.expect_err("refused");
    assert!(fault.kind == FaultKind::Conflict && fault.message.contains("being undone already"), "{fault}");
    let shown = operations.show(id, 0).await.expect("shown");
    assert_eq!((shown.state, shown.cancel), (O::Unwinding, None));
    operations.shutdown().await;
}

#[tokio::test]
async fn who_follows_is_told_of_every_change_and_is_not_held_at_the_end() {
    let scene = Scene::new(Shared::default().with("switch", Way::WaitsForCancel));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    scene.world.has_called("op-1/switch").await;
    sleep(Duration::from_millis(20)).await;
    let now = operations.show(id, 0).await.expect("shown");
    let next = tokio::spawn({
        let operations = operations.clone();
        async move { operations.show(id, now.cursor).await }
    });
    sleep(Duration::from_millis(50)).await;
    assert!(!next.is_finished(), "it was told of nothing");
    operations.cancel(id, ana()).await.expect("called off");
    assert!(next.await.expect("no panic").expect("shown").cancel.is_some());
    let end = operations.settled(id).await.expect("it ends");
    let again = operations.show(id, end.cursor).await.expect("shown");
    assert_eq!(again.state, O::Cancelled);
}

#[tokio::test]
async fn a_blueprint_that_cannot_be_carried_out_is_refused_and_leaves_nothing() {
    use super::Blueprint as B;
    let scene = Scene::new(Shared::default());
    let operations = scene.engine().await;
    let wrong = [
        B { steps: vec![], ..blueprint() },
        B { steps: vec!["drain".into(), "drain".into()], ..blueprint() },
        B { steps: vec!["gone".into()], ..blueprint() },
        B { resource: String::new(), ..blueprint() },
        B { arguments: "x".repeat(300 << 10).into(), ..blueprint() },
    ];
    for wrong in wrong {
        assert!(operations.begin(wrong, ana()).await.is_err());
    }
    assert_eq!((operations.list(9).len(), fs::read_dir(&scene.dir).expect("read").count()), (0, 0));
    operations.begin(blueprint(), ana()).await.expect("the resource is free");
}

#[tokio::test]
async fn what_a_step_leaves_is_bounded_and_a_step_past_it_is_undone() {
    let scene = Scene::new(Shared::default().with("switch", Way::LeavesTooMuch));
    let operations = scene.engine().await;
    let id = operations.begin(blueprint(), ana()).await.expect("begun");
    let end = operations.settled(id).await.expect("it ends");
    assert_eq!((end.state, states(&end)), (O::Unwound, vec![S::Undone, S::Undone, S::Waiting]));
    assert_eq!(scene.world.look().handed["switch"], None::<Value>);
}

#[tokio::test]
async fn those_that_ended_go_beyond_their_number_and_no_number_is_given_twice() {
    let scene = Scene::new(Shared::default());
    let operations = scene.engine().await;
    for number in 1..=6 {
        let way = if number == 2 { OnFailure::Stop } else { OnFailure::Unwind };
        if number == 2 {
            scene.world.look().ways.insert("switch", Way::Fails);
        }
        scene.world.look().written.clear();
        let id = operations
            .begin(super::Blueprint { on_failure: way, ..blueprint() }, ana())
            .await
            .expect("begun");
        operations.settled(id).await.expect("it ends");
        scene.world.look().ways.clear();
    }
    scene.world.look().ways.insert("switch", Way::WaitsForCancel);
    scene.world.look().written.clear();
    operations.begin(blueprint(), ana()).await.expect("begun");
    let kept = |operations: &super::Operations| {
        operations.list(99).iter().map(|operation| operation.id.0).collect::<Vec<_>>()
    };
    assert_eq!(operations.prune(2).await.expect("pruned"), 3);
    assert_eq!(kept(&operations), [7, 6, 5, 2], "one that stopped and one that is open are kept");
    assert_eq!(operations.prune(0).await.expect("pruned"), 1);
    assert_eq!(kept(&operations), [7, 6, 2], "the newest stays: its number must not come again");
    assert_eq!(operations.prune(1).await.expect("pruned"), 0);
    operations.cancel(OperationId(7), ana()).await.expect("called off");
    operations.settled(OperationId(7)).await.expect("it ends");
    operations.shutdown().await;
    let again = scene.engine().await;
    assert_eq!(kept(&again), [7, 6, 2]);
    scene.world.look().ways.clear();
    scene.world.look().written.clear();
    assert_eq!(again.begin(blueprint(), ana()).await.expect("begun"), OperationId(8));
}
