use super::*;
use crate::domain::{
    FaultKind, OnFailure, OperationEvent as E, OperationId, OperationPlan, PlannedStep, Principal,
};
use jiff::{SignedDuration, Timestamp};

const PLAIN: Ui = Ui { color: false, color_err: false, quiet: true, terminal: false };

/// Of three steps, the second of which has a hostile title.
fn after(events: &[E]) -> Operation {
    let steps =
        [("drain", "Stop giving work"), ("switch", "Point\u{1b}[2J at it"), ("start", "Start agents")];
    let plan = OperationPlan {
        id: OperationId(7),
        kind: "rollback".into(),
        title: "Roll back\nto r-3".into(),
        resource: "fleet".into(),
        steps: steps
            .map(|(name, title)| PlannedStep { name: name.into(), title: title.into() })
            .into_iter()
            .collect(),
        arguments: serde_json::Value::Null,
        on_failure: OnFailure::Unwind,
        budget: Some(Period::secs(2)),
        by: Principal::user(1000),
    };
    let at = |second: u32| {
        Timestamp::from_second(1_700_000_000).expect("a time") + SignedDuration::from_secs(second.into())
    };
    let mut operation = Operation::begun(plan, at(0));
    let mut second = 0;
    for event in events {
        second += 1;
        operation.apply(event.clone(), at(second)).expect("it follows");
    }
    operation.seen_at(at(second + 1))
}

fn why(message: &str) -> Reason {
    Reason { kind: FaultKind::Internal, message: message.into(), hint: None }
}

fn intended(step: &'static str) -> E {
    E::Intended { step: step.into() }
}

fn done(step: &'static str) -> E {
    E::Done { step: step.into(), left: serde_json::Value::Null }
}

#[test]
fn what_is_shown_of_one_that_stopped_names_what_is_left_and_drives_no_terminal() {
    let failed = E::Failed { step: "switch".into(), why: why("cannot: \u{1b}]0;x\u{7}disk") };
    let undo_failed = E::UndoFailed { step: "switch".into(), why: why("cannot undo `switch`: gone") };
    let events = [
        intended("drain"),
        done("drain"),
        intended("switch"),
        failed,
        E::UndoIntended { step: "switch".into() },
        undo_failed,
    ];
    let stopped = after(&events);
    let text = operation(&PLAIN, &stopped);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
    let expected = [
        "op-7 rollback: Roll back to r-3 is stopped",
        "took      6.0s of 2s, over its budget",
        "because   cannot undo `switch`: gone",
        "STOPPED in between and needs a person; left in place: drain, switch",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let row =
        |step: &str| text.lines().find(|line| line.contains(step) && line.contains("  ")).unwrap_or_default();
    assert!(row("undo-failed").contains("1.0s"), "{text}");
    assert!(row("start").contains("not-run"), "{text}");
    assert_eq!(exit_of_operation(&stopped), Exit::Negative);
    let list = operations(&PLAIN, &[stopped.summary()], true);
    assert!(list.contains("1/3") && list.contains("user:1000") && !list.contains('\u{1b}'), "{list}");
}

#[test]
fn the_exit_code_is_that_of_the_outcome_and_nothing_is_waited_for_that_has_ended() {
    let running = after(&[intended("drain")]);
    assert_eq!((exit_of_operation(&running), running.state), (Exit::Pending, OperationState::Running));
    let all = ["drain", "switch", "start"].map(|step| [intended(step), done(step)]).concat();
    let succeeded = after(&all);
    assert_eq!((exit_of_operation(&succeeded), succeeded.state), (Exit::Ok, OperationState::Succeeded));
    assert!(!operation(&PLAIN, &succeeded).contains("STOPPED"));
    let cancelled = after(&[E::CancelAsked { by: Principal::user(0) }]);
    assert_eq!((exit_of_operation(&cancelled), cancelled.state), (Exit::Negative, OperationState::Cancelled));
    let stopped = after(&[intended("drain"), E::Stopped { why: why("cannot tell") }]);
    let text = operation(&PLAIN, &stopped);
    assert!(text.contains("unknown") && !text.contains("running"), "{text}");
}

#[test]
fn every_state_has_a_colour() {
    assert!(OperationState::ALL.iter().all(|state| operation_style(state.as_str()).is_some()));
    assert_eq!((operation_style("STATE"), step_style("STATE")), (None, None));
    assert_eq!((lasted(999), lasted(1_250), lasted(61_500)), ("999ms".into(), "1.2s".into(), "1m 1s".into()));
}
