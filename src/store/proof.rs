//! The store's controls, exercised: what is asked of it is really refused, undone, survived. Facts only, no judgement.
//! Meant for a scratch store: some hold every reader, or write.
mod clients;
mod crash;
mod exhaustion;
mod integrity;
mod trail;
mod versions;

pub use clients::SightFacts;
#[cfg(test)]
pub(crate) use crash::tests::{HASTY, PROGRAM};
pub use crash::{Doomed, write_until_killed};
pub use exhaustion::PoolFacts;
pub use integrity::{Damage, IntegrityFacts, damage};
pub use trail::{Tampering, tamper};
#[cfg(test)]
pub(crate) use versions::tests::prove_flawed;
pub use versions::{BackupFacts, VersionFacts, prove_versions};

use super::{
    Store, StoreError, StoreErrorKind,
    error::{Answer, Result, Trouble},
    open::{self, ConnectionFacts},
};
use crate::domain::{Event, EventKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use rusqlite::{Connection, ErrorCode};
use std::{
    panic::resume_unwind,
    sync::{atomic::Ordering, mpsc as gate},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// No proof holds the writer longer than this, whatever happens to the rest of it.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// Four steps handed in together: `before` and `after` end well, `failed` and `panicked` write a row and then do not.
/// And one alone: `lost` writes a row, and its COMMIT fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackFacts {
    /// Steps whose row a reader finds afterwards.
    pub kept: Vec<String>,
    /// Steps whose caller was told of a failure.
    pub refused: Vec<String>,
    /// Steps whose row a reader saw before the last of the four had ended, so before any COMMIT.
    pub seen_early: Vec<String>,
    /// Transactions that the four steps shared; 1 unless the machine is very slow.
    pub transactions: u64,
}

/// One row that must not be taken, or, as the counter-proof, one that must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstraintFacts {
    pub attempt: String,
    pub must_be_refused: bool,
    /// By a constraint, not by some other failure.
    pub refused: bool,
    /// What SQLite said; empty when it took the row.
    pub answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurabilityFacts {
    pub sqlite_version: String,
    /// The writer first, then every reader that was open.
    pub connections: Vec<ConnectionFacts>,
}

impl Store {
    /// Does a failure, or a panic, undo its own writes and no others, though they share a transaction?
    pub async fn prove_rollback(&self) -> Result<RollbackFacts> {
        self.write("make a scratch table", |connection| {
            let sql = "DROP TABLE IF EXISTS proof; CREATE TABLE proof (step TEXT NOT NULL) STRICT";
            Ok(connection.execute_batch(sql)?)
        })
        .await?;
        let commits = || self.writer().counts().commits.load(Ordering::Relaxed);
        let started = commits();
        // The writer is held until all four wait, so that they end up in one transaction.
        let (open, held) = gate::channel::<()>();
        let (told, holds) = oneshot::channel();
        let store = self.clone();
        let hold = tokio::spawn(async move {
            let hold = move |_: &Connection| {
                let _ = told.send(());
                let _ = held.recv_timeout(LONGEST_HOLD);
                Ok(())
            };
            store.write("hold the writer", hold).await
        });
        // Dropped unsent when the write is refused: then `hold` says why.
        let _ = holds.await;
        let step = |name: &'static str, end: fn() -> Answer<()>| {
            self.write("take a step on purpose", move |connection| {
                connection.execute("INSERT INTO proof (step) VALUES (?1)", [name])?;
                end()
            })
        };
        let rows = || {
            self.read("read the scratch table", |connection| {
                let mut query = connection.prepare("SELECT step FROM proof ORDER BY rowid")?;
                Ok(query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?)
            })
        };
        let (wrote, last) = oneshot::channel();
        let (looked, look) = gate::channel::<()>();
        let peek = async {
            drop(open);
            // Dropped unsent when the step is refused: then its caller is told why.
            let _ = last.await;
            let seen = rows().await;
            drop(looked);
            seen
        };
        let (before, failed, panicked, after, seen_early) = tokio::join!(
            biased;
            step("before", || Ok(())),
            step("failed", || {
                let on_purpose = "cannot go on: it fails on purpose";
                Err(Trouble::Said(StoreError::new(StoreErrorKind::Failed, on_purpose)))
            }),
            // Not `panic!`: nothing is broken, so nothing is to be reported by the panic hook.
            step("panicked", || resume_unwind(Box::new("on purpose"))),
            self.write("take a step on purpose", move |connection| {
                connection.execute("INSERT INTO proof (step) VALUES ('after')", [])?;
                let _ = wrote.send(());
                let _ = look.recv_timeout(LONGEST_HOLD);
                Ok(())
            }),
            peek,
        );
        hold.await.map_err(|_| StoreError::panicked("hold the writer"))??;
        let transactions = commits().saturating_sub(started + 1);
        let lost = self
            .write("lose a commit on purpose", |connection| {
                connection.execute("INSERT INTO proof (step) VALUES ('lost')", [])?;
                // The COMMIT that comes next is turned into a rollback.
                Ok(connection.commit_hook(Some(|| true))?)
            })
            .await;
        let mend = |connection: &Connection| Ok(connection.commit_hook(None::<fn() -> bool>)?);
        self.write("keep commits again", mend).await?;
        let (kept, seen_early) = (rows().await?, seen_early?);
        self.write("drop the scratch table", |connection| Ok(connection.execute_batch("DROP TABLE proof")?))
            .await?;
        let ends = [
            ("before", before),
            ("failed", failed),
            ("panicked", panicked),
            ("lost", lost),
            ("after", after),
        ];
        let refused = ends.into_iter().filter(|(_, end)| end.is_err()).map(|(name, _)| name.into()).collect();
        Ok(RollbackFacts { kept, refused, seen_early, transactions })
    }

    /// Do keys, references, checks and types refuse what they forbid? Leaves nothing behind, whatever the answer.
    pub async fn prove_constraints(&self) -> Result<Vec<ConstraintFacts>> {
        const ATTEMPTS: &[(&str, bool, &str)] = &[
            (
                "a report of a validation that never was (reference)",
                true,
                "INSERT INTO reports (run, body) VALUES (9007199254740991, '{}')",
            ),
            (
                "a validation in a state that there is not (check)",
                true,
                "INSERT INTO runs (state, started_at, environment, partial) VALUES ('dreaming', 0, '', 0)",
            ),
            (
                "a second id of the fleet (key)",
                true,
                "INSERT INTO meta (key, value) SELECT key, value FROM meta WHERE key = 'fleet_id'",
            ),
            (
                "an event without a text (not null)",
                true,
                "INSERT INTO events (at, kind, text) VALUES (0, 'agent-ready', NULL)",
            ),
            (
                "a word where a number belongs (type)",
                true,
                "INSERT INTO desires (agent, stopped, replicas) VALUES ('proof', 0, 'many')",
            ),
            (
                "a row with nothing wrong",
                false,
                "INSERT INTO desires (agent, stopped, replicas) VALUES ('proof/of/nothing', 0, 1)",
            ),
        ];
        self.write("try what constraints forbid", |connection| {
            let mut facts = Vec::new();
            for &(attempt, must_be_refused, sql) in ATTEMPTS {
                connection.execute_batch("SAVEPOINT attempt")?;
                let end = connection.execute(sql, []);
                connection.execute_batch("ROLLBACK TO attempt; RELEASE attempt")?;
                facts.push(ConstraintFacts {
                    attempt: attempt.into(),
                    must_be_refused,
                    refused: end.as_ref().is_err_and(|error| {
                        error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
                    }),
                    answer: end.err().map(|error| error.to_string()).unwrap_or_default(),
                });
            }
            Ok(facts)
        })
        .await
    }

    /// The settings in force, as the connections themselves tell them.
    pub async fn prove_durability_settings(&self) -> Result<DurabilityFacts> {
        let what = "ask a connection for its settings";
        let writer = self.write(what, |connection| Ok(open::facts(connection, "writer".into())?)).await?;
        let readers = self
            .readers()
            .each(what, |connection, number| Ok(open::facts(connection, format!("reader {}", number + 1))?))
            .await?;
        let connections = [writer].into_iter().chain(readers).collect();
        Ok(DurabilityFacts { sqlite_version: rusqlite::version().into(), connections })
    }

    /// Milliseconds of `count` real reads through the pool, `concurrent` of them at a time.
    pub async fn time_queries(&self, count: usize, concurrent: usize) -> Result<Vec<f64>> {
        let one = |number: usize| async move {
            let asked = Instant::now();
            match number % 3 {
                0 => drop(self.runs(20).await?),
                1 => drop(self.events(0, 50).await?),
                _ => drop(self.instances().await?),
            }
            Ok(ms(asked))
        };
        stream::iter(0..count).map(one).buffer_unordered(concurrent.max(1)).try_collect().await
    }

    /// Milliseconds from handing in to COMMIT of `count` events, `concurrent` of them at a time. Leaves them there.
    pub async fn time_writes(&self, count: usize, concurrent: usize) -> Result<Vec<f64>> {
        let at = self.clock().now();
        let one = |number: usize| async move {
            let asked = Instant::now();
            let text = format!("write {number} of {count}");
            self.record_event(Event { seq: 0, at, kind: EventKind::ProbeChanged, instance: None, text })
                .await?;
            Ok(ms(asked))
        };
        stream::iter(0..count).map(one).buffer_unordered(concurrent.max(1)).try_collect().await
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Flaw, Scratch};

    #[tokio::test]
    async fn a_failure_undoes_itself_and_no_other_and_the_proof_sees_when_it_does_not() {
        let sound = Scratch::new().prove_rollback().await.expect("proved");
        assert_eq!(sound.kept, ["before", "after"]);
        assert_eq!(sound.refused, ["failed", "panicked", "lost"]);
        assert_eq!(sound.seen_early, Vec::<String>::new());
        assert_eq!(sound.transactions, 1, "they did not share a transaction");

        let flawed = Scratch::flawed(Flaw::NoRollback);
        let seen = flawed.prove_rollback().await.expect("proved");
        assert_eq!(seen.kept, ["before", "failed", "panicked", "after"]);

        let flawed = Scratch::flawed(Flaw::NoTransaction);
        let seen = flawed.prove_rollback().await.expect("proved");
        assert_eq!(seen.seen_early, ["before"], "{seen:?}");
    }

    #[tokio::test]
    async fn constraints_refuse_and_the_proof_sees_when_one_does_not() {
        let store = Scratch::new();
        let sound = store.prove_constraints().await.expect("proved");
        assert!(sound.iter().any(|one| one.must_be_refused) && sound.iter().any(|one| !one.must_be_refused));
        for one in &sound {
            assert_eq!(one.refused, one.must_be_refused, "{one:?}");
        }
        assert_eq!(store.kept_of_agents().await.expect("read").desires, [], "the proof left a row behind");

        let flawed = Scratch::flawed(Flaw::NoForeignKeys);
        let seen = flawed.prove_constraints().await.expect("proved");
        let missed: Vec<_> = seen.iter().filter(|one| one.refused != one.must_be_refused).collect();
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert!(missed[0].attempt.contains("reference"));
    }

    #[tokio::test]
    async fn settings_are_what_the_connections_say_and_not_what_we_wish() {
        let wanted = |facts: &DurabilityFacts| {
            facts.connections.iter().all(|one| {
                one.journal_mode == "wal"
                    && one.synchronous == 2
                    && one.foreign_keys
                    && one.busy_timeout_ms > 0
                    && one.query_only == one.who.starts_with("reader")
            })
        };
        let store = Scratch::new();
        store.runs(1).await.expect("a reader is open");
        let sound = store.prove_durability_settings().await.expect("proved");
        assert!(sound.connections.len() >= 2 && sound.connections[0].who == "writer", "{sound:?}");
        assert!(wanted(&sound), "{sound:?}");
        for flaw in [Flaw::SynchronousOff, Flaw::NoForeignKeys, Flaw::ReadersWrite] {
            let flawed = Scratch::flawed(flaw);
            flawed.runs(1).await.expect("a reader is open");
            let seen = flawed.prove_durability_settings().await.expect("proved");
            assert!(!wanted(&seen), "{flaw:?} went unseen: {seen:?}");
        }
    }

    #[tokio::test]
    async fn times_are_of_real_reads_and_writes() {
        let store = Scratch::new();
        assert_eq!(store.time_writes(20, 4).await.expect("timed").len(), 20);
        assert_eq!(store.events(0, 99).await.expect("read").len(), 20);
        assert_eq!(store.time_queries(30, 8).await.expect("timed").len(), 30);
        let stats = store.stats();
        assert!(stats.query.count >= 31 && stats.wait.count >= 31 && stats.commit.count == 20, "{stats:?}");
        assert!(stats.commits <= 20 && stats.writes == 20, "{stats:?}");
        store.close().await;
        assert!(store.time_queries(1, 1).await.is_err() && store.time_writes(1, 1).await.is_err());
    }
}
