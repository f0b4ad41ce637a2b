//! What a way is planned from, and what comes of it.
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

fn facts<'a>(kind: WayKind, from: Option<&'a ReleaseStanding>, to: Option<&'a ReleaseStanding>) -> Facts<'a> {
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
    assert_eq!((held.against.len(), held.doubts.len()), (0, before + 1), "it is a doubt and stops nobody");
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
    let back = Facts { validation: None, checklist: None, ..facts(WayKind::Full, Some(&from), Some(&to)) };
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
        let declared = Migration { prepare, unprepare: unprepare.clone(), ..migration(true, true, false) };
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
    let of =
        |course: &Course, content: u8| digest(course, &outlined, &[Digest([content; 32])]).expect("a digest");
    let first = of(&course("", false), 2);
    assert_eq!(first, of(&course("because", false), 2));
    assert_ne!(first, of(&course("", true), 2));
    assert_ne!(first, of(&course("", false), 3));
}
