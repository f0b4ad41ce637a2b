//! What a crash leaves and what anybody may have changed: the one counts for nothing, the other is always said.
use super::{line, replay};
use crate::domain::{
    Digest, OnFailure, OperationEvent as E, OperationId, OperationPlan, OperationState, PlannedStep,
    Principal,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

const ID: OperationId = OperationId(7);

fn begun() -> E {
    E::Begun(OperationPlan {
        id: ID,
        kind: "deploy".into(),
        title: "Deploy\n\u{1b}[31m r-4".into(),
        resource: "fleet".into(),
        steps: ["one", "two"].map(|name| PlannedStep { name: name.into(), title: name.into() }).to_vec(),
        arguments: json!({ "to": "r-4", "n": 1.5 }),
        on_failure: OnFailure::Unwind,
        budget: None,
        by: Principal::user(1000),
    })
}

fn whole() -> (Vec<u8>, Vec<usize>) {
    written(1)
}

/// A whole journal whose first step left this, and where each of its lines ends.
fn written(left: u8) -> (Vec<u8>, Vec<usize>) {
    let step = |name: &'static str| name.into();
    let events = [
        begun(),
        E::Intended { step: step("one") },
        E::Done { step: step("one"), left: json!({ "of": [left, null, "\n"] }) },
        E::Intended { step: step("two") },
        E::CancelAsked { by: Principal::user(0) },
        E::Done { step: step("two"), left: json!(null) },
        E::UndoIntended { step: step("two") },
        E::Undone { step: step("two") },
        E::UndoIntended { step: step("one") },
        E::Undone { step: step("one") },
    ];
    let (mut text, mut ends, mut sum) = (Vec::new(), Vec::new(), Digest::default());
    for (seq, event) in (1_u32..).zip(&events) {
        let at = Timestamp::from_second(1_700_000_000 + i64::from(seq)).expect("a time");
        let (line, next) = line::encode(&sum, seq.into(), event, at).expect("it fits");
        text.extend_from_slice(line.as_bytes());
        ends.push(text.len());
        sum = next;
    }
    (text, ends)
}

#[test]
fn each_line_is_json_and_the_whole_reads_back() {
    let (text, ends) = whole();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
    }
    let read = replay(ID, &text);
    assert_eq!((read.entries, read.length, read.torn), (ends.len() as u64, text.len() as u64, false));
    let operation = read.operation.expect("read");
    assert_eq!((read.damage, operation.state), (None, OperationState::Cancelled));
    assert_eq!(operation.arguments["n"], json!(1.5));
    let other = replay(OperationId(8), &text).damage;
    assert_eq!(other.as_deref(), Some("line 1: it begins op-7"), "a copy under another name was taken");
}

#[test]
fn cut_off_anywhere_it_stands_as_its_whole_lines_say() {
    let (text, ends) = whole();
    for length in 0..=text.len() {
        let read = replay(ID, &text[..length]);
        let lines = ends.iter().filter(|end| **end <= length).count();
        if lines == 0 {
            assert!(read.operation.is_none() && read.damage.is_some(), "{length}");
            continue;
        }
        assert_eq!((read.damage.as_deref(), read.entries), (None, lines as u64), "{length}");
        assert_eq!((read.torn, read.length), (!ends.contains(&length), ends[lines - 1] as u64), "{length}");
        let stood = replay(ID, &text[..ends[lines - 1]]).operation;
        assert_eq!(read.operation, stood, "{length}");
    }
}

#[test]
fn lines_that_are_left_out_doubled_or_moved_are_said() {
    let (text, _) = whole();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for place in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(place);
        let mut doubled = lines.clone();
        doubled.insert(place, lines[place]);
        let mut moved = lines.clone();
        moved.swap(place, (place + 1) % lines.len());
        for (what, changed) in [("without", without), ("doubled", doubled), ("moved", moved)] {
            let read = replay(ID, &changed.concat());
            // That the newest are missing cannot show: as much as was never written.
            let end = what == "without" && place + 1 == lines.len();
            assert_eq!(read.damage.is_some(), !end, "{what} {place}");
        }
    }
}

#[test]
fn a_line_that_stood_at_the_same_place_of_another_journal_is_said() {
    let ((one, ends), (other, _)) = (written(1), written(2));
    assert_eq!(one.len(), other.len());
    // They differ in their third line alone; what comes after rests on it.
    for end in &ends[2..ends.len() - 1] {
        let read = replay(ID, &[&one[..*end], &other[*end..]].concat());
        assert!(read.damage.is_some_and(|why| why.contains("not where it was")), "{end}");
    }
}

proptest! {
    #[test]
    fn whatever_byte_is_changed_it_is_said_and_nothing_panics(at: prop::sample::Index, to: u8) {
        let (mut text, ends) = whole();
        let at = at.index(text.len());
        prop_assume!(text[at] != to);
        text[at] = to;
        let read = replay(ID, &text);
        let last = at + 1 == text.len();
        prop_assert!(read.damage.is_some() || (last && read.torn), "byte {} changed unseen", at);
        // What stands before it still counts.
        let before = ends.iter().filter(|end| **end <= at).count();
        prop_assert!(read.entries >= before as u64);
    }

    #[test]
    fn noise_is_no_journal(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        let read = replay(ID, &noise);
        prop_assert!(read.operation.is_none() && read.damage.is_some());
        let (text, _) = whole();
        let read = replay(ID, &[&text[..], &noise].concat());
        prop_assert_eq!(read.operation.map(|operation| operation.state), Some(OperationState::Cancelled));
        prop_assert!(noise.is_empty() || read.torn || read.damage.is_some());
    }
}

#[test]
fn what_does_not_fit_in_a_line_is_refused() {
    let left = "x".repeat(line::LONGEST).into();
    let event = E::Done { step: "one".into(), left };
    assert!(line::encode(&Digest::default(), 2, &event, Timestamp::UNIX_EPOCH).is_err());
}
