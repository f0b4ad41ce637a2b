//! The table, driven at random: whatever is offered to it, what it takes keeps the promises of an operation.
use super::*;
use crate::domain::{FaultKind, Principal};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

const NAMES: [&str; 3] = ["one", "two", "three"];

fn plan(on_failure: OnFailure) -> OperationPlan {
    OperationPlan {
        id: OperationId(1),
        kind: "deploy".into(),
        title: "t".into(),
        resource: "fleet".into(),
        steps: NAMES.map(|name| PlannedStep { name: name.into(), title: name.into() }).to_vec(),
        arguments: Value::Null,
        on_failure,
        budget: None,
        by: Principal::user(0),
    }
}

fn why() -> Reason {
    Reason { kind: FaultKind::Internal, message: "cannot".into(), hint: None }
}

/// Every entry there can be.
fn every(on_failure: OnFailure) -> Vec<OperationEvent> {
    use OperationEvent as E;
    let mut all = vec![
        E::Begun(plan(on_failure)),
        E::CancelAsked { by: Principal::user(0) },
        E::Stopped { why: why() },
    ];
    for step in NAMES.into_iter().chain(["four"]).map(StepName::from) {
        let left = Value::from(1);
        all.extend([
            E::Intended { step: step.clone() },
            E::Done { step: step.clone(), left },
            E::Failed { step: step.clone(), why: why() },
            E::UndoIntended { step: step.clone() },
            E::Undone { step: step.clone() },
            E::UndoFailed { step, why: why() },
        ]);
    }
    all
}

