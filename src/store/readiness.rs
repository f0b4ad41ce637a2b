//! Validation runs and their reports. A run is begun, then finished or interrupted; it is finished once.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, from_word, integer, number, optional_word, time, word},
    error::{Result, Trouble},
};
use crate::domain::{Act, AuditOutcome, Interval, Phase, Report, RunId, RunSummary};
use rusqlite::{OptionalExtension, Row, params};

/// No answer is longer, whatever is asked for.
const LONGEST_PAGE: u32 = 10_000;
const SUMMARY: &str =
    "run, iif(cancelled, 'cancelled', state), started_at, environment, verdict, low, high, coverage, partial,
    phase";

impl Store {
    /// Its row is an intent: the one that says how it ended is written with its report, or with its cancelling. A run
    /// that a dead daemon left stays without.
    pub async fn begin_run(&self, act: Act, environment: String, partial: bool) -> Result<RunId> {
        self.begin_run_of(act, environment, partial, None).await
    }

    /// The same for a run of the checklist, of which `validate` knows nothing.
    pub async fn begin_run_of(
        &self,
        act: Act,
        environment: String,
        partial: bool,
        phase: Option<Phase>,
    ) -> Result<RunId> {
        let now = self.clock().now();
        self.act("begin a validation", act, move |connection| {
            let what = phase.map(|phase| format!("the checklist, {phase}, ")).unwrap_or_default();
            let began = format!("{what}of {environment}{}", if partial { ", in part" } else { "" });
            let run: u64 = connection
                .prepare_cached(
                    "INSERT INTO runs (state, started_at, environment, partial, phase)
                     VALUES ('running', ?1, ?2, ?3, ?4) RETURNING run",
                )?
                .query_row(
                    params![from_time(now)?, environment, partial, phase.map(from_word).transpose()?],
                    |row| number(row, 0),
                )?;
            Ok(Effect::on(format!("run/{run}"), RunId(run)).begun().because(began))
        })
        .await
    }

    /// Keeps the report and what the list shows of it, together. Refuses a run that is not running (Conflict).
    /// `act` is that of its beginning.
    pub async fn finish_run(&self, act: Act, report: Report) -> Result<()> {
        self.act("keep a report", act, move |connection| {
            let body = serde_json::to_string(&report)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let changed = connection
                .prepare_cached(
                    "UPDATE runs SET state = 'finished', environment = ?2, partial = ?3, verdict = ?4,
                     low = ?5, high = ?6, coverage = ?7 WHERE run = ?1 AND state = 'running'",
                )?
                .execute(params![
                    integer(report.run.0)?,
                    report.environment,
                    report.partial,
                    from_word(report.verdict)?,
                    report.score.low,
                    report.score.high,
                    report.coverage,
                ])?;
            if changed == 0 {
                return Err(Trouble::Said(StoreError::new(
                    StoreErrorKind::Conflict,
                    format!("cannot finish validation {}: it is not running", report.run),
                )));
            }
            connection
                .prepare_cached("INSERT INTO reports (run, body) VALUES (?1, ?2)")?
                .execute(params![integer(report.run.0)?, body])?;
            let Interval { low, high } = report.score;
            let said = format!("{}, {low:.2} to {high:.2} of 100", report.verdict_word());
            Ok(Effect::on(format!("run/{}", report.run), ()).because(said))
        })
        .await
    }

    /// Closes a run that was called off; it has no report. Refuses a run that is not running (Conflict).
    /// `begun` is the act of its beginning.
    pub async fn cancel_run(&self, act: Act, begun: Act, run: RunId) -> Result<()> {
        self.act("close a validation that was cancelled", act, move |connection| {
            // A new word in `state` would mean another table, and reports hang on this one.
            let changed = connection
                .prepare_cached(
                    "UPDATE runs SET state = 'interrupted', cancelled = 1 WHERE run = ?1 AND state = 'running'",
                )?
                .execute([integer(run.0)?])?;
            if changed == 0 {
                return Err(Trouble::Said(StoreError::new(
                    StoreErrorKind::Conflict,
                    format!("cannot cancel validation {run}: it is not running"),
                )));
            }
            let object = format!("run/{run}");
            Ok(Effect::on(object.clone(), ()).ends(begun.on(object), AuditOutcome::Failed, "cancelled"))
        })
        .await
    }

