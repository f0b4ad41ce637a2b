//! Chains as they are written, and thousands that were tampered with: every one is found, and at the right place.
use super::*;
use crate::store::audit::{anchors::Anchor, chain::TEXTS};
use jiff::Timestamp;

const ROWS: u64 = 40;
const EVERY: u64 = 10;

fn key() -> AuditKey {
    AuditKey::new(&[5; 32])
}

fn rehash(key: &AuditKey, mut previous: Digest, rows: &mut [Link]) {
    for row in rows {
        previous = key.link(&previous, row);
        row.hash = previous.0.to_vec();
    }
}

fn chain(key: &AuditKey) -> Vec<Link> {
    let mut rows: Vec<Link> = (1..=ROWS)
        .map(|seq| {
            let mut texts: [Vec<u8>; TEXTS] = Default::default();
            for (at, text) in texts.iter_mut().enumerate() {
                *text = format!("{at} of {seq}").into_bytes();
            }
            Link { seq, at: 1_000 * i64::try_from(seq).expect("small"), texts, hash: Vec::new() }
        })
        .collect();
    rehash(key, Digest::default(), &mut rows);
    rows
}

fn anchor(kind: AnchorKind, seq: u64, hash: Digest) -> Anchor {
    Anchor { kind, seq, hash, at: Timestamp::UNIX_EPOCH, mac: Digest::default() }
}

fn anchors(rows: &[Link]) -> Anchors {
    let held = rows.iter().filter(|row| row.seq % EVERY == 0);
    let begin = anchor(AnchorKind::Begin, 0, Digest::default());
    let lines = held.map(|row| anchor(AnchorKind::Anchor, row.seq, row.digest()));
    Anchors { lines: std::iter::once(begin).chain(lines).collect(), ..Anchors::default() }
}

fn seen(rows: &[Link], anchors: &Anchors) -> AuditVerdict {
    let reach = anchors.newest().map_or(0, |anchor| anchor.seq);
    let rows = rows.iter().cloned().map(Ok::<_, std::convert::Infallible>);
    let Ok(verdict) = verify(&key(), rows, Some(anchors), Start::Beginning, reach);
    verdict
}

fn first(verdict: &AuditVerdict) -> (u64, BreakKind) {
    (verdict.breaks[0].seq, verdict.breaks[0].kind)
}

#[test]
fn a_chain_as_it_was_written_is_whole_and_what_the_anchors_hold_is_told() {
    let rows = chain(&key());
    let verdict = seen(&rows, &anchors(&rows));
    assert!(verdict.whole && verdict.rows == ROWS, "{verdict:?}");
    assert_eq!((verdict.anchored_to, verdict.unanchored), (Some(ROWS), 0));
    // A few more after the last anchor; and the end cut off there, which nobody can see.
    let partly = anchors(&rows[..35]);
    assert_eq!((seen(&rows, &partly).anchored_to, seen(&rows, &partly).unanchored), (Some(30), 10));
    let cut = seen(&rows[..33], &partly);
    assert!(cut.whole && cut.unanchored == 3, "{cut:?}");
    assert!(seen(&[], &Anchors { lines: anchors(&[]).lines, ..Anchors::default() }).whole);
}

