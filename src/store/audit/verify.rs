//! Rows and anchors → what became of the trail. Pure: the rows come from the database, from a copy of it, or from an
//! export. It says where the first thing is that is not as it was written, and of which kind that is.
use super::{
    anchors::{AnchorKind, Anchors},
    chain::{AuditKey, Link},
};
use crate::domain::{AuditBreak, AuditVerdict, BreakKind, Digest};
use std::collections::VecDeque;

/// How far around it is looked for where a row belongs.
const AROUND: usize = 8;

/// Where the rows begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At 1, or after what retention took.
    Beginning,
    /// At this row, after one with this hash: an export says so.
    At(u64, Digest),
}

/// Without anchors, the key alone speaks. `reach` is the newest anchored row of before the rows were read: they must go so far.
pub fn verify<E>(
    key: &AuditKey,
    rows: impl IntoIterator<Item = Result<Link, E>>,
    anchors: Option<&Anchors>,
    start: Start,
    reach: u64,
) -> Result<AuditVerdict, E> {
    let none = Anchors::default();
    let known = anchors.unwrap_or(&none);
    let held = known.by_seq();
    let mut verdict = AuditVerdict {
        whole: true,
        rows: 0,
        first: None,
        last: None,
        pruned_to: None,
        anchored_to: None,
        anchored_at: None,
        unanchored: 0,
        torn: known.torn,
        breaks: Vec::new(),
    };
    let mut rows = rows.into_iter();
    let mut before: VecDeque<Link> = VecDeque::new();
    let (mut expected, mut previous) = (0, Digest::default());
    let mut held_to = 0;
    while let Some(row) = rows.next() {
        let row = row?;
        if verdict.first.is_none() {
            verdict.first = Some(row.seq);
            (expected, previous) = match (start, known.pruned(row.seq.saturating_sub(1))) {
                (Start::At(seq, hash), _) => (seq, hash),
                (Start::Beginning, Some(hash)) => {
                    verdict.pruned_to = Some(row.seq - 1);
                    (row.seq, hash)
                }
                (Start::Beginning, None) => (missing_from(known, row.seq), Digest::default()),
            };
        }
        if let Some(found) = judge(key, &row, expected, &previous) {
            let found = match found {
                Misfit::Number(found) => found,
                Misfit::Hash => {
                    let after = rows.by_ref().take(AROUND).collect::<Result<Vec<_>, E>>()?;
                    name(key, &previous, &before, &row, &after)
                }
            };
            verdict.breaks.push(found);
            break;
        }
        verdict.rows += 1;
        verdict.last = Some(row.seq);
        previous = row.digest();
        if let Some(hashes) = held.get(&row.seq) {
            if hashes.iter().any(|hash| !row.has(hash)) {
                let what = format!(
                    "the chain is whole, but row {} is not the one that was anchored: rows {} to {0} were written \
                     anew by somebody who has the key",
                    row.seq,
                    held_to + 1
                );
                verdict.breaks.push(said(held_to + 1, BreakKind::Recomputed, what));
                break;
            }
            held_to = row.seq;
        }
        expected = row.seq + 1;
        before.push_back(row);
        if before.len() > AROUND {
            before.pop_front();
        }
    }
    let last = verdict.last.unwrap_or(0);
    if verdict.breaks.is_empty() && last < reach {
        let what = format!("{} at the end: row {reach} was anchored", missing(last + 1, reach));
        verdict.breaks.push(said(last + 1, BreakKind::Truncated, what));
    }
    verdict.breaks.extend(anchors.and_then(|anchors| of_anchors(anchors, verdict.first.unwrap_or(0))));
    let newest = known.lines.iter().rfind(|anchor| anchor.seq > 0 && anchor.seq <= held_to);
    verdict.anchored_to = newest.map(|anchor| anchor.seq);
    verdict.anchored_at = newest.map(|anchor| anchor.at);
    verdict.unanchored = last.saturating_sub(held_to.max(verdict.first.unwrap_or(1).saturating_sub(1)));
    verdict.whole = verdict.breaks.is_empty();
    Ok(verdict)
}

