//! `Ways`: plans a deployment or a rollback, and begins it as an operation over the whole fleet.
use super::{
    database::{Looked, Returned},
    plan::{self, Facts, Outline},
};
use crate::{
    backups::Backups,
    config::Settings,
    deploy::{Releases, checklist::Checklists, steps, triggers},
    domain::{
        Asked, BackupId, Course, Digest, Fault, FaultKind, OperationId, OperationState, OperationSummary,
        Phase, Principal, Rehearsal, RehearsalStanding, Rehearsed, ReleaseId, ReleaseStanding, RunState,
        StepName, StepState, Verdict, WayKind, WayPlan, WayStep,
    },
    operations::{Blueprint, Operations},
    resilience::Clock,
    store::Store,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// What nothing else may change while a release is changed.
pub const FLEET: &str = "fleet";
/// Operations that are looked at for what a step takes.
const REMEMBERED: u32 = 50;

pub struct WaysParts {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub releases: Releases,
    pub operations: Operations,
    pub supervisor: crate::agents::Supervisor,
    pub backups: Backups,
    /// The daemon's own.
    pub database: PathBuf,
    pub checklist: Checklists,
    pub store: Store,
    pub clock: Clock,
}

#[derive(Clone)]
pub struct Ways(Arc<WaysParts>);

/// Which way is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub kind: WayKind,
    /// None: the release that was stable before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseId>,
    /// What the database is to be put back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// Go on although nothing has just proved that the fleet is ready.
    #[serde(default)]
    pub unproved: bool,
}

