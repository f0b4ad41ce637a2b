//! Runs validations for the daemon: one at a time, followed by cursor, kept by the store.
use super::{
    CheckInfo, Evidence, Gate, Ground,
    checks::{self, CATEGORIES},
    engine, score,
    select::{self, Selection},
};
use crate::{
    agents::Supervisor,
    config::{Paths, Settings},
    domain::{Caller, Demands, Event, EventKind, Fault, FaultKind, Finding, Report, RunId, RunState},
    health::Monitor,
    resilience::Clock,
    store::Store,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

/// How long a follower's question is held when there is nothing new.
const LONG_POLL: Duration = Duration::from_secs(25);
/// How long scratch copies may take to be gone after the last check.
const CLEARING: Duration = Duration::from_secs(15);
/// Version of the report's shape.
const SCHEMA: u32 = 1;

/// Reads the manifest again: its digest, or why it cannot be read.
pub type Reread = Arc<dyn Fn() -> Result<String, Fault> + Send + Sync>;

pub struct ReadinessParts {
    /// The settings in force; changes at a reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The manifest on disk, to compare with what runs.
    pub config_file: Option<PathBuf>,
    pub config_digest: watch::Receiver<String>,
    /// Digest of the manifest as it stands on disk now, read from the same sources as at the start. It may block.
    pub reread: Reread,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub clock: Clock,
    /// The daemon's own door; without it the check that a caller without permission is refused cannot measure.
    pub gate: Option<Arc<dyn Gate>>,
    /// Set once the daemon serves.
    pub started: Arc<OnceLock<Started>>,
}

/// When the daemon began to start and how long it took until it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub at: Timestamp,
    pub took: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Ids or categories; empty is all.
    #[serde(default)]
    pub only: Vec<String>,
    #[serde(default)]
    pub skip: Vec<String>,
    /// Judge as on that day: what lapses until then has lapsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// What has happened in a run after a cursor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub run: RunId,
    pub total: u32,
    pub cursor: u64,
    /// Findings in the order they came in, after the cursor asked from.
    pub findings: Vec<Finding>,
    /// Present once it is finished.
    pub report: Option<Report>,
}

#[derive(Clone)]
pub struct Readiness {
    inner: Arc<Inner>,
}

struct Inner {
    parts: ReadinessParts,
    /// Held for a moment at a time, never across an await.
    desk: Mutex<Desk>,
}

/// The run under way, or the last one, kept for those who still follow it.
#[derive(Default)]
struct Desk {
    /// Somebody has the place, and its run has no number yet.
    taken: bool,
    run: Option<Arc<Run>>,
}

struct Run {
    id: RunId,
    total: u32,
    as_of: Option<Timestamp>,
    log: watch::Sender<Log>,
}

#[derive(Default)]
struct Log {
    findings: Vec<Finding>,
    /// In the store before it is here.
    end: Option<Result<Report, Fault>>,
}

impl Readiness {
    /// Also clears what a daemon that was killed in mid-run left, in the background.
    pub fn new(parts: ReadinessParts) -> Self {
        let ground = scratch(&parts);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || match ground.sweep() {
                Ok(0) => {}
                Ok(plots) => tracing::warn!(plots, "removed scratch copies of an interrupted validation"),
                Err(error) => {
                    tracing::warn!(%error, "cannot remove scratch copies of an interrupted validation");
                }
            });
        }
        Self { inner: Arc::new(Inner { parts, desk: Mutex::default() }) }
    }

    /// Refuses with the running one's number while one runs.
    pub async fn start(&self, request: RunRequest, caller: &Caller) -> Result<RunId, Fault> {
        let settings = self.inner.parts.settings.borrow().clone();
        let selection = select::select(CATEGORIES, &request, &settings.readiness)?;
        let place = Place::take(&self.inner)?;
        let begun = self.inner.parts.store.begin_run(settings.environment.clone(), selection.terms.partial);
        let id = begun.await?;
        let total = u32::try_from(selection.checks.len()).unwrap_or(u32::MAX);
        let run = Arc::new(Run { id, total, as_of: request.as_of, log: watch::Sender::new(Log::default()) });
        place.give(run.clone());
        tracing::info!(run = id.0, checks = total, uid = caller.identity.uid, "validation started");

        let inner = self.inner.clone();
        let conduct = tokio::spawn({
            let (inner, run) = (inner.clone(), run.clone());
            async move { conduct(&inner.parts, &run, selection).await }
        });
        tokio::spawn(async move {
            let end = conduct.await.unwrap_or_else(|error| {
                Err(Fault::internal(format!("cannot finish validation {id}: {error}"))
                    .hint("`agentctl daemon logs` has more; run it again"))
            });
            if let Err(fault) = &end {
                tracing::error!(run = id.0, error = %fault, "validation did not finish");
            }
            run.log.send_modify(|log| log.end = Some(end));
        });
        Ok(id)
    }

    /// Waits up to 25 s for something after the cursor.
    pub async fn progress(&self, run: RunId, after: u64) -> Result<Progress, Fault> {
        let known = self.inner.desk().run.clone().filter(|known| known.id == run);
        let Some(known) = known else { return self.finished(run, after).await };
        let seen = usize::try_from(after).unwrap_or(usize::MAX);
        let mut log = known.log.subscribe();
        // Late is an answer too: nothing new yet.
        let _ = timeout(LONG_POLL, log.wait_for(|log| log.findings.len() > seen || log.end.is_some())).await;
        let log = log.borrow();
        let report = log.end.clone().transpose()?;
        Ok(Progress {
            run,
            total: known.total,
            cursor: log.findings.len() as u64,
            findings: log.findings.get(seen..).unwrap_or_default().to_vec(),
            report,
        })
    }

    /// Every built-in check, in print order.
    pub fn checks() -> Vec<CheckInfo> {
        checks::all().map(super::Check::info).collect()
    }

    /// One check by its id, whatever its case; a fault with the nearest name if there is none.
    pub fn explain(id: &str) -> Result<CheckInfo, Fault> {
        checks::all()
            .find(|check| check.id.eq_ignore_ascii_case(id))
            .map(super::Check::info)
            .ok_or_else(|| Fault { kind: FaultKind::NotFound, ..select::unknown(CATEGORIES, id) })
    }

    /// A run of which only the store knows.
    async fn finished(&self, run: RunId, after: u64) -> Result<Progress, Fault> {
        let hint = "`agentctl validate list` shows the runs there are";
        if let Some(report) = self.inner.parts.store.report(run).await? {
            let seen = usize::try_from(after).unwrap_or(usize::MAX);
            let count = report.findings.len();
            return Ok(Progress {
                run,
                total: u32::try_from(count).unwrap_or(u32::MAX),
                cursor: count as u64,
                findings: report.findings.get(seen..).unwrap_or_default().to_vec(),
                report: Some(report),
            });
        }
        let runs = self.inner.parts.store.runs(u32::MAX).await?;
        Err(match runs.iter().find(|summary| summary.run == run).map(|summary| summary.state) {
            Some(RunState::Interrupted) => Fault::new(
                FaultKind::Unavailable,
                format!("cannot follow validation {run}: the daemon ended under it"),
            )
            .hint("run `agentctl validate` again"),
            Some(_) => {
                Fault::internal(format!("cannot follow validation {run}: it has no report")).hint(hint)
            }
            None => Fault::not_found(format!("cannot find validation {run}")).hint(hint),
        })
    }
}

