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
        let deletions = self.deletions(&retention, most_rows).into_iter();
        let mut gone = 0;
        let deletions = deletions.chain(self.deletions_of_triggers(&retention, most_rows));
        let deletions = deletions.chain(self.deletions_of_trials(&retention, most_rows));
        for (sql, bound) in deletions.chain(self.deletions_of_access(&retention, most_rows)) {
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
        gone += self.prune_audit(self.before(retention.audit), most_rows, AT_ONCE).await?;
        // A copy that could not be deleted is met again at the next pruning.
        let _ = copies.await;
        Ok(gone)
    }

    /// What goes, and the bound that decides it: an age, an hour or a number.
    fn deletions(&self, retention: &RetentionSettings, most_rows: u32) -> Vec<(&'static str, i64)> {
        let oldest_event = from_time(self.before(retention.events)).unwrap_or(i64::MIN);
        let oldest_transition = from_time(self.before(retention.probe_transitions)).unwrap_or(i64::MIN);
        let oldest_waiver = from_time(self.before(retention.waivers)).unwrap_or(i64::MIN);
        let oldest_attestation = from_time(self.before(retention.attestations)).unwrap_or(i64::MIN);
        let oldest_approval = from_time(self.before(retention.approvals)).unwrap_or(i64::MIN);
        let oldest_error = from_time(self.before(retention.errors)).unwrap_or(i64::MIN);
        let oldest_hour = self.before(retention.quotas).as_second().div_euclid(3600);
        vec![
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
                "DELETE FROM runs WHERE run IN (SELECT run FROM runs WHERE state <> 'running' AND phase IS NULL
                 AND run <= (SELECT run FROM runs WHERE phase IS NULL ORDER BY run DESC LIMIT 1 OFFSET ?1)
                 ORDER BY run LIMIT ?2)",
                retention.reports.into(),
            ),
            // Of the checklist as many, by themselves: they must not drive validations out.
            (
                "DELETE FROM runs WHERE run IN (SELECT run FROM runs WHERE state <> 'running' AND phase IS NOT NULL
                 AND run <= (SELECT run FROM runs WHERE phase IS NOT NULL ORDER BY run DESC LIMIT 1 OFFSET ?1)
                 ORDER BY run LIMIT ?2)",
                retention.reports.into(),
            ),
            (
                "DELETE FROM attestations WHERE id IN (SELECT id FROM attestations
                 WHERE min(expires_at, ifnull(revoked_at, expires_at)) < ?1 LIMIT ?2)",
                oldest_attestation,
            ),
            // One that is in force lapses in time: they are bounded in age too.
            (
                "DELETE FROM waivers WHERE id IN
                 (SELECT id FROM waivers WHERE min(expires_at, ifnull(revoked_at, expires_at)) < ?1 LIMIT ?2)",
                oldest_waiver,
            ),
            // Whatever became of it: after that time nothing more can.
            (
                "DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE expires_at < ?1 LIMIT ?2)",
                oldest_approval,
            ),
            (
                "DELETE FROM error_occurrences WHERE seq IN
                 (SELECT seq FROM error_occurrences WHERE at < ?1 LIMIT ?2)",
                oldest_error,
            ),
            // An hour is 3600 s of 10^9 ns.
            (
                "DELETE FROM error_hours WHERE (group_id, hour) IN
                 (SELECT group_id, hour FROM error_hours WHERE hour < ?1 / 3600000000000 LIMIT ?2)",
                oldest_error,
            ),
            // What is left of its hours and occurrences goes with it.
            (
                "DELETE FROM error_groups WHERE id IN (SELECT id FROM error_groups WHERE last_at < ?1 LIMIT ?2)",
                oldest_error,
            ),
            // One that is not closed stays, as does what is still called: that has a row again when it next changes.
            (
                "DELETE FROM breakers WHERE name IN
                 (SELECT name FROM breakers WHERE state = 'closed' AND since < ?1 LIMIT ?2)",
                oldest_event,
            ),
            (
                "DELETE FROM quotas WHERE (principal, hour) IN
                 (SELECT principal, hour FROM quotas WHERE hour < ?1 LIMIT ?2)",
                oldest_hour,
            ),
        ]
    }

    /// What was tried out: drills, rollouts, rehearsals.
    fn deletions_of_trials(&self, retention: &RetentionSettings, most_rows: u32) -> Vec<(&'static str, i64)> {
        let oldest_drill = from_time(self.before(retention.drills)).unwrap_or(i64::MIN);
        let oldest_rollout = from_time(self.before(retention.rollouts)).unwrap_or(i64::MIN);
        let oldest_rehearsal = from_time(self.before(retention.rehearsals)).unwrap_or(i64::MIN);
        vec![
            (
                "DELETE FROM drills WHERE id IN (SELECT id FROM drills
                 WHERE at < ?1 AND id < (SELECT max(id) FROM drills) ORDER BY id LIMIT ?2)",
                oldest_drill,
            ),
            (
                "DELETE FROM drills WHERE id IN (SELECT id FROM drills
                 WHERE id <= (SELECT max(id) FROM drills) - ?1 ORDER BY id LIMIT ?2)",
                most_rows.into(),
            ),
            (
                "DELETE FROM rollouts WHERE id IN (SELECT id FROM rollouts WHERE ended_at < ?1 LIMIT ?2)",
                oldest_rollout,
            ),
            // The last of each content stays: by it the way back is judged.
            (
                "DELETE FROM rehearsals WHERE id IN (SELECT id FROM rehearsals
                 WHERE at < ?1 AND id NOT IN (SELECT max(id) FROM rehearsals GROUP BY content) ORDER BY id LIMIT ?2)",
                oldest_rehearsal,
            ),
            (
                "DELETE FROM rehearsals WHERE id IN (SELECT id FROM rehearsals
                 WHERE id <= (SELECT max(id) FROM rehearsals) - ?1 ORDER BY id LIMIT ?2)",
                most_rows.into(),
            ),
        ]
    }

    /// Keys and sessions.
    fn deletions_of_access(&self, retention: &RetentionSettings, most_rows: u32) -> Vec<(&'static str, i64)> {
        let oldest_key = from_time(self.before(retention.keys)).unwrap_or(i64::MIN);
        let oldest_session = from_time(self.before(retention.sessions)).unwrap_or(i64::MIN);
        vec![
            // Before the keys: those that were opened with one would go with it, and not be counted.
            (
                "DELETE FROM sessions WHERE id IN
                 (SELECT id FROM sessions WHERE min(expires_at, ifnull(ended_at, expires_at)) < ?1 LIMIT ?2)",
                oldest_session,
            ),
            (
                "DELETE FROM sessions WHERE id IN
                 (SELECT id FROM (SELECT id, opened_at FROM sessions ORDER BY opened_at DESC LIMIT -1 OFFSET ?1)
                  ORDER BY opened_at LIMIT ?2)",
                most_rows.into(),
            ),
            // One that never expires and was not revoked is in force: those are bounded in number.
            (
                "DELETE FROM keys WHERE id IN
                 (SELECT id FROM keys WHERE min(ifnull(expires_at, revoked_at), ifnull(revoked_at, expires_at)) < ?1
                  LIMIT ?2)",
                oldest_key,
            ),
        ]
    }

    /// What triggers did.
    fn deletions_of_triggers(
        &self,
        retention: &RetentionSettings,
        most_rows: u32,
    ) -> Vec<(&'static str, i64)> {
        let oldest_trigger = from_time(self.before(retention.triggers)).unwrap_or(i64::MIN);
        vec![
            // What still stands stays, whatever its age.
            (
                "DELETE FROM trigger_firings WHERE id IN (SELECT id FROM trigger_firings WHERE at < ?1
                 AND state NOT IN ('paused', 'intended', 'reverting', 'stopped') ORDER BY id LIMIT ?2)",
                oldest_trigger,
            ),
            (
                "DELETE FROM trigger_firings WHERE id IN (SELECT id FROM trigger_firings
                 WHERE id <= (SELECT max(id) FROM trigger_firings) - ?1
                 AND state NOT IN ('paused', 'intended', 'reverting', 'stopped') ORDER BY id LIMIT ?2)",
                most_rows.into(),
            ),
            (
                "DELETE FROM trigger_holds WHERE id IN (SELECT id FROM trigger_holds
                 WHERE min(expires_at, ifnull(released_at, expires_at)) < ?1 LIMIT ?2)",
                oldest_trigger,
            ),
        ]
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
        domain::{
            Act, ApiKey, Caller, Clients, Event, Identity, ProbeState, ProbeTransition, Role, Session, Waiver,
        },
        store::scratch::{Scratch, act, event, report, waiver},
        store::{HashedKey, HashedSession},
    };

    fn keep(reports: u32) -> RetentionSettings {
        RetentionSettings {
            events: Period::secs(3600),
            probe_transitions: Period::secs(3600),
            reports,
            migration_backups: 1,
            waivers: Period::secs(3600),
            attestations: Period::secs(3600),
            keys: Period::secs(3600),
            sessions: Period::secs(3600),
            approvals: Period::secs(3600),
            errors: Period::secs(3600),
            quotas: Period::secs(3600),
            rehearsals: Period::secs(3600),
            operations: 1,
            audit: Period::secs(3600),
            drills: Period::secs(3600),
            triggers: Period::secs(3600),
            rollouts: Period::secs(3600),
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
            let run = store.begin_run(act(), "dev".into(), false).await.expect("begun");
            store.finish_run(act(), report(run)).await.expect("finished");
            runs.push(run);
        }
        assert_eq!(store.prune(keep(3)).await.expect("pruned"), 2 + 2 + 1);
        assert_eq!(store.prune(keep(3)).await.expect("pruned"), 0, "it deleted what it was told to keep");
        assert_eq!(store.events(0, 9).await.expect("read").len(), 1);
        assert_eq!(store.transitions(None, 9).await.expect("read").len(), 1);
        assert_eq!(store.report(runs[0]).await.expect("read"), None);
        assert!(store.report(runs[1]).await.expect("read").is_some());
        let next = store.begin_run(act(), "dev".into(), false).await.expect("begun");
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
            store.add_waiver(act(), added).await.expect("added");
        }
        assert_eq!(store.prune(keep(3)).await.expect("pruned"), 2 + 4, "two and what was told of all");
        let left: Vec<_> = store.waivers(None).await.expect("read").iter().map(|waiver| waiver.id).collect();
        assert_eq!(left, [3, 4]);
        assert_eq!(
            store.add_waiver(act(), expires(5)).await.expect("added").id,
            5,
            "a number was given twice"
        );
    }

    #[tokio::test]
    async fn keys_and_sessions_go_when_they_were_over_long_ago_and_not_while_they_are_good() {
        let store = Scratch::new();
        let (now, hours) = (Timestamp::now(), SignedDuration::from_hours);
        let caller = Caller::by_socket(Identity { uid: 0, gid: 0, pid: None }, Role::Admin, None);
        let act = || Act::new(&caller, "keys/create", "");
        let key = |number: u8, expires_at, revoked_at| HashedKey {
            hash: [number; 32],
            key: ApiKey {
                id: format!("{number:012}"),
                principal: "service:billing".parse().expect("a principal"),
                role: Role::Service,
                application_role: None,
                clients: Clients::None,
                networks: Vec::new(),
                created_at: now - hours(9),
                created_by: caller.principal.clone(),
                expires_at,
                last_used_at: None,
                revoked_at,
                replaced_by: None,
            },
        };
        let (old, new, later) =
            (Some(now - hours(2)), Some(now - SignedDuration::from_mins(5)), Some(now + hours(9)));
        let ends =
            [(old, None), (None, old), (later, old), (new, None), (None, new), (later, None), (None, None)];
        for (number, (expires, revoked)) in (1..).zip(ends) {
            store.add_key(key(number, expires, revoked), act()).await.expect("added");
        }
        for (number, (expires, ended)) in (1..).zip([(old, None), (later, old), (later, new), (later, None)])
        {
            let session = Session {
                id: format!("{number:012}"),
                principal: caller.principal.clone(),
                role: Role::Admin,
                key: None,
                uid: 0,
                gid: 0,
                opened_at: now - hours(9),
                expires_at: expires.expect("an end"),
                last_used_at: now - hours(9),
                ended_at: ended,
            };
            let opened = HashedSession { session, hash: [number; 32] };
            store.open_session(opened, 99, act()).await.expect("opened");
        }
        assert_eq!(store.prune(keep(9)).await.expect("pruned"), 3 + 2);
        assert_eq!(store.prune(keep(9)).await.expect("pruned"), 0, "it deleted what is good");
        assert_eq!(store.keys().await.expect("read").len(), 4);
        assert_eq!(store.sessions(Timestamp::UNIX_EPOCH).await.expect("read").len(), 2);
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
        let first = store.begin_run(act(), "dev".into(), false).await.expect("begun");
        store.begin_run(act(), "dev".into(), false).await.expect("begun");
        assert_eq!(store.prune(keep(0)).await.expect("pruned"), 0);
        store.finish_run(act(), report(first)).await.expect("still there to finish");
    }
}