#[test]
fn ten_thousand_tampered_chains_are_all_found_and_named() {
    let (key, rows) = (key(), chain(&key()));
    let held = anchors(&rows);
    let stranger = AuditKey::new(&[6; 32]);
    let mut random = fastrand::Rng::with_seed(1);
    let mut found: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
    for number in 0..10_000 {
        let mut bad = rows.clone();
        let at = random.usize(..bad.len());
        let seq = bad[at].seq;
        let before = at.checked_sub(1).map_or(Digest::default(), |before| rows[before].digest());
        let since = held.lines.iter().rfind(|anchor| anchor.seq < seq).map_or(1, |anchor| anchor.seq + 1);
        let (want, kind): ((u64, BreakKind), &str) = match number % 9 {
            0 => {
                let text = random.usize(..TEXTS);
                match random.u8(..4) {
                    0 => bad[at].texts[text].push(b'!'),
                    1 => bad[at].texts[text].clear(),
                    2 => bad[at].at += 1,
                    _ => bad[at].texts.swap(text, (text + 1) % TEXTS),
                }
                ((seq, BreakKind::Edited), "edit")
            }
            1 => {
                let byte = random.usize(..32);
                bad[at].hash[byte] ^= 1 << random.u8(..8);
                ((seq, BreakKind::Edited), "edit of a hash")
            }
            2 => {
                let many = random.usize(1..=3).min(bad.len() - at);
                bad.drain(at..at + many);
                let kind = if at == bad.len() { BreakKind::Truncated } else { BreakKind::Deleted };
                ((seq, kind), "delete")
            }
            3 => {
                let other = (at + 1 + random.usize(..bad.len() - 1)) % bad.len();
                bad.swap(at, other);
                // As a database shows them: by number.
                let (low, high) = (at.min(other), at.max(other));
                (bad[low].seq, bad[high].seq) = (rows[low].seq, rows[high].seq);
                ((rows[low].seq, BreakKind::Reordered), "swap")
            }
            4 => {
                bad.truncate(at);
                ((seq, BreakKind::Truncated), "truncate")
            }
            5 => {
                bad[at].texts[0] = b"user:0".to_vec();
                rehash(&stranger, before, &mut bad[at..]);
                let kind = if at + 1 == bad.len() { BreakKind::Edited } else { BreakKind::Recomputed };
                ((seq, kind), "recompute without the key")
            }
            6 => {
                bad[at].texts[0] = b"user:0".to_vec();
                rehash(&key, before, &mut bad[at..]);
                ((since, BreakKind::Recomputed), "recompute with the key")
            }
            7 => {
                bad.remove(at);
                for (index, row) in bad.iter_mut().enumerate().skip(at) {
                    row.seq = rows[index].seq;
                }
                let kind = match bad.len() - at {
                    0 => BreakKind::Truncated,
                    1 => BreakKind::Edited,
                    _ => BreakKind::Recomputed,
                };
                ((seq, kind), "delete and renumber")
            }
            _ => {
                let copy = rows[random.usize(..rows.len())].clone();
                let own = copy.seq == seq;
                bad[at] = Link { seq, ..copy };
                if own {
                    bad[at].texts[6].push(b'0');
                }
                ((seq, BreakKind::Edited), "replay")
            }
        };
        let verdict = seen(&bad, &held);
        assert!(!verdict.whole && !verdict.breaks.is_empty(), "{kind} {number}: {verdict:?}");
        let (place, named) = first(&verdict);
        // Far apart, where a row belongs is not looked for.
        let loosely = matches!(kind, "replay" | "swap") && named != want.1;
        assert!(place == want.0 && (named == want.1 || loosely), "{kind} {number}: {want:?}, {verdict:?}");
        *found.entry(kind).or_default() += 1;
    }
    assert!(found.len() == 9 && found.values().all(|count| *count > 1_000), "{found:?}");
}

#[test]
fn what_retention_took_is_not_missing_and_what_somebody_else_took_is() {
    let rows = chain(&key());
    let mut held = anchors(&rows);
    held.lines.push(anchor(AnchorKind::Pruned, 15, rows[14].digest()));
    let verdict = seen(&rows[15..], &held);
    assert!(verdict.whole && verdict.pruned_to == Some(15), "{verdict:?}");
    assert!(seen(&rows, &held).whole, "said to go, and not gone yet");
    assert_eq!(first(&seen(&rows[17..], &held)), (16, BreakKind::Deleted));
    assert_eq!(first(&seen(&rows[9..], &anchors(&rows))), (1, BreakKind::Deleted));
    let mut forged = rows.clone();
    forged[15].texts[2] = b"other".to_vec();
    assert_eq!(first(&seen(&forged[15..], &held)), (16, BreakKind::Edited));
}

#[test]
fn anchors_that_are_gone_changed_or_begun_anew_are_a_break() {
    let rows = chain(&key());
    let sound = anchors(&rows);
    assert_eq!(first(&seen(&rows, &Anchors::default())), (1, BreakKind::Anchors));
    let changed = Anchors { changed: Some(3), lines: sound.lines[..2].to_vec(), ..sound.clone() };
    assert_eq!(first(&seen(&rows, &changed)), (11, BreakKind::Anchors));
    let anew =
        Anchors { lines: vec![anchor(AnchorKind::Begin, 30, rows[29].digest())], ..Anchors::default() };
    assert_eq!(first(&seen(&rows, &anew)), (1, BreakKind::Anchors));
    let headless = Anchors { lines: sound.lines[1..].to_vec(), ..sound };
    assert_eq!(first(&seen(&rows, &headless)), (1, BreakKind::Anchors));
}
