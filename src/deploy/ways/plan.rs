//! Pure: from what there is to the steps of a way, what it loses and what stands against it.
use super::database::Returned;
use crate::{
    deploy::steps,
    domain::{
        Course, CourseBackup, Digest, Fault, OnFailure, ReleaseStanding, ReleaseState, Verdict, WayKind,
    },
};
use serde::Serialize;

/// What a way is planned from.
pub struct Facts<'a> {
    pub kind: WayKind,
    pub from: Option<&'a ReleaseStanding>,
    pub to: Option<&'a ReleaseStanding>,
    /// Somebody named the release; else it was found.
    pub named: bool,
    /// The last validation of everything: its verdict, and whether it is recent enough to count.
    pub validation: Option<(Verdict, bool)>,
    /// The last deploy-check of phase pre: its verdict, and whether it is recent and of the configuration in force.
    pub checklist: Option<(Verdict, bool)>,
    /// Somebody answers for going on without one, and says why.
    pub unproved: bool,
    pub agents_without_artifact: Vec<String>,
    /// The backup that the database is to be put back to.
    pub backup: Option<&'a Returned>,
    /// What pauses deployments, a sentence each.
    pub paused: Vec<String>,
    /// Which triggers do nothing by themselves for a while, a sentence each.
    pub held: Vec<String>,
    /// `to` declares a set-up, and this machine has not seen it.
    pub prepares: bool,
}

/// Steps that only some releases need.
const DECLARED: &[&str] = &[steps::PREPARE, steps::MIGRATE_UP, steps::MIGRATE_DOWN];

/// Every step that such a way may have, in order.
pub fn every_step(kind: WayKind) -> &'static [&'static str] {
    use steps::{
        BACKUP, MIGRATE_DOWN, MIGRATE_UP, OFF, ON, PREPARE, QUIESCENT, RECORD, RESTORE, RESTORE_EXTERNAL,
        SWITCH, TARGET, VERIFY,
    };
    match kind {
        WayKind::Immediate => &[OFF, QUIESCENT],
        WayKind::Full => &[TARGET, BACKUP, OFF, QUIESCENT, MIGRATE_DOWN, PREPARE, SWITCH, ON, VERIFY, RECORD],
        WayKind::Database => &[TARGET, BACKUP, OFF, QUIESCENT, RESTORE_EXTERNAL, RESTORE, ON, VERIFY, RECORD],
        WayKind::Deploy => &[TARGET, BACKUP, OFF, QUIESCENT, PREPARE, MIGRATE_UP, SWITCH, ON, VERIFY, RECORD],
    }
}

/// The steps in order, and what is to be said of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outline {
    pub steps: Vec<&'static str>,
    pub lost: Vec<String>,
    pub against: Vec<String>,
    pub doubts: Vec<String>,
}

pub fn outline(facts: &Facts<'_>) -> Outline {
    match facts.kind {
        WayKind::Immediate => Outline {
            steps: every_step(WayKind::Immediate).to_vec(),
            lost: vec!["every agent is off until `agentctl system on`, or a rollback in full".into()],
            ..Outline::default()
        },
        WayKind::Full => full(facts),
        WayKind::Deploy => deploy(facts),
        WayKind::Database => facts.backup.map_or_else(Outline::default, Returned::outline),
    }
}

fn full(facts: &Facts<'_>) -> Outline {
    let mut outline = between(
        facts,
        facts.from.is_some_and(|from| !from.release.migration.up.is_empty()).then_some(steps::MIGRATE_DOWN),
    );
    if facts.to.is_none() {
        outline.against.push(
            "there is no release to return to: none but what runs has ever been stable (`agentctl release bless`)".into(),
        );
    }
    if let Some(from) = facts.from {
        let (id, migration) = (from.release.id, &from.release.migration);
        if migration.irreversible {
            outline
                .against
                .push(format!("there is no way back over the migration of {id}: it is irreversible"));
        } else if !migration.up.is_empty() && migration.down.is_empty() {
            outline
                .against
                .push(format!("the migration of {id} declares no `down`, and none can be guessed"));
        }
    }
    if let Some(to) = facts.to.filter(|to| facts.named && to.stable_since().is_none()) {
        outline.doubts.push(format!("{} has never been stable", to.release.id));
    }
    outline
}

