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
mod tests {
    use super::*;
    use crate::domain::{Migration, Principal, Release, ReleaseId, ReleaseMove, Revision};
    use jiff::Timestamp;

    fn migration(up: bool, down: bool, irreversible: bool) -> Migration {
        let command = |declared: bool| declared.then(|| "true".to_owned()).into_iter().collect();
        Migration { up: command(up), down: command(down), irreversible, ..Migration::default() }
    }

    fn standing(id: u32, state: ReleaseState, migration: Migration) -> ReleaseStanding {
        let by: Principal = "user:0".parse().expect("a principal");
        let release = Release {
            schema_version: 1,
            id: ReleaseId(id),
            at: Timestamp::UNIX_EPOCH,
            by: by.clone(),
            note: String::new(),
            key: String::new(),
            environment: "dev".into(),
            content: Digest([u8::try_from(id).expect("small"); 32]),
            config: None,
            revision: Revision::Unknown("no repository".into()),
            agents: Vec::new(),
            migration,
            agentd_version: "1".into(),
            database_version: 5,
            readiness: None,
            backup: None,
            warnings: Vec::new(),
        };
        let moved = ReleaseMove { from: None, to: state, at: Timestamp::UNIX_EPOCH, by, why: String::new() };
        ReleaseStanding { release, state, record: Digest([0; 32]), moves: vec![moved] }
    }

