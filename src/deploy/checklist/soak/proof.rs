//! What past runs of the checklist are worth to a deployment that asks: go was said, lately, of what runs and of that
//! release.
use super::window::began;
use crate::{
    deploy::checklist::Checklists,
    domain::{Fault, Phase, ReleaseId, ReleaseStanding, Report, RunState, Verdict},
    readiness::agrees,
};

/// Runs that are looked at.
const LOOKED_AT: u32 = 1_000;

impl Checklists {
    /// What the last whole run of a phase said that was of this release or of none, and whether that still counts: it is
    /// recent, holds, and is of the configuration in force.
    pub async fn last_word(
        &self,
        phase: Phase,
        release: Option<ReleaseId>,
    ) -> Result<Option<(Verdict, bool)>, Fault> {
        let wanted = release.map(|id| id.to_string());
        let of = |report: &Report| {
            let named = report.checklist.as_ref().and_then(|list| list.release.clone());
            named.is_none() || named == wanted
        };
        let Some(report) = self.last_report(phase, of).await? else { return Ok(None) };
        let max_age = self.parts.settings.borrow().readiness.max_age.0;
        let age = self.parts.clock.now().duration_since(report.started_at).unsigned_abs();
        let same = report.config_digest == *self.parts.config_digest.borrow();
        Ok(Some((report.verdict, age <= max_age && same && agrees(&report))))
    }

    /// Why nothing has shown that this release holds over time; none if the last soak that came to a verdict since it
    /// runs said go.
    pub async fn unsoaked(&self, known: &ReleaseStanding) -> Result<Option<String>, Fault> {
        let (id, began) = (known.release.id.to_string(), began(known));
        let of = |report: &Report| {
            let list = report.checklist.as_ref().filter(|list| list.release.as_ref() == Some(&id));
            let since = list.and_then(|list| list.soak.as_ref()).map(|soak| soak.since);
            since.is_some_and(|since| since >= began)
                && report.verdict != Verdict::Inconclusive
                && agrees(report)
        };
        let mut last: Option<Report> = None;
        for phase in [Phase::Short, Phase::Extended] {
            let report = self.last_report(phase, of).await?;
            last = last.into_iter().chain(report).max_by_key(|report| report.run.0);
        }
        Ok(match last {
            Some(report) if report.verdict == Verdict::Ready => None,
            Some(report) => {
                Some(format!("deploy-check {} said {} for it", report.run, report.verdict_word()))
            }
            None => Some("no soak has said go for it".into()),
        })
    }

    /// The newest of whole runs of this phase and environment that is one of these.
    async fn last_report(
        &self,
        phase: Phase,
        is_one: impl Fn(&Report) -> bool,
    ) -> Result<Option<Report>, Fault> {
        let environment = self.parts.settings.borrow().environment.clone();
        for run in self.parts.store.checklist_runs(LOOKED_AT).await? {
            let whole = run.state == RunState::Finished && !run.partial && run.phase == Some(phase);
            if !whole || run.environment != environment {
                continue;
            }
            if let Some(report) = self.parts.store.report(run.run).await?.filter(|report| is_one(report)) {
                return Ok(Some(report));
            }
        }
        Ok(None)
    }
}
