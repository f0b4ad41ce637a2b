//! The trail on a real store: one transaction with its effect, anchored, pruned, verified live and from its files.
use super::*;
use crate::{
    config::{RetentionSettings, StoreSettings},
    domain::{AuditFilter, AuditStanding, BreakKind, Period},
    store::{
        StoreErrorKind,
        error::Trouble,
        scratch::{Flaw, Scratch, act, until},
    },
};
use std::{fs, time::Duration};

async fn record(store: &Store, number: usize) {
    store
        .record_act(act().on(format!("row/{number}")), AuditOutcome::Done, String::new())
        .await
        .expect("kept");
}

/// What somebody with the database, and without the key, does to it.
fn tamper(store: &Scratch, sql: &str) {
    let connection = Connection::open(store.path()).expect("opens");
    connection.execute_batch(sql).expect("done");
}

#[tokio::test]
async fn an_effect_and_its_row_are_kept_together_or_not_at_all() {
    let store = Scratch::new();
    let insert = |connection: &Connection, text: &str| {
        connection.execute("INSERT INTO events (at, kind, text) VALUES (0, 'agent-ready', ?1)", [text])
    };
    let kept = store.act("do", act(), move |connection| {
        insert(connection, "kept")?;
        Ok(Effect::on("thing/1", ()).because("as asked"))
    });
    let refused = store.act("do", act(), move |connection| {
        insert(connection, "refused")?;
        Err::<Effect<()>, _>(Trouble::Said(StoreError::new(StoreErrorKind::Conflict, "cannot: no")))
    });
    let panicked = store.act("do", act(), move |connection| {
        insert(connection, "panicked")?;
        std::panic::resume_unwind(Box::new("on purpose"));
        #[allow(unreachable_code)]
        Ok(Effect::none(()))
    });
    let nothing = store.act("do", act(), |_| Ok(Effect::none(())));
    let (kept, refused, panicked, nothing) = tokio::join!(kept, refused, panicked, nothing);
    assert!(kept.is_ok() && refused.is_err() && panicked.is_err() && nothing.is_ok());
    let texts: Vec<_> = store.events(0, 9).await.expect("read").into_iter().map(|e| e.text).collect();
    let rows = store.audit_events(0, 9).await.expect("read");
    assert_eq!((texts, rows.len()), (vec!["kept".to_owned()], 1), "{rows:?}");
    assert_eq!((rows[0].object.as_str(), rows[0].reason.as_str(), rows[0].seq), ("thing/1", "as asked", 1));
    assert!(store.verify_audit().await.expect("verified").whole);
}