/// What was taken so far must make sense to a person who reads it.
fn sound(taken: &[OperationEvent], operation: &Operation) -> Result<(), String> {
    use OperationEvent as E;
    let place =
        |step: &StepName| NAMES.iter().position(|name| *name == step.as_str()).ok_or("an unknown step");
    let (mut done, mut undone, mut open, mut called_off) = (Vec::new(), Vec::new(), None, false);
    for event in taken {
        match event {
            E::Intended { step } => {
                if done.len() != place(step)? || !undone.is_empty() || called_off {
                    return Err(format!("{step} runs out of its turn"));
                }
                open = Some(place(step)?);
            }
            E::Done { step, .. } | E::Failed { step, .. } => {
                if open != Some(place(step)?) {
                    return Err(format!("{step} has a result and no intent"));
                }
                done.push(place(step)?);
                open = None;
            }
            E::UndoIntended { step } => {
                let expected = done.iter().rev().find(|place| !undone.contains(*place));
                if expected != Some(&place(step)?) {
                    return Err(format!("{step} is undone out of its turn"));
                }
                open = Some(place(step)?);
            }
            E::Undone { step } | E::UndoFailed { step, .. } => {
                if open != Some(place(step)?) {
                    return Err(format!("{step} has an undo's result and no intent"));
                }
                if matches!(event, E::Undone { .. }) {
                    undone.push(place(step)?);
                }
                open = None;
            }
            E::Begun(_) => return Err("it began twice".into()),
            E::CancelAsked { .. } => called_off = true,
            E::Stopped { .. } => {}
        }
    }
    let left = operation.steps.iter().any(|step| step.state.is_left());
    let asked = taken.iter().filter(|event| matches!(event, E::CancelAsked { .. })).count();
    match operation.state {
        OperationState::Succeeded if done.len() != 3 || asked > 0 || !undone.is_empty() => {
            Err("it succeeded without all of its steps".into())
        }
        OperationState::Unwound if left || asked > 0 => Err("it is unwound, and something is left".into()),
        OperationState::Cancelled if left || asked != 1 => {
            Err("it is cancelled, and something is left".into())
        }
        OperationState::Running | OperationState::Unwinding if operation.due() == Due::Nothing => {
            Err("nothing is due, and it is open".into())
        }
        state if state.is_terminal() && (operation.due() != Due::Nothing || operation.ended_at.is_none()) => {
            Err("something is due after the end".into())
        }
        _ => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_is_offered_what_is_taken_is_sound_and_replays_to_the_same(
        offers in prop::collection::vec(0_usize..27, 1..900),
        unwind: bool,
    ) {
        let on_failure = if unwind { OnFailure::Unwind } else { OnFailure::Stop };
        let (all, at) = (every(on_failure), Timestamp::UNIX_EPOCH);
        let mut live = Operation::begun(plan(on_failure), at);
        let mut taken = Vec::new();
        let mut stood = vec![live.clone()];
        for offer in offers {
            let (event, before) = (&all[offer], live.clone());
            if live.apply(event.clone(), at).is_ok() {
                prop_assert!(!before.state.is_terminal(), "{} after the end", event.word());
                taken.push(event.clone());
                stood.push(live.clone());
            } else {
                // What is refused leaves no trace.
                prop_assert_eq!(&before, &live);
            }
            prop_assert_eq!(sound(&taken, &live), Ok(()), "{:?}", &taken);
        }
        // Every prefix, read again, stands as it stood.
        let mut again = Operation::begun(plan(on_failure), at);
        prop_assert_eq!(&again, &stood[0]);
        for (event, stood) in taken.iter().zip(&stood[1..]) {
            let written = serde_json::to_string(event).expect("written");
            let event: OperationEvent = serde_json::from_str(&written).expect("read");
            prop_assert_eq!(again.apply(event, at), Ok(()));
            prop_assert_eq!(&again, stood);
        }
    }

    /// Whoever does what is due comes to an end, whatever fails and whenever somebody calls it off.
    #[test]
    fn doing_what_is_due_comes_to_an_end(luck in prop::collection::vec(0_u8..10, 40), unwind: bool) {
        use OperationEvent as E;
        let on_failure = if unwind { OnFailure::Unwind } else { OnFailure::Stop };
        let at = Timestamp::UNIX_EPOCH;
        let mut operation = Operation::begun(plan(on_failure), at);
        let mut luck = luck.into_iter();
        let mut taken = Vec::new();
        while !operation.state.is_terminal() {
            let step = |place: usize| StepName::from(NAMES[place]);
            let chance = luck.next().expect("it takes too long");
            let cancel = E::CancelAsked { by: Principal::user(0) };
            let mut events = match operation.due() {
                Due::Nothing => unreachable!("open, and nothing is due"),
                Due::GiveUp(place) => vec![E::Failed { step: step(place), why: why() }],
                // Cut off: begun, and no result.
                Due::Run(place) if chance == 0 => vec![E::Intended { step: step(place) }],
                Due::Undo(place) if chance == 0 => vec![E::UndoIntended { step: step(place) }],
                Due::Run(place) => {
                    let end = match chance {
                        1 => E::Failed { step: step(place), why: why() },
                        _ => E::Done { step: step(place), left: Value::Null },
                    };
                    vec![E::Intended { step: step(place) }, end]
                }
                Due::Undo(place) => {
                    let end = match chance {
                        1 => E::UndoFailed { step: step(place), why: why() },
                        _ => E::Undone { step: step(place) },
                    };
                    vec![E::UndoIntended { step: step(place) }, end]
                }
            };
            if chance == 2 && operation.state == OperationState::Running && operation.cancel.is_none() {
                // Before the step, while it runs.
                events.insert(1.min(events.len()), cancel);
            }
            for event in events {
                prop_assert_eq!(operation.apply(event.clone(), at), Ok(()), "{:?} after {:?}", &event, &taken);
                taken.push(event);
            }
            prop_assert_eq!(sound(&taken, &operation), Ok(()), "{:?}", &taken);
        }
    }
}

#[test]
fn called_off_before_its_first_step_nothing_is_left_to_undo() {
    let mut operation = Operation::begun(plan(OnFailure::Unwind), Timestamp::UNIX_EPOCH);
    let at = Timestamp::from_second(90).expect("a time");
    operation.apply(OperationEvent::CancelAsked { by: Principal::user(0) }, at).expect("taken");
    assert_eq!((operation.state, operation.ended_at), (OperationState::Cancelled, Some(at)));
    let later = Timestamp::from_second(900).expect("a time");
    assert_eq!(operation.seen_at(later).elapsed_ms, 90_000, "it goes on counting after its end");
}

#[test]
fn time_beyond_the_budget_shows_and_cuts_nothing_off() {
    let budget = Some(crate::domain::Period::secs(60));
    let operation =
        Operation::begun(OperationPlan { budget, ..plan(OnFailure::Unwind) }, Timestamp::UNIX_EPOCH);
    let seen = |second| operation.clone().seen_at(Timestamp::from_second(second).expect("a time"));
    assert_eq!(
        (seen(60).over_budget, seen(61).over_budget, seen(61).state),
        (false, true, OperationState::Running)
    );
}