    fn facts<'a>(
        kind: WayKind,
        from: Option<&'a ReleaseStanding>,
        to: Option<&'a ReleaseStanding>,
    ) -> Facts<'a> {
        let validation = Some((Verdict::Ready, true));
        Facts {
            kind,
            from,
            to,
            named: true,
            validation,
            checklist: validation,
            unproved: false,
            agents_without_artifact: Vec::new(),
            backup: None,
            paused: Vec::new(),
            held: Vec::new(),
            prepares: false,
        }
    }

    #[test]
    fn a_trigger_that_pauses_stands_against_a_deployment_and_never_against_the_way_back() {
        let (old, new) = (
            standing(1, ReleaseState::Stable, Migration::default()),
            standing(2, ReleaseState::OnTrial, Migration::default()),
        );
        let paused = || vec!["trigger memory pauses deployments".to_owned()];
        let there = Facts { paused: paused(), ..facts(WayKind::Deploy, Some(&old), Some(&new)) };
        assert_eq!(outline(&there).against, paused());
        let back = Facts { paused: paused(), ..facts(WayKind::Full, Some(&new), Some(&old)) };
        assert_eq!(outline(&back).against, Vec::<String>::new());
        let sound = facts(WayKind::Deploy, Some(&old), Some(&new));
        let before = outline(&sound).doubts.len();
        let held = outline(&Facts { held: vec!["all".into()], ..sound });
        assert_eq!(
            (held.against.len(), held.doubts.len()),
            (0, before + 1),
            "it is a doubt and stops nobody"
        );
    }

    #[test]
    fn a_deployment_needs_a_proof_that_is_good_and_fresh_or_somebodys_word() {
        let to = standing(2, ReleaseState::Candidate, Migration::default());
        let sound = facts(WayKind::Deploy, None, Some(&to));
        assert_eq!(outline(&sound).against, Vec::<String>::new());
        let weak = [
            None,
            Some((Verdict::Ready, false)),
            Some((Verdict::NotReady, true)),
            Some((Verdict::Inconclusive, true)),
        ];
        for proof in weak {
            let sound = || facts(WayKind::Deploy, None, Some(&to));
            // One by itself does not make up for the other.
            for facts in [Facts { validation: proof, ..sound() }, Facts { checklist: proof, ..sound() }] {
                assert_eq!(outline(&facts).against.len(), 1, "{proof:?}");
                let before = outline(&facts).doubts.len();
                let answered = outline(&Facts { unproved: true, ..facts });
                assert_eq!((answered.against.len(), answered.doubts.len()), (0, before + 1), "{proof:?}");
            }
        }
        // Whoever must go back does not need a proof that what runs is ready.
        let from = standing(3, ReleaseState::OnTrial, Migration::default());
        let back =
            Facts { validation: None, checklist: None, ..facts(WayKind::Full, Some(&from), Some(&to)) };
        assert_eq!(outline(&back).against, Vec::<String>::new());
    }

    #[test]
    fn migrations_stand_in_the_way_where_nobody_said_how_to_go_back() {
        for (up, down, irreversible, deploys, returns) in [
            (false, false, false, true, true),
            (true, true, false, true, true),
            (true, false, false, false, false),
            (true, false, true, true, false),
        ] {
            let migration = migration(up, down, irreversible);
            let (old, new) = (
                standing(1, ReleaseState::Stable, Migration::default()),
                standing(2, ReleaseState::OnTrial, migration.clone()),
            );
            let there = outline(&facts(WayKind::Deploy, Some(&old), Some(&new)));
            let back = outline(&facts(WayKind::Full, Some(&new), Some(&old)));
            assert_eq!(there.against.is_empty(), deploys, "{migration:?}: {there:?}");
            assert_eq!(back.against.is_empty(), returns, "{migration:?}: {back:?}");
            assert_eq!(there.steps.contains(&steps::MIGRATE_UP), up);
            assert_eq!(back.steps.contains(&steps::MIGRATE_DOWN), up);
            assert_eq!(there.lost.is_empty(), !irreversible, "{there:?}");
        }
    }

    #[test]
    fn a_set_up_comes_before_the_data_is_brought_forward_and_says_whether_it_can_be_undone() {
        let old = standing(1, ReleaseState::Stable, Migration::default());
        for unprepare in [vec![], vec!["true".to_owned()]] {
            let prepare = vec!["true".to_owned()];
            let declared =
                Migration { prepare, unprepare: unprepare.clone(), ..migration(true, true, false) };
            let new = standing(2, ReleaseState::Candidate, declared);
            let first = Facts { prepares: true, ..facts(WayKind::Deploy, Some(&old), Some(&new)) };
            let there = outline(&first);
            let place = |step| there.steps.iter().position(|known| *known == step);
            assert!(place(steps::QUIESCENT) < place(steps::PREPARE), "{there:?}");
            assert!(place(steps::PREPARE) < place(steps::MIGRATE_UP), "{there:?}");
            assert_eq!(there.lost.is_empty(), !unprepare.is_empty(), "{there:?}");
            let again = outline(&Facts { prepares: false, ..first });
            assert!(!again.steps.contains(&steps::PREPARE) && again.lost.is_empty(), "{again:?}");
        }
    }

    #[test]
    fn there_is_no_way_to_where_one_is_or_to_nowhere() {
        let here = standing(1, ReleaseState::Stable, Migration::default());
        for kind in [WayKind::Deploy, WayKind::Full] {
            assert_eq!(outline(&facts(kind, Some(&here), Some(&here))).against, ["r-1 is what runs"]);
            assert_eq!(outline(&facts(kind, Some(&here), None)).against.len(), 1, "{kind}");
        }
        let off = outline(&facts(WayKind::Immediate, None, None));
        assert_eq!((off.steps, off.against.len()), (vec![steps::OFF, steps::QUIESCENT], 0));
    }

    #[test]
    fn another_plan_is_another_digest_and_who_asks_is_no_part_of_it() {
        let to = standing(2, ReleaseState::Candidate, Migration::default());
        let outlined = outline(&facts(WayKind::Deploy, None, Some(&to)));
        let course = |reason: &str, was_off| Course {
            kind: WayKind::Deploy,
            from: None,
            to: Some(ReleaseId(2)),
            was_off,
            irreversible: false,
            backup: None,
            asked: None,
            by: "user:0".parse().expect("a principal"),
            reason: reason.into(),
        };
        let of = |course: &Course, content: u8| {
            digest(course, &outlined, &[Digest([content; 32])]).expect("a digest")
        };
        let first = of(&course("", false), 2);
        assert_eq!(first, of(&course("because", false), 2));
        assert_ne!(first, of(&course("", true), 2));
        assert_ne!(first, of(&course("", false), 3));
    }
}