#[tokio::test]
async fn an_intent_without_an_outcome_is_unknown_and_stays_so() {
    let store = Scratch::new();
    let (first, second) = (act(), act());
    for (act, outcome) in
        [(&first, AuditOutcome::Intended), (&second, AuditOutcome::Intended), (&first, AuditOutcome::Failed)]
    {
        store.record_act(act.clone(), outcome, String::new()).await.expect("kept");
    }
    let store = store.reopen().await;
    let rows = store.audit_entries(AuditFilter { limit: 9, ..AuditFilter::default() }).await.expect("read");
    let standing: Vec<_> = rows.iter().map(|row| row.standing).collect();
    assert_eq!(standing, [AuditStanding::Intended, AuditStanding::Unknown, AuditStanding::Failed]);
    let unknown = AuditFilter { outcome: Some(AuditStanding::Unknown), limit: 9, ..AuditFilter::default() };
    let found = store.audit_entries(unknown).await.expect("read");
    assert!(found.len() == 1 && found[0].event.correlation == second.correlation, "{found:?}");
    let pair = store.audit_act(1).await.expect("read");
    assert_eq!(pair.iter().map(|row| row.event.seq).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(store.audit_act(77).await.expect("read"), []);
}

#[tokio::test]
async fn rows_are_found_by_who_what_when_and_the_newest_come_last() {
    let store = Scratch::new();
    let other = Act { action: "agents/stop", principal: "agent:orders".parse().expect("one"), ..act() };
    for number in 0..5 {
        record(&store, number).await;
        store.record_act(other.clone(), AuditOutcome::Refused, "no".into()).await.expect("kept");
    }
    let count = async |filter: AuditFilter| {
        let filter = AuditFilter { limit: filter.limit.max(1), ..filter };
        store.audit_entries(filter).await.expect("read").len()
    };
    let all = AuditFilter { limit: 99, ..AuditFilter::default() };
    assert_eq!(count(all.clone()).await, 10);
    assert_eq!(count(AuditFilter { principal: Some("agent:orders".into()), ..all.clone() }).await, 5);
    for (action, found) in [("agents", 5), ("agents/stop", 5), ("agents/st", 0), ("agent", 0), ("%", 0)] {
        assert_eq!(
            count(AuditFilter { action: Some(action.into()), ..all.clone() }).await,
            found,
            "{action}"
        );
    }
    assert_eq!(count(AuditFilter { correlation: Some(other.correlation), ..all.clone() }).await, 5);
    assert_eq!(count(AuditFilter { outcome: Some(AuditStanding::Done), ..all.clone() }).await, 5);
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    assert_eq!(count(AuditFilter { since: Some(later), ..all }).await, 0);
    assert_eq!(store.audit_before(later).await.expect("read"), None);
    let newest = store.audit_entries(AuditFilter { limit: 2, ..AuditFilter::default() }).await.expect("read");
    assert_eq!(newest.iter().map(|row| row.event.seq).collect::<Vec<_>>(), [9, 10]);
}

#[tokio::test]
async fn a_hundred_rows_or_a_close_are_anchored_and_what_is_done_to_them_is_seen() {
    let store = Scratch::new();
    for number in 0..100 {
        record(&store, number).await;
    }
    let anchored = || anchoring::locked(&store.ledger().anchors).last().0;
    until("the anchor of a hundred rows", || anchored() == 100).await;
    record(&store, 100).await;
    let verdict = store.verify_audit().await.expect("verified");
    assert!(verdict.whole && verdict.anchored_to == Some(100) && verdict.unanchored == 1, "{verdict:?}");
    let store = store.reopen().await;
    assert_eq!(anchoring::locked(&store.ledger().anchors).last().0, 101, "not anchored at the close");
    // From outside the daemon, while it runs.
    let files = AuditFiles::of(store.home.path());
    assert!(verify_audit_files(&files).expect("read").whole);
    for (sql, seq, kind) in [
        ("UPDATE audit SET reason = 'x' WHERE seq = 50", 50, BreakKind::Edited),
        ("UPDATE audit SET reason = '' WHERE seq = 50", 0, BreakKind::Edited),
        ("DELETE FROM audit WHERE seq BETWEEN 20 AND 30", 20, BreakKind::Deleted),
    ] {
        tamper(&store, sql);
        let live = store.verify_audit().await.expect("verified");
        let offline = verify_audit_files(&files).expect("read");
        assert_eq!(live, offline);
        if seq > 0 {
            assert_eq!((live.breaks[0].seq, live.breaks[0].kind), (seq, kind), "{live:?}");
        } else {
            assert!(live.whole, "{live:?}");
        }
    }
}

#[tokio::test]
async fn the_end_cut_off_is_seen_and_its_numbers_are_not_given_again() {
    for stopped in [false, true] {
        let store = Scratch::new();
        for number in 0..20 {
            record(&store, number).await;
        }
        let mut store = store.reopen().await;
        if stopped {
            store.close().await;
        }
        tamper(&store, "DELETE FROM audit WHERE seq > 15");
        if stopped {
            store = store.reopen().await;
        }
        let cut = store.verify_audit().await.expect("verified");
        assert_eq!((cut.breaks[0].seq, cut.breaks[0].kind), (16, BreakKind::Truncated), "{cut:?}");
        record(&store, 20).await;
        let after = store.verify_audit().await.expect("verified");
        assert_eq!((after.breaks[0].seq, after.breaks[0].kind), (16, BreakKind::Deleted), "{after:?}");
        assert_eq!(store.audit_events(0, 1).await.expect("read")[0].seq, 21);
    }
}

#[tokio::test]
async fn without_the_key_nothing_verifies_and_with_another_all_is_recomputed() {
    let store = Scratch::new();
    for number in 0..5 {
        record(&store, number).await;
    }
    store.close().await;
    let files = AuditFiles::of(store.home.path());
    fs::rename(&files.key, store.home.path().join("kept")).expect("moved");
    assert_eq!(verify_audit_files(&files).expect_err("no key").kind, StoreErrorKind::Unusable);
    assert!(!files.key.exists(), "a look made a key");
    let store = store.reopen().await;
    record(&store, 5).await;
    let verdict = store.verify_audit().await.expect("verified");
    assert_eq!((verdict.breaks[0].seq, verdict.breaks[0].kind), (1, BreakKind::Recomputed), "{verdict:?}");
}

#[tokio::test]
async fn retention_takes_the_old_end_and_what_is_left_verifies() {
    let store = Scratch::new();
    for number in 0..30 {
        record(&store, number).await;
    }
    let now = store.clock().now();
    assert_eq!(
        store.prune_audit(now - jiff::SignedDuration::from_hours(1), 1_000, 7).await.expect("kept"),
        0
    );
    assert_eq!(
        store.prune_audit(now - jiff::SignedDuration::from_hours(1), 20, 7).await.expect("pruned"),
        10
    );
    let verdict = store.verify_audit().await.expect("verified");
    assert!(verdict.whole && verdict.pruned_to == Some(10) && verdict.rows == 20, "{verdict:?}");
    let page = store.audit_page(0, 5).await.expect("read");
    assert!(page.previous.is_some() && page.entries[0].event.seq == 11);
    let all = RetentionSettings { audit: Period::default(), ..RetentionSettings::default() };
    store.prune(all).await.expect("pruned");
    assert_eq!(
        store.audit_events(0, 99).await.expect("read").len(),
        1,
        "the newest is what the next rests on"
    );
    record(&store, 30).await;
    let store = store.reopen().await;
    let verdict = store.verify_audit().await.expect("verified");
    assert!(verdict.whole && verdict.pruned_to == Some(29), "{verdict:?}");
    tamper(&store, "DELETE FROM audit WHERE seq = 30");
    let verdict = store.verify_audit().await.expect("verified");
    assert_eq!((verdict.breaks[0].seq, verdict.breaks[0].kind), (30, BreakKind::Deleted), "{verdict:?}");
}

#[tokio::test]
async fn time_alone_anchors_too_and_a_store_that_never_does_is_told_apart() {
    let soon = Regime { anchor_every: Duration::from_millis(50), ..Regime::DURABLE };
    let store = Scratch::with(&StoreSettings::default(), soon);
    record(&store, 0).await;
    until("an anchor of one row", || anchoring::locked(&store.ledger().anchors).last().0 == 1).await;
    let never = Scratch::flawed(Flaw::NoAnchors);
    for number in 0..120 {
        record(&never, number).await;
    }
    let verdict = never.verify_audit().await.expect("verified");
    assert!(verdict.anchored_to.is_none() && verdict.unanchored == 120, "{verdict:?}");
    assert_eq!(never.audit_heads().await.expect("read"), (120, 0));
}

/// As `agentctl audit export` writes it.
async fn exported(store: &Store, after: u64) -> String {
    let page = store.audit_page(after, 1_000).await.expect("read");
    let (first, last) = (page.entries.first().expect("a row"), page.entries.last().expect("a row"));
    let (from, rows) = (first.event.seq, page.entries.len() as u64);
    let begin = ExportLine::Begin {
        schema_version: 1,
        export: "audit".into(),
        first: from,
        previous: page.previous.expect("known"),
    };
    let seal = store.seal_audit(from, last.event.seq, &last.hash);
    let end = ExportLine::End { end: last.event.seq, rows, seal };
    let rows = page
        .entries
        .iter()
        .map(|entry| ExportLine::Row(Box::new(ExportRow { event: entry.event.clone(), hash: entry.hash })));
    let lines = std::iter::once(begin).chain(rows).chain(std::iter::once(end));
    lines.map(|line| serde_json::to_string(&line).expect("json") + "\n").collect()
}

#[tokio::test]
async fn an_export_verifies_and_one_that_was_touched_anywhere_does_not() {
    let store = Scratch::new();
    for number in 0..12 {
        record(&store, number).await;
    }
    let files = AuditFiles::of(store.home.path());
    let (all, part) = (exported(&store, 0).await, exported(&store, 4).await);
    for (text, rows) in [(&all, 12), (&part, 8)] {
        let verdict = verify_audit_export(text, &files).expect("read");
        assert!(verdict.whole && verdict.rows == rows, "{verdict:?}");
    }
    let lines: Vec<&str> = all.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n");
    let moved = joined(&[&lines[..3], &[lines[4], lines[3]][..], &lines[5..]].concat());
    let headless = {
        // Cut at its head, and the first line made to fit: row 3's own hash is in the file.
        let hash = lines[2].split("\"hash\":\"").nth(1).expect("a hash").trim_end_matches("\"}");
        let begin =
            format!("{{\"schema_version\":1,\"export\":\"audit\",\"first\":3,\"previous\":\"{hash}\"}}");
        joined(&[&[begin.as_str()][..], &lines[3..]].concat())
    };
    for (what, text, kind) in [
        ("a text", all.replacen("row/5", "row/6", 1), BreakKind::Edited),
        ("a row gone", joined(&[&lines[..4], &lines[5..]].concat()), BreakKind::Deleted),
        ("two swapped", moved, BreakKind::Deleted),
        ("the end gone", joined(&lines[..9]), BreakKind::Truncated),
        ("rows gone at the end", joined(&[&lines[..9], &lines[13..]].concat()), BreakKind::Truncated),
        ("rows gone at the head", headless, BreakKind::Truncated),
        ("something put in", all.replacen("\"seq\":5,", "\"seq\":5,\"note\":1,", 1), BreakKind::Edited),
        ("a line put in", joined(&[&lines[..4], &["{}"][..], &lines[4..]].concat()), BreakKind::Edited),
    ] {
        let verdict = verify_audit_export(&text, &files).expect(what);
        assert!(!verdict.whole && verdict.breaks[0].kind == kind, "{what}: {verdict:?}");
    }
    for no_export in ["", "{}", "noise", lines[1]] {
        assert!(verify_audit_export(no_export, &files).is_err(), "{no_export:?}");
    }
}