fn deploy(facts: &Facts<'_>) -> Outline {
    let migrates = facts.to.is_some_and(|to| !to.release.migration.up.is_empty());
    let mut outline = between(facts, migrates.then_some(steps::MIGRATE_UP));
    outline.against.extend(facts.paused.iter().cloned());
    outline.doubts.extend(facts.held.iter().map(|held| format!("nothing is taken back by itself: {held}")));
    match facts.to {
        None => outline.against.push("no release was named".into()),
        Some(to) => {
            let (id, migration) = (to.release.id, &to.release.migration);
            if migrates && migration.irreversible {
                outline.lost.push(format!(
                    "there is no way back over the migration of {id}: it stops there if it fails"
                ));
            } else if migrates && migration.down.is_empty() {
                outline.against.push(format!(
                    "the migration of {id} says neither how it is taken back (`down`) nor that it cannot be (`irreversible`)"
                ));
            }
            if to.state == ReleaseState::Reverted {
                outline.doubts.push(format!("{id} was tried before, and taken back"));
            }
        }
    }
    match facts.validation {
        Some((Verdict::Ready, true)) => {}
        _ if facts.unproved => outline.doubts.push("nothing has just proved that this fleet is ready".into()),
        Some((Verdict::Ready, false)) => {
            outline.against.push("the last validation is too old to count: `agentctl validate`".into());
        }
        Some((verdict, _)) => {
            let said = verdict.as_str();
            outline
                .against
                .push(format!("the last validation said {said}: `agentctl validate show` says why"));
        }
        None => outline.against.push("nothing was ever validated in full here: `agentctl validate`".into()),
    }
    match facts.checklist {
        Some((Verdict::Ready, true)) => {}
        _ if facts.unproved => outline.doubts.push("no deploy-check has just said go".into()),
        other => outline.against.push(match other {
            None => "no deploy-check has ever been made for it here: `agentctl deploy-check`".into(),
            Some((Verdict::Ready, false)) => {
                "the last deploy-check is too old, or of another configuration: `agentctl deploy-check`"
                    .into()
            }
            Some((Verdict::NotReady, _)) => {
                "the last deploy-check said NO-GO: `agentctl deploy-check show` says why".into()
            }
            Some((verdict, _)) => {
                format!(
                    "the last deploy-check said {}: `agentctl deploy-check show` says why",
                    verdict.as_str()
                )
            }
        }),
    }
    outline
}

/// What both ways between two releases have in common.
fn between(facts: &Facts<'_>, migration: Option<&'static str>) -> Outline {
    let mut outline = Outline::default();
    let wanted = |step: &&'static str| match *step {
        steps::PREPARE => facts.prepares,
        step => !DECLARED.contains(&step) || migration == Some(step),
    };
    outline.steps = every_step(facts.kind).iter().copied().filter(wanted).collect();
    if let Some(to) = facts.to.filter(|to| facts.prepares && to.release.migration.unprepare.is_empty()) {
        let id = to.release.id;
        outline.lost.push(format!("the set-up of {id} stays, even if it fails: it declares no `unprepare`"));
    }
    if let (Some(from), Some(to)) = (facts.from, facts.to) {
        if from.release.id == to.release.id {
            outline.against.push(format!("{} is what runs", to.release.id));
        }
        if from.release.content == to.release.content {
            outline.doubts.push(format!("{} and {} ship the same", from.release.id, to.release.id));
        }
    }
    if let Some(to) = facts.to.filter(|to| to.release.config.is_none()) {
        outline.doubts.push(format!("{} has no configuration: that which is in force stays", to.release.id));
    }
    if !facts.agents_without_artifact.is_empty() {
        outline.doubts.push(format!(
            "no release holds the code of {}: what runs of them stays as it is",
            facts.agents_without_artifact.join(", ")
        ));
    }
    outline
}

/// An operation over an irreversible migration stops where its steps say so; any other is unwound.
pub fn on_failure(kind: WayKind) -> OnFailure {
    match kind {
        // A fleet that was to be off is not started again because something of it would not stop.
        WayKind::Immediate => OnFailure::Stop,
        WayKind::Deploy | WayKind::Full | WayKind::Database => OnFailure::Unwind,
    }
}

/// Of everything that is to be done; who asks and why is no part of it.
pub fn digest(course: &Course, outline: &Outline, contents: &[Digest]) -> Result<Digest, Fault> {
    #[derive(Serialize)]
    struct Done<'a> {
        kind: WayKind,
        from: &'a Option<crate::domain::ReleaseId>,
        to: &'a Option<crate::domain::ReleaseId>,
        was_off: bool,
        irreversible: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        backup: &'a Option<CourseBackup>,
        steps: &'a [&'static str],
        contents: &'a [Digest],
    }
    let Course { kind, from, to, was_off, irreversible, backup, .. } = course;
    let done = Done {
        kind: *kind,
        from,
        to,
        was_off: *was_off,
        irreversible: *irreversible,
        backup,
        steps: &outline.steps,
        contents,
    };
    let text = serde_json::to_vec(&done)
        .map_err(|error| Fault::internal(format!("cannot take the digest of a plan: {error}")))?;
    Ok(crate::deploy::releases::sha256(&text))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
