//! Runs validations for the daemon: one at a time, followed by cursor, kept by the store.
use super::{
    CheckInfo, Declared, Evidence, Found, Gate, Rehearsing, Reload, RunRequest, Safekeeping, Serve,
    Triggering,
    aside::Aside,
    checks::{self, CATEGORIES},
    conduct::{conduct, scratch},
    declared,
    request::{Against, without_report},
    select::{self, Selection},
};
use crate::{
    agents::Supervisor,
    config::{CheckSettings, Kinds, Paths, Settings},
    domain::{Act, AuditOutcome, Caller, Checklist, Demands, Fault, FaultKind, Finding, Report, Role, RunId},
    errors::{Errors, Failure},
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
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long a follower's question is held when there is nothing new.
const LONG_POLL: Duration = Duration::from_secs(25);
/// How long a cancelled run may take to be gone; then whoever cancelled it is told that it still goes.
const CALLED_OFF: Duration = Duration::from_secs(20);

/// Reads the manifest again: its digest, or why it cannot be read.
pub type Reread = Arc<dyn Fn() -> Result<String, Fault> + Send + Sync>;

pub struct ReadinessParts {
    /// The settings in force; changes at a reload.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The manifest on disk, to compare with what runs.
    pub config_file: Option<PathBuf>,
    pub config_digest: watch::Receiver<String>,
    /// Every kind that a manifest may name, those of rooms above too.
    pub kinds: fn() -> Kinds,
    /// Digest of the manifest as it stands on disk now, read from the same sources as at the start. It may block.
    pub reread: Reread,
    pub paths: Paths,
    pub store: Store,
    pub supervisor: Supervisor,
    pub monitor: Monitor,
    pub clock: Clock,
    pub errors: Errors,
    /// The daemon's own door; without it the check that a caller without permission is refused cannot measure.
    pub gate: Option<Arc<dyn Gate>>,
    /// Set once the daemon serves.
    pub started: Arc<OnceLock<Started>>,
    /// The daemon's own reload, to be carried out on scratch ground; without it that check cannot measure.
    pub reload: Option<Arc<dyn Reload>>,
    /// The daemon's own gate and routes, to be asked on scratch ground; without it those checks cannot measure.
    pub serve: Option<Arc<dyn Serve>>,
    /// Where backups are made and tried out; `boot` supplies it.
    pub safekeeping: Option<Arc<dyn Safekeeping>>,
    /// What judges the triggers; `boot` supplies it.
    pub triggering: Option<Arc<dyn Triggering>>,
    /// Where rehearsals are recorded; `boot` supplies it.
    pub rehearsing: Option<Arc<dyn Rehearsing>>,
}

/// When the daemon began to start and how long it took until it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub at: Timestamp,
    pub took: Duration,
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
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub parts: ReadinessParts,
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

pub(super) struct Run {
    pub id: RunId,
    pub total: u32,
    pub as_of: Option<Timestamp>,
    pub demands: Demands,
    /// Of a run of the checklist.
    pub checklist: Option<Checklist>,
    /// Who started it.
    pub uid: u32,
    /// Its beginning, as the audit trail knows it.
    pub act: Act,
    /// Who called it off, set before `cancel`.
    pub called_off: OnceLock<Act>,
    pub cancel: CancellationToken,
    pub log: watch::Sender<Log>,
}

/// A run that is about to begin.
struct Order {
    selection: Selection,
    against: Option<Against>,
    as_of: Option<Timestamp>,
    demands: Demands,
    checklist: Option<Checklist>,
}

#[derive(Default)]
pub(super) struct Log {
    pub findings: Vec<Finding>,
    /// In the store before it is here.
    pub end: Option<Result<Report, Fault>>,
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
    pub async fn start(&self, request: RunRequest, caller: &Caller, act: Act) -> Result<RunId, Fault> {
        let settings = self.inner.parts.settings.borrow().clone();
        request.verify(&settings.environment, self.inner.parts.clock.now())?;
        let declared = declared::declared(&settings);
        let selection = select::select(CATEGORIES, &declared, &request, &settings.readiness)?;
        let against = request.against(&self.inner.parts.store, &settings.environment).await?;
        let RunRequest { as_of, demands, .. } = request;
        self.launch(Order { selection, against, as_of, demands, checklist: None }, caller, act).await
    }

    /// The same for the items of a checklist: one run at a time, whichever it is.
    pub async fn start_list(
        &self,
        items: &[Arc<Declared>],
        checklist: Checklist,
        request: RunRequest,
        caller: &Caller,
        act: Act,
    ) -> Result<RunId, Fault> {
        let settings = self.inner.parts.settings.borrow().clone();
        request.verify(&settings.environment, self.inner.parts.clock.now())?;
        let selection = select::listed(items, &request.only, &request.skip)?;
        let RunRequest { as_of, demands, .. } = request;
        let order = Order { selection, against: None, as_of, demands, checklist: Some(checklist) };
        self.launch(order, caller, act).await
    }

    async fn launch(&self, order: Order, caller: &Caller, act: Act) -> Result<RunId, Fault> {
        let Order { selection, against, as_of, demands, checklist } = order;
        let place = Place::take(&self.inner)?;
        let aside = Aside::new()?;
        let environment = self.inner.parts.settings.borrow().environment.clone();
        let store = &self.inner.parts.store;
        let phase = checklist.as_ref().map(|list| list.phase);
        let id = store.begin_run_of(act.clone(), environment, selection.terms.partial, phase).await?;
        let total = u32::try_from(selection.checks.len()).unwrap_or(u32::MAX);
        let run = Arc::new(Run {
            id,
            total,
            as_of,
            demands,
            checklist,
            uid: caller.identity.uid,
            act,
            called_off: OnceLock::new(),
            cancel: CancellationToken::new(),
            log: watch::Sender::new(Log::default()),
        });
        place.give(run.clone());
        tracing::info!(run = id.0, checks = total, uid = caller.identity.uid, "validation started");

        let inner = self.inner.clone();
        let conduct = aside.spawn({
            let (inner, run) = (inner.clone(), run.clone());
            async move { conduct(&inner.parts, &run, selection, against).await }
        });
        tokio::spawn(async move {
            let _until_it_ends = aside;
            let mut end = conduct.await.unwrap_or_else(|error| {
                Err(Fault::internal(format!("cannot finish validation {id}: {error}"))
                    .hint("`agentctl daemon logs` has more; run it again"))
            });
            match &mut end {
                Err(_) if run.cancel.is_cancelled() => tracing::info!(run = id.0, "validation cancelled"),
                Err(fault) => {
                    tracing::error!(run = id.0, error = %fault, "validation did not finish");
                    inner
                        .parts
                        .errors
                        .record(Failure::new("validation", fault.clone()).context(format!("run {id}")));
                    // Whoever follows the run is told the same.
                    fault.recorded = true;
                }
                Ok(_) => {}
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

    /// Calls a run off; returns when it is gone. Only whoever started it may, and an admin.
    pub async fn cancel(&self, id: RunId, caller: &Caller, act: Act) -> Result<(), Fault> {
        let known = self.inner.desk().run.clone().filter(|known| known.id == id);
        let over = |how: &str| {
            Fault::new(FaultKind::Conflict, format!("cannot cancel validation {id}: {how}"))
                .hint("`agentctl validate list` shows the runs there are")
        };
        let Some(run) = known else {
            let state = self.inner.parts.store.run(id).await?.map(|run| run.state);
            return Err(if state.is_some() { over("it has ended") } else { without_report(id, None) });
        };
        if run.log.borrow().end.is_some() {
            return Err(over("it has ended"));
        }
        if caller.role != Role::Admin && caller.identity.uid != run.uid {
            return Err(Fault::new(
                FaultKind::Forbidden,
                format!("cannot cancel validation {id}: uid {} started it", run.uid),
            )
            .hint("ask them, or an administrator"));
        }
        let first = run.called_off.set(act.clone()).is_ok();
        run.cancel.cancel();
        let mut log = run.log.subscribe();
        let ended = timeout(CALLED_OFF, log.wait_for(|log| log.end.is_some())).await.is_ok();
        if !ended {
            return Err(Fault::new(
                FaultKind::Timeout,
                format!("cannot wait for validation {id} to end any longer"),
            )
            .hint("`agentctl validate list` shows when it has"));
        }
        let failed = match &log.borrow().end {
            Some(Ok(_)) => return Err(over("it finished meanwhile")),
            // Called off is a conflict for those who wait for its report.
            Some(Err(fault)) => fault.kind != FaultKind::Conflict,
            None => true,
        };
        if failed {
            return Err(over("it failed meanwhile; `agentctl daemon logs` has more"));
        }
        if !first {
            let (act, said) = (act.on(format!("run/{id}")), "somebody else called it off before");
            self.inner.parts.store.record_act(act, AuditOutcome::Done, said.into()).await?;
        }
        Ok(())
    }

    /// One built-in check by its id, asked by whoever has evidence; none if there is no such.
    pub async fn ask(id: &str, evidence: &Evidence) -> Option<Found> {
        let check = checks::all().find(|check| check.id.eq_ignore_ascii_case(id))?;
        Some((check.run)(evidence).await)
    }

    /// Does it measure time or load, so that nothing else may run meanwhile?
    pub fn is_quiet(id: &str) -> bool {
        checks::all().any(|check| check.quiet && check.id.eq_ignore_ascii_case(id))
    }

    /// Every built-in check, in print order.
    pub fn checks() -> Vec<CheckInfo> {
        checks::all().map(super::Check::info).collect()
    }

    /// Every check in print order: of each category our own, then what these settings declare.
    pub fn checks_with(declared: &[CheckSettings]) -> Vec<CheckInfo> {
        let mut all = Self::checks();
        all.extend(declared::infos(declared));
        // Stable: within a category the order stays.
        all.sort_by_key(|check| check.category);
        all
    }

    /// One check by its id, whatever its case; a fault with the nearest name if there is none.
    pub fn explain(declared: &[CheckSettings], id: &str) -> Result<CheckInfo, Fault> {
        let theirs = declared.iter().map(|check| check.id.as_str());
        Self::checks_with(declared)
            .into_iter()
            .find(|check| check.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| Fault { kind: FaultKind::NotFound, ..select::unknown(CATEGORIES, theirs, id) })
    }

    /// A run of which only the store knows.
    async fn finished(&self, run: RunId, after: u64) -> Result<Progress, Fault> {
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
        let known = self.inner.parts.store.run(run).await?;
        Err(without_report(run, known.map(|summary| summary.state)))
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

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