    /// At boot: runs that a dead daemon left running become interrupted.
    pub async fn interrupt_runs(&self) -> Result<u64> {
        self.write("close validations that were cut off", |connection| {
            let changed = connection
                .prepare_cached("UPDATE runs SET state = 'interrupted' WHERE state = 'running'")?
                .execute([])?;
            Ok(changed as u64)
        })
        .await
    }

    /// Validations, newest first. At most 10,000.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunSummary>> {
        self.runs_where("phase IS NULL", limit).await
    }

    /// The same of the checklist.
    pub async fn checklist_runs(&self, limit: u32) -> Result<Vec<RunSummary>> {
        self.runs_where("phase IS NOT NULL", limit).await
    }

    async fn runs_where(&self, which: &'static str, limit: u32) -> Result<Vec<RunSummary>> {
        self.read("list runs", move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {SUMMARY} FROM runs WHERE {which} ORDER BY run DESC LIMIT ?1"
            ))?;
            let rows = query.query_map([limit.min(LONGEST_PAGE)], summary)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// One of either kind, unless it is past retention.
    pub async fn run(&self, run: RunId) -> Result<Option<RunSummary>> {
        self.read("find a run", move |connection| {
            let Ok(number) = i64::try_from(run.0) else { return Ok(None) };
            Ok(connection
                .prepare_cached(&format!("SELECT {SUMMARY} FROM runs WHERE run = ?1"))?
                .query_row([number], summary)
                .optional()?)
        })
        .await
    }

    /// The newest report of a full run of this environment.
    pub async fn last_full_report(&self, environment: String) -> Result<Option<Report>> {
        self.read("find the last full validation", move |connection| {
            let found: Option<(u64, String)> = connection
                .prepare_cached(
                    "SELECT run, body FROM runs JOIN reports USING (run)
                     WHERE state = 'finished' AND phase IS NULL AND partial = 0 AND environment = ?1 ORDER BY run DESC LIMIT 1",
                )?
                .query_row([environment], |row| Ok((number(row, 0)?, row.get(1)?)))
                .optional()?;
            found.map(|(run, body)| parse(run, &body)).transpose()
        })
        .await
    }

    /// None when there is no such run, or no report of it: running, interrupted, cancelled, or past retention.
    pub async fn report(&self, run: RunId) -> Result<Option<Report>> {
        self.read("read a report", move |connection| {
            let Ok(number) = i64::try_from(run.0) else { return Ok(None) };
            let body: Option<String> = connection
                .prepare_cached("SELECT body FROM reports WHERE run = ?1")?
                .query_row([number], |row| row.get(0))
                .optional()?;
            body.map(|body| parse(run.0, &body)).transpose()
        })
        .await
    }
}