impl Inner {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // What it guards is whole at every moment, so a panic elsewhere does not spoil it.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one place for a run; given back unless a run sits down in it.
struct Place<'a>(&'a Inner);

impl<'a> Place<'a> {
    fn take(inner: &'a Inner) -> Result<Self, Fault> {
        let mut desk = inner.desk();
        let running = desk.run.as_ref().filter(|run| run.log.borrow().end.is_none());
        let conflict = match running {
            Some(run) => Some(format!("cannot start a validation: run {} is under way", run.id)),
            None if desk.taken => Some("cannot start a validation: another is just starting".into()),
            None => None,
        };
        if let Some(message) = conflict {
            return Err(Fault::new(FaultKind::Conflict, message)
                .hint("wait for it, then read it with `agentctl validate show`"));
        }
        desk.taken = true;
        drop(desk);
        Ok(Self(inner))
    }

    fn give(self, run: Arc<Run>) {
        self.0.desk().run = Some(run);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.desk().taken = false;
    }
}

fn scratch(parts: &ReadinessParts) -> Ground {
    Ground::new(parts.paths.state_dir.join("scratch"), parts.clock.clone())
}

/// Runs, scores, keeps. The report is in the store before anybody is told that the run is finished.
async fn conduct(parts: &ReadinessParts, run: &Arc<Run>, selection: Selection) -> Result<Report, Fault> {
    let (started_at, started) = (parts.clock.now(), Instant::now());
    let ground = scratch(parts);
    let evidence = Arc::new(Evidence::new(parts, ground.clone(), run.as_of));
    let (tell, mut told) = mpsc::unbounded_channel();
    let log = run.clone();
    let teller = tokio::spawn(async move {
        while let Some(finding) = told.recv().await {
            log.log.send_modify(|log| log.findings.push(finding));
        }
    });
    let deadline = evidence.settings.readiness.check_deadline.0;
    let findings = engine::run(&selection.checks, &evidence, deadline, &tell).await;
    drop(tell);
    let _ = teller.await;
    if !ground.close(CLEARING).await {
        tracing::error!(run = run.id.0, "scratch copies are still not gone; the next start removes them");
    }
    let scored = score::score(&findings, &selection.terms);
    let report = Report {
        schema_version: SCHEMA,
        run: run.id,
        environment: evidence.settings.environment.clone(),
        started_at,
        took_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        version: env!("CARGO_PKG_VERSION").into(),
        config_digest: evidence.config_digest.clone(),
        bar: selection.terms.bar,
        partial: selection.terms.partial,
        verdict: scored.verdict,
        reasons: scored.reasons,
        score: scored.score,
        coverage: scored.coverage,
        categories: scored.categories,
        findings,
        not_run: selection.not_run.iter().map(ToString::to_string).collect(),
        as_of: run.as_of,
        waivers: Vec::new(),
        score_without_waived: None,
        demands: Demands::default(),
        unmet: Vec::new(),
        baseline: None,
    };
    parts.store.finish_run(report.clone()).await?;
    let text = format!(
        "validation {}: {}, {:.2} to {:.2} of 100",
        report.run,
        report.verdict.as_str(),
        report.score.low,
        report.score.high
    );
    let event =
        Event { seq: 0, at: parts.clock.now(), kind: EventKind::ValidationFinished, instance: None, text };
    if let Err(error) = parts.store.record_event(event).await {
        tracing::warn!(%error, "cannot record that a validation finished");
    }
    Ok(report)
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
