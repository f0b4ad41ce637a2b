//! Retention: every table that grows has an age or a number past which rows go, from the first release on.
//! Rows go a few thousand at a time, so that other writes pass in between.
use super::{Store, backup, columns::from_time, error::Result};
use crate::{config::RetentionSettings, domain::Period};
use jiff::{SignedDuration, Timestamp};
use rusqlite::params;
use tokio::task::spawn_blocking;

/// Rows that one transaction deletes.
const AT_ONCE: u32 = 5_000;

/// Whatever their age: a fleet that flaps all night must not fill the disk.
const MOST_ROWS: u32 = 1_000_000;

impl Store {
    /// Deletes what retention says; returns rows deleted. Old copies of the database go too, uncounted.
    pub async fn prune(&self, retention: RetentionSettings) -> Result<u64> {
        self.prune_to(retention, MOST_ROWS).await
    }

    async fn prune_to(&self, retention: RetentionSettings, most_rows: u32) -> Result<u64> {
        let (backups, keep) = (self.backups().to_owned(), retention.migration_backups);
        let copies = spawn_blocking(move || {
            backup::keep_newest(&backups, usize::try_from(keep).unwrap_or(usize::MAX))
        });
        let oldest_event = from_time(self.before(retention.events)).unwrap_or(i64::MIN);
        let oldest_transition = from_time(self.before(retention.probe_transitions)).unwrap_or(i64::MIN);
        let oldest_waiver = from_time(self.before(retention.waivers)).unwrap_or(i64::MIN);
        let deletions: [(&'static str, i64); 7] = [
            ("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ?1 LIMIT ?2)", oldest_event),
            (
                "DELETE FROM events WHERE seq IN (SELECT seq FROM events
                 WHERE seq <= (SELECT max(seq) FROM events) - ?1 ORDER BY seq LIMIT ?2)",
                most_rows.into(),
            ),
            (
                "DELETE FROM transitions WHERE seq IN
                 (SELECT seq FROM transitions WHERE at < ?1 LIMIT ?2)",
                oldest_transition,
            ),
            (
                "DELETE FROM transitions WHERE seq IN (SELECT seq FROM transitions
                 WHERE seq <= (SELECT max(seq) FROM transitions) - ?1 ORDER BY seq LIMIT ?2)",
                most_rows.into(),
            ),
            // Its report goes with it.
            (
                "DELETE FROM runs WHERE run IN (SELECT run FROM runs WHERE state <> 'running'
                 AND run <= (SELECT run FROM runs ORDER BY run DESC LIMIT 1 OFFSET ?1) ORDER BY run LIMIT ?2)",
                retention.reports.into(),
            ),
            // One that is in force lapses in time: they are bounded in age too.
            (
                "DELETE FROM waivers WHERE id IN
                 (SELECT id FROM waivers WHERE min(expires_at, ifnull(revoked_at, expires_at)) < ?1 LIMIT ?2)",
                oldest_waiver,
            ),
            // One that is not closed stays, as does what is still called: that has a row again when it next changes.
            (
                "DELETE FROM breakers WHERE name IN
                 (SELECT name FROM breakers WHERE state = 'closed' AND since < ?1 LIMIT ?2)",
                oldest_event,
            ),
        ];
        let mut gone = 0;
        for (sql, bound) in deletions {
            loop {
                let deleted = self
                    .write("delete what is past retention", move |connection| {
                        Ok(connection.prepare_cached(sql)?.execute(params![bound, AT_ONCE])?)
                    })
                    .await?;
                gone += deleted as u64;
                if deleted < AT_ONCE as usize {
                    break;
                }
            }
        }
        // A copy that could not be deleted is met again at the next pruning.
        let _ = copies.await;
        Ok(gone)
    }

    fn before(&self, age: Period) -> Timestamp {
        let age = SignedDuration::try_from(age.0).unwrap_or(SignedDuration::MAX);
        self.clock().now().checked_sub(age).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Event, ProbeState, ProbeTransition, Waiver},
        store::scratch::{Scratch, event, report, waiver},
    };

    fn keep(reports: u32) -> RetentionSettings {
        RetentionSettings {
            events: Period::secs(3600),
            probe_transitions: Period::secs(3600),
            reports,
            migration_backups: 1,
            waivers: Period::secs(3600),
        }
    }

    #[tokio::test]
    async fn what_is_past_its_time_goes_and_what_is_not_stays() {
        let store = Scratch::new();
        let old = Timestamp::now() - SignedDuration::from_hours(2);
        for at in [old, old, Timestamp::now()] {
            store.record_event(Event { at, ..event("x") }).await.expect("recorded");
            let change = ProbeTransition {
                at,
                target: "orders/0".into(),
                probe: "up".into(),
                from: ProbeState::Unknown,
                to: ProbeState::Passing,
                detail: String::new(),
            };
            store.record_transition(change).await.expect("recorded");
        }
        let mut runs = Vec::new();
        for _ in 0..4 {
            let run = store.begin_run("dev".into(), false).await.expect("begun");
            store.finish_run(report(run)).await.expect("finished");
            runs.push(run);
        }
        assert_eq!(store.prune(keep(3)).await.expect("pruned"), 2 + 2 + 1);
        assert_eq!(store.prune(keep(3)).await.expect("pruned"), 0, "it deleted what it was told to keep");
        assert_eq!(store.events(0, 9).await.expect("read").len(), 1);
        assert_eq!(store.transitions(None, 9).await.expect("read").len(), 1);
        assert_eq!(store.report(runs[0]).await.expect("read"), None);
        assert!(store.report(runs[1]).await.expect("read").is_some());
        let next = store.begin_run("dev".into(), false).await.expect("begun");
        assert_eq!(next.0, 5, "a number was given twice");
    }

    #[tokio::test]
    async fn a_waiver_goes_when_it_lapsed_long_ago_and_not_while_it_is_in_force() {
        let store = Scratch::new();
        let long_ago = Timestamp::now() - SignedDuration::from_hours(9);
        let expires = |hours: i64| Waiver {
            added_at: long_ago,
            expires_at: Timestamp::now() + SignedDuration::from_hours(hours),
            ..waiver()
        };
        let revoked = Waiver { revoked_at: Some(long_ago), ..expires(5) };
        for added in
            [expires(-2), revoked, expires(5), Waiver { revoked_at: Some(Timestamp::now()), ..expires(5) }]
        {
            store.add_waiver(added).await.expect("added");
        }
        assert_eq!(store.prune(keep(3)).await.expect("pruned"), 2 + 4, "two and what was told of all");
        let left: Vec<_> = store.waivers(None).await.expect("read").iter().map(|waiver| waiver.id).collect();
        assert_eq!(left, [3, 4]);
        assert_eq!(store.add_waiver(expires(5)).await.expect("added").id, 5, "a number was given twice");
    }

    #[tokio::test]
    async fn a_flapping_fleet_is_bounded_by_number() {
        let store = Scratch::new();
        for number in 0..30 {
            store.record_event(event(format!("{number}"))).await.expect("recorded");
        }
        assert_eq!(store.prune_to(keep(3), 10).await.expect("pruned"), 20);
        let left = store.events(0, 99).await.expect("read");
        assert_eq!((left.len(), left[0].text.as_str()), (10, "20"));
    }

    #[tokio::test]
    async fn a_run_under_way_is_never_pruned() {
        let store = Scratch::new();
        let first = store.begin_run("dev".into(), false).await.expect("begun");
        store.begin_run("dev".into(), false).await.expect("begun");
        assert_eq!(store.prune(keep(0)).await.expect("pruned"), 0);
        store.finish_run(report(first)).await.expect("still there to finish");
    }
}