fn parse(run: u64, body: &str) -> std::result::Result<Report, Trouble> {
    serde_json::from_str(body).map_err(|error| {
        Trouble::Said(StoreError::new(
            StoreErrorKind::Failed,
            format!("cannot read report {run}: another version wrote it: {error}"),
        ))
    })
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    let low: Option<f64> = row.get(5)?;
    let high: Option<f64> = row.get(6)?;
    Ok(RunSummary {
        run: RunId(number(row, 0)?),
        state: word(row, 1)?,
        started_at: time(row, 2)?,
        environment: row.get(3)?,
        verdict: optional_word(row, 4)?,
        score: low.zip(high).map(|(low, high)| Interval { low, high }),
        coverage: row.get(7)?,
        partial: row.get(8)?,
        phase: optional_word(row, 9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{RunState, Verdict},
        store::scratch::{Scratch, act, report},
    };

    #[tokio::test]
    async fn a_run_is_finished_once_and_only_if_it_runs() {
        let store = Scratch::new();
        let run = store.begin_run(act(), "dev".into(), false).await.expect("begun");
        assert_eq!(run, RunId(1));
        assert_eq!(store.report(run).await.expect("read"), None);
        store.finish_run(act(), report(run)).await.expect("finished");
        for refused in [run, RunId(77), RunId(u64::MAX)] {
            let error = store.finish_run(act(), report(refused)).await.expect_err("finished again");
            assert!(error.message.starts_with("cannot"), "{error:?}");
        }
        let store = store.reopen().await;
        assert_eq!(store.report(run).await.expect("read"), Some(report(run)));
        let listed = store.runs(9).await.expect("listed");
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].state, listed[0].verdict), (RunState::Finished, Some(Verdict::Inconclusive)));
        assert_eq!((listed[0].environment.as_str(), listed[0].score), ("staging", Some(report(run).score)));
    }

    #[tokio::test]
    async fn what_a_dead_daemon_left_running_is_interrupted_and_stays_so() {
        let store = Scratch::new();
        let done = store.begin_run(act(), "dev".into(), false).await.expect("begun");
        store.finish_run(act(), report(done)).await.expect("finished");
        let cut = store.begin_run(act(), "dev".into(), true).await.expect("begun");
        let store = store.reopen().await;
        assert_eq!(store.interrupt_runs().await.expect("interrupted"), 1);
        assert_eq!(store.interrupt_runs().await.expect("nothing left"), 0);
        let error = store.finish_run(act(), report(cut)).await.expect_err("a dead run was finished");
        assert_eq!(error.kind, StoreErrorKind::Conflict);
        let states: Vec<_> =
            store.runs(9).await.expect("listed").iter().map(|run| (run.run, run.state)).collect();
        assert_eq!(states, [(cut, RunState::Interrupted), (done, RunState::Finished)]);
    }

    #[tokio::test]
    async fn a_cancelled_run_is_listed_as_such_and_can_neither_finish_nor_be_cancelled_again() {
        let store = Scratch::new();
        let run = store.begin_run(act(), "dev".into(), false).await.expect("begun");
        store.cancel_run(act(), act(), run).await.expect("cancelled");
        for error in [
            store.finish_run(act(), report(run)).await.expect_err("a cancelled run was finished"),
            store.cancel_run(act(), act(), run).await.expect_err("cancelled twice"),
            store.cancel_run(act(), act(), RunId(77)).await.expect_err("there is none"),
        ] {
            assert_eq!(error.kind, StoreErrorKind::Conflict);
        }
        let store = store.reopen().await;
        assert_eq!(store.interrupt_runs().await.expect("nothing runs"), 0);
        assert_eq!(store.runs(9).await.expect("listed")[0].state, RunState::Cancelled);
        assert_eq!(store.report(run).await.expect("read"), None);
        let done = store.begin_run(act(), "dev".into(), false).await.expect("begun");
        store.finish_run(act(), report(done)).await.expect("finished");
        let error = store.cancel_run(act(), act(), done).await.expect_err("its report would be lost");
        assert_eq!(error.kind, StoreErrorKind::Conflict);
    }

    #[tokio::test]
    async fn the_last_full_report_is_of_that_environment_and_not_of_a_part() {
        let store = Scratch::new();
        let kept = async |environment: &str, partial: bool| {
            let run = store.begin_run(act(), environment.into(), partial).await.expect("begun");
            let report = Report { environment: environment.into(), partial, ..report(run) };
            store.finish_run(act(), report).await.expect("finished");
            run
        };
        let last = async |environment: &str| {
            store.last_full_report(environment.into()).await.expect("read").map(|report| report.run)
        };
        assert_eq!(last("staging").await, None);
        let full = kept("staging", false).await;
        kept("staging", true).await;
        kept("dev", false).await;
        store.begin_run(act(), "staging".into(), false).await.expect("begun");
        assert_eq!(last("staging").await, Some(full));
        assert_eq!(last("production").await, None);
    }
}