impl Ways {
    pub fn new(parts: WaysParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Looks, and changes nothing.
    pub async fn plan(&self, wish: &Wish, by: &Principal) -> Result<WayPlan, Fault> {
        Ok(self.planned(wish, by, "").await?.1)
    }

    /// Begins what was planned. Refused where anything stands against it, and where the plan that was seen is not the
    /// plan any more.
    pub async fn begin(
        &self,
        wish: &Wish,
        seen: Digest,
        by: &Principal,
        reason: &str,
    ) -> Result<OperationId, Fault> {
        self.begin_asked(wish, seen, by, reason, None).await
    }

    /// With the request that the audit trail is told the end of.
    pub async fn begin_asked(
        &self,
        wish: &Wish,
        seen: Digest,
        by: &Principal,
        reason: &str,
        asked: Option<Asked>,
    ) -> Result<OperationId, Fault> {
        let (course, plan, outline) = self.planned(wish, by, reason).await?;
        let course = Course { asked, ..course };
        let what = title(&course);
        if !plan.against.is_empty() {
            let message = format!("cannot {what}: {}", plan.against.join("; "));
            return Err(Fault::new(FaultKind::Refused, message).hint("nothing was changed"));
        }
        if plan.digest != seen {
            let message = format!("cannot {what}: the plan that was looked at is not the plan any more");
            return Err(
                Fault::new(FaultKind::Conflict, message).hint("look at the plan again; nothing was changed")
            );
        }
        let blueprint = Blueprint {
            kind: if course.kind == WayKind::Deploy { "deploy" } else { "rollback" },
            title: what,
            resource: FLEET.into(),
            steps: outline.steps.into_iter().map(StepName::from).collect(),
            on_failure: plan::on_failure(course.kind),
            budget: Some(course.kind.budget()),
            arguments: serde_json::to_value(&course)
                .map_err(|error| Fault::internal(format!("cannot write down a course: {error}")))?,
        };
        self.0.operations.begin(blueprint, by.clone()).await
    }

    /// Deployments and rollbacks, the newest first.
    pub fn past(&self, limit: u32) -> Vec<OperationSummary> {
        let mine = |operation: &OperationSummary| matches!(operation.kind.as_str(), "deploy" | "rollback");
        let all = self.0.operations.list(u32::MAX).into_iter();
        all.filter(mine).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
    }

    async fn planned(
        &self,
        wish: &Wish,
        by: &Principal,
        reason: &str,
    ) -> Result<(Course, WayPlan, Outline), Fault> {
        let releases = &self.0.releases;
        let from = match releases.current().await? {
            Some(id) => Some(releases.get(id).await?.standing),
            None => None,
        };
        let target = match (wish.kind, wish.to) {
            (WayKind::Immediate, _) => None,
            (WayKind::Full, None) => releases.previous_stable().await?,
            // What runs goes on.
            (WayKind::Database, _) => from.as_ref().map(|from| from.release.id),
            (_, named) => named,
        };
        let to = match target {
            Some(id) => Some(releases.get(id).await?.standing),
            None => None,
        };
        let backup = match wish.kind {
            WayKind::Database => Some(self.returned(wish.backup.clone()).await?),
            WayKind::Deploy | WayKind::Immediate | WayKind::Full => None,
        };
        let (paused, held) = match wish.kind {
            WayKind::Deploy => (triggers::paused(&self.0.store).await?, triggers::held(&self.0.store).await?),
            // Who must go back is held up by nobody.
            WayKind::Immediate | WayKind::Full | WayKind::Database => Default::default(),
        };
        let prepares = match &to {
            Some(to) if !to.release.migration.prepare.is_empty() => {
                releases.prepared(to.release.content).await?.is_none()
            }
            _ => false,
        };
        let facts = Facts {
            kind: wish.kind,
            from: from.as_ref(),
            to: to.as_ref(),
            named: wish.to.is_some(),
            validation: self.validation().await?,
            checklist: self.0.checklist.last_word(Phase::Pre, wish.to).await?,
            unproved: wish.unproved,
            agents_without_artifact: to.iter().flat_map(without_artifact).collect(),
            backup: backup.as_ref(),
            paused,
            held,
            prepares,
        };
        let mut outline = plan::outline(&facts);
        for candidate in self.0.supervisor.candidates() {
            outline.doubts.push(format!("{} is tried beside the fleet, and is ended first", candidate.id));
        }
        let course = Course {
            kind: wish.kind,
            from: from.as_ref().map(|from| from.release.id),
            to: to.as_ref().map(|to| to.release.id),
            was_off: self.0.supervisor.switched_off().is_some(),
            irreversible: wish.kind == WayKind::Deploy
                && to.as_ref().is_some_and(|to| {
                    to.release.migration.irreversible && !to.release.migration.up.is_empty()
                }),
            backup: backup.as_ref().map(Returned::course),
            by: by.clone(),
            reason: reason.to_owned(),
            asked: None,
        };
        let contents: Vec<Digest> = from.iter().chain(&to).map(|standing| standing.release.content).collect();
        let (rehearsed, doubt) = self.rehearsed(wish.kind, to.as_ref()).await?;
        let plan = WayPlan {
            schema_version: 1,
            kind: course.kind,
            from: course.from,
            to: course.to,
            backup: backup.as_ref().map(Returned::shown),
            steps: self.expected(&outline.steps).await,
            budget: course.kind.budget(),
            lost: outline.lost.clone(),
            against: outline.against.clone(),
            doubts: outline.doubts.iter().cloned().chain(doubt).collect(),
            rehearsed,
            digest: plan::digest(&course, &outline, &contents)?,
        };
        Ok((course, plan, outline))
    }

    async fn returned(&self, id: Option<BackupId>) -> Result<Returned, Fault> {
        let Self(parts) = self;
        let at = Looked {
            backups: &parts.backups,
            store: &parts.store,
            settings: &parts.settings.borrow().clone(),
            database: &parts.database,
            now: parts.clock.now(),
        };
        at.at(id).await
    }

    /// How the return to a release was rehearsed, and what is doubtful about that.
    async fn rehearsed(
        &self,
        kind: WayKind,
        to: Option<&ReleaseStanding>,
    ) -> Result<(Option<Rehearsal>, Option<String>), Fault> {
        let Some(to) = to.filter(|_| kind == WayKind::Full) else { return Ok((None, None)) };
        let standing = RehearsalStanding {
            target: Some(to.release.id),
            last: self.0.store.last_rehearsal(to.release.content).await?,
            max_age: self.0.settings.borrow().rehearsal.max_age,
        };
        let doubt = match standing.judge(self.0.clock.now()) {
            Rehearsed::Nowhere | Rehearsed::Fresh(_) => None,
            Rehearsed::InPart(why)
            | Rehearsed::Stale(why)
            | Rehearsed::Never(why)
            | Rehearsed::Failed(why) => Some(why),
        };
        Ok((standing.last, doubt))
    }

    /// The last that finished of everything in this environment: what it said, and whether that still counts.
    async fn validation(&self) -> Result<Option<(Verdict, bool)>, Fault> {
        let settings = self.0.settings.borrow().clone();
        let runs = self.0.store.runs(200).await?;
        let full = runs.iter().find(|run| {
            run.state == RunState::Finished && !run.partial && run.environment == settings.environment
        });
        Ok(full.and_then(|run| {
            let age = self.0.clock.now().duration_since(run.started_at);
            let counts = age.unsigned_abs() <= settings.readiness.max_age.0;
            Some((run.verdict?, counts))
        }))
    }

    /// What each step took when it last went well: the median over what is remembered.
    async fn expected(&self, of: &[&'static str]) -> Vec<WayStep> {
        let mut took: BTreeMap<StepName, Vec<u64>> = BTreeMap::new();
        for summary in self.past(REMEMBERED).iter().filter(|past| past.state == OperationState::Succeeded) {
            let Ok(operation) = self.0.operations.show(summary.id, 0).await else { continue };
            for step in operation.steps.iter().filter(|step| step.state == StepState::Done) {
                took.entry(step.name.clone()).or_default().extend(step.elapsed_ms);
            }
        }
        let median = |name: &StepName| {
            let mut times = took.get(name)?.clone();
            times.sort_unstable();
            times.get(times.len() / 2).copied()
        };
        let planned = |step: &&'static str| {
            let name = StepName::from(*step);
            let expected_ms = median(&name);
            WayStep { name, title: steps::title(step).to_owned(), expected_ms }
        };
        of.iter().map(planned).collect()
    }
}

fn without_artifact(standing: &ReleaseStanding) -> impl Iterator<Item = String> {
    let agents = standing.release.agents.iter();
    agents
        .filter(|agent| agent.artifact.is_none())
        .map(|agent| agent.name.to_string())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Completes "cannot …".
fn title(course: &Course) -> String {
    match (course.kind, course.to) {
        (WayKind::Immediate, _) => "switch the fleet off".into(),
        (WayKind::Full, Some(to)) => format!("roll back to {to}"),
        (WayKind::Full, None) => "roll back".into(),
        (WayKind::Deploy, Some(to)) => format!("deploy {to}"),
        (WayKind::Deploy, None) => "deploy".into(),
        (WayKind::Database, _) => course.backup.as_ref().map_or_else(
            || "put the database back".into(),
            |backup| format!("put the database back to {}", backup.id),
        ),
    }
}