enum Misfit {
    Number(AuditBreak),
    Hash,
}

fn judge(key: &AuditKey, row: &Link, expected: u64, previous: &Digest) -> Option<Misfit> {
    if row.seq > expected {
        let what = missing(expected, row.seq - 1);
        return Some(Misfit::Number(said(expected, BreakKind::Deleted, what)));
    }
    if row.seq < expected {
        let what = format!("row {} stands after row {}", row.seq, expected - 1);
        return Some(Misfit::Number(said(row.seq, BreakKind::Reordered, what)));
    }
    (!row.verifies(key, previous)).then_some(Misfit::Hash)
}

/// Why a row does not follow from the one before it.
fn name(
    key: &AuditKey,
    previous: &Digest,
    before: &VecDeque<Link>,
    row: &Link,
    after: &[Link],
) -> AuditBreak {
    let seq = row.seq;
    if let Some(own) = belongs(key, previous, before, row, after) {
        let what = format!("row {own} stands in the place of row {seq}");
        return said(seq, BreakKind::Reordered, what);
    }
    // If what follows still rests on this row, as it was or as its hash says, then this one alone was changed.
    let rests = |next: &Link| {
        next.verifies(key, &row.digest())
            || next.verifies(key, &key.link(previous, row))
            || next.seq != seq + 1
    };
    match after.first() {
        Some(next) if !rests(next) => {
            let what = format!(
                "neither row {seq} nor the one after it verifies: they were written without the key, or the key here \
                 is not theirs"
            );
            said(seq, BreakKind::Recomputed, what)
        }
        _ => said(seq, BreakKind::Edited, format!("row {seq} does not say what it said when it was written")),
    }
}

/// The number that this row verifies under, if it is another's nearby.
fn belongs(
    key: &AuditKey,
    previous: &Digest,
    before: &VecDeque<Link>,
    row: &Link,
    after: &[Link],
) -> Option<u64> {
    let around = || before.iter().chain(std::iter::once(row)).chain(after);
    let hashes = || around().map(Link::digest).chain(std::iter::once(*previous));
    around().map(|other| other.seq).filter(|seq| *seq != row.seq).find(|seq| {
        let moved = Link { seq: *seq, ..row.clone() };
        hashes().any(|hash| moved.verifies(key, &hash))
    })
}

/// Where rows are missing from, when the first that is there is neither 1 nor the one after what retention took.
fn missing_from(anchors: &Anchors, first: u64) -> u64 {
    let pruned = anchors.lines.iter().filter(|anchor| anchor.kind == AnchorKind::Pruned);
    pruned.map(|anchor| anchor.seq + 1).filter(|seq| *seq < first).max().unwrap_or(1)
}

fn of_anchors(anchors: &Anchors, first: u64) -> Option<AuditBreak> {
    let before = |number: usize| number.checked_sub(2).and_then(|at| anchors.lines.get(at));
    if let Some(number) = anchors.changed {
        let seq = before(number).map_or(1, |anchor| anchor.seq + 1);
        let what = format!("line {number} of the anchors is not as it was written");
        return Some(said(seq, BreakKind::Anchors, what));
    }
    match anchors.lines.first() {
        None => Some(said(1, BreakKind::Anchors, "there are no anchors".into())),
        Some(begin)
            if begin.kind == AnchorKind::Begin && begin.seq > 0 && begin.seq >= first && first > 0 =>
        {
            let what =
                format!("the anchors of rows up to {} are gone; the file begins after them", begin.seq);
            Some(said(first, BreakKind::Anchors, what))
        }
        Some(begin) if begin.kind == AnchorKind::Anchor => {
            Some(said(1, BreakKind::Anchors, "the first lines of the anchors are missing".into()))
        }
        Some(_) => None,
    }
}

fn missing(from: u64, to: u64) -> String {
    if from == to { format!("row {from} is missing") } else { format!("rows {from} to {to} are missing") }
}

fn said(seq: u64, kind: BreakKind, what: String) -> AuditBreak {
    AuditBreak { seq, kind, what }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
