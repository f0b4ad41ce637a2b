//! Waivers against tables of what they must not speak for, and the laws of a score with waivers in it.
use super::*;
use crate::{
    domain::{Category, Demands, Interval, RunId, Severity, Verdict},
    readiness::{Terms, agrees, score},
};
use proptest::prelude::*;

const ALL: [Outcome; 7] = [
    Outcome::Pass,
    Outcome::Warn,
    Outcome::Fail,
    Outcome::Error,
    Outcome::Timeout,
    Outcome::Skipped,
    Outcome::NotApplicable,
];
const IDS: [&str; 3] = ["SE-001", "DB-002", "AO-003"];
const RESOURCES: [&str; 2] = ["file//a", "file//b"];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn finding(id: &str, outcome: Outcome, affected: &[(&str, &str)]) -> Finding {
    let named = |(resource, fingerprint): &(&str, &str)| Affected {
        resource: (*resource).into(),
        fingerprint: (*fingerprint).into(),
    };
    Finding {
        id: id.into(),
        title: "a check".into(),
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 1,
        outcome,
        summary: "because".into(),
        evidence: Vec::new(),
        hint: None,
        exercised: true,
        declared: false,
        affected: affected.iter().map(named).collect(),
        waived: None,
        took_ms: 1.0,
    }
}

/// In force from 100 until 200.
fn waiver(id: u64, of: Option<(&str, &str)>) -> Waiver {
    Waiver {
        id,
        check: "SE-001".into(),
        resource: of.map(|(resource, _)| resource.into()),
        fingerprint: of.map(|(_, fingerprint)| fingerprint.into()),
        owner: "ana".into(),
        reason: "known".into(),
        expires_at: at(200),
        added_at: at(100),
        added_by: "uid 0".into(),
        revoked_at: None,
    }
}

/// The number of the waiver that speaks.
fn speaks(finding: &Finding, waivers: &[Waiver], second: i64) -> Option<u64> {
    let mut findings = [finding.clone()];
    apply(&mut findings, waivers, at(second));
    findings[0].waived.as_ref().map(|waived| waived.waiver)
}

#[test]
fn a_waiver_speaks_from_when_it_is_added_until_it_expires_or_is_revoked() {
    let failed = finding("SE-001", Outcome::Fail, &[]);
    let whole = waiver(1, None);
    let table = [(99, None), (100, Some(1)), (199, Some(1)), (200, None), (900, None)];
    for (second, spoken) in table {
        assert_eq!(speaks(&failed, std::slice::from_ref(&whole), second), spoken, "at {second}");
    }
    let revoked = Waiver { revoked_at: Some(at(190)), ..whole };
    assert_eq!(speaks(&failed, &[revoked], 150), None, "a revoked one speaks for no day");
}

#[test]
fn what_is_unmeasured_or_of_another_check_is_not_spoken_for() {
    for outcome in ALL {
        let spoken = speaks(&finding("SE-001", outcome, &[]), &[waiver(1, None)], 150);
        let expected = matches!(outcome, Outcome::Fail | Outcome::Warn).then_some(1);
        assert_eq!(spoken, expected, "{outcome:?}");
        assert_eq!(speaks(&finding("SE-002", outcome, &[]), &[waiver(1, None)], 150), None);
    }
}

#[test]
fn every_resource_must_be_spoken_for_as_it_is_now() {
    let (a, b, changed) = (("file//a", "0666"), ("file//b", "0777"), ("file//a", "0777"));
    let both = finding("SE-001", Outcome::Fail, &[a, b]);
    let nameless = finding("SE-001", Outcome::Fail, &[]);
    let early = Waiver { expires_at: at(160), ..waiver(3, Some(b)) };
    let table: [(&str, &Finding, Vec<Waiver>, Option<u64>); 7] = [
        ("one of two", &both, vec![waiver(1, Some(a))], None),
        ("both", &both, vec![waiver(1, Some(a)), waiver(2, Some(b))], Some(1)),
        ("they last as the shorter", &both, vec![waiver(1, Some(a)), early.clone()], Some(3)),
        ("the longer of two for one", &both, vec![waiver(1, Some(a)), early, waiver(4, Some(b))], Some(1)),
        ("changed since", &both, vec![waiver(1, Some(changed)), waiver(2, Some(b))], None),
        ("the whole check", &both, vec![waiver(1, Some(changed)), waiver(5, None)], Some(5)),
        ("a finding that names nothing", &nameless, vec![waiver(1, Some(a))], None),
    ];
    for (name, finding, waivers, spoken) in table {
        assert_eq!(speaks(finding, &waivers, 150), spoken, "{name}");
    }
}

#[test]
fn a_changed_resource_voids_its_waiver_and_the_finding_says_so_once_and_for_all() {
    let void = waiver(7, Some(("file//a", "0666")));
    let mut findings = [finding("SE-001", Outcome::Fail, &[("file//a", "0777"), ("file//b", "0666")])];
    tell_of_void(&mut findings, std::slice::from_ref(&void), at(150));
    assert_eq!(findings[0].evidence, ["waiver 7 of ana is void: what it was for has changed: file//a"]);
    for (affected, why) in [
        (&[("file//a", "0666")][..], "it is as it was"),
        (&[("file//b", "0777")], "it is not named any more"),
        (&[], "nothing is named"),
    ] {
        assert!(!is_void(&void, &finding("SE-001", Outcome::Fail, affected)), "{why}");
    }
    assert!(!is_void(&void, &finding("SE-002", Outcome::Fail, &[("file//a", "0777")])), "another check");
    assert!(!is_void(&waiver(8, None), &findings[0]), "the whole check is whatever it is");
    let mut late = [finding("SE-001", Outcome::Fail, &[("file//a", "0777")])];
    tell_of_void(&mut late, &[void], at(200));
    assert!(late[0].evidence.is_empty(), "an expired one needs no word");
}

fn report(findings: Vec<Finding>, waivers: Vec<Waiver>, second: i64) -> Report {
    let mut findings = findings;
    apply(&mut findings, &waivers, at(second));
    let scored = score(&findings, &terms());
    Report {
        schema_version: 1,
        run: RunId(1),
        environment: "dev".into(),
        started_at: at(second),
        took_ms: 0.0,
        version: "0".into(),
        config_digest: String::new(),
        bar: 85.0,
        partial: false,
        verdict: scored.verdict,
        reasons: scored.reasons,
        score: scored.score,
        coverage: scored.coverage,
        categories: scored.categories,
        findings,
        not_run: vec![],
        as_of: None,
        waivers,
        score_without_waived: scored.without_waived,
        demands: Demands::default(),
        unmet: Vec::new(),
        baseline: None,
        checklist: None,
    }
}

/// What somebody does to a report.
type Touch = fn(&mut Report);

fn terms() -> Terms {
    Terms { categories: vec![], bar: 85.0, partial: false, checklist: false }
}

/// Ninety-nine points everywhere, and one gate that fails.
fn one_gate_fails() -> Vec<Finding> {
    let passes = |category: &Category| Finding {
        category: *category,
        weight: 99,
        ..finding("OK-001", Outcome::Pass, &[])
    };
    let mut findings: Vec<Finding> = Category::ALL.iter().map(passes).collect();
    findings.push(finding("SE-001", Outcome::Fail, &[]));
    findings
}

#[test]
fn a_waived_gate_makes_ready_of_what_is_over_the_bar_and_earns_nothing() {
    let before = report(one_gate_fails(), vec![], 150);
    let after = report(one_gate_fails(), vec![waiver(1, None)], 150);
    assert_eq!((before.verdict, after.verdict), (Verdict::NotReady, Verdict::Ready));
    assert_eq!((before.score, before.score_without_waived), (after.score, None));
    assert!(after.score.low < 100.0);
    assert_eq!(after.score_without_waived, Some(Interval { low: 100.0, high: 100.0 }));
    assert_eq!(report(one_gate_fails(), vec![waiver(1, None)], 200).verdict, Verdict::NotReady, "it expired");
    let mut under = one_gate_fails();
    under.last_mut().expect("it").weight = 100_000;
    for finding in &mut under {
        finding.category = Category::Security;
    }
    let under = report(under, vec![waiver(1, None)], 150);
    assert_ne!(under.verdict, Verdict::Ready, "{:?}", under.score);
}

#[test]
fn a_word_of_a_waiver_on_what_is_unmeasured_lifts_nothing() {
    for outcome in [Outcome::Error, Outcome::Timeout, Outcome::Skipped] {
        let mut findings = one_gate_fails();
        let gate = findings.last_mut().expect("the gate");
        gate.outcome = outcome;
        gate.waived = Some(Waived { waiver: 1, owner: "m".into(), reason: "m".into(), expires_at: at(999) });
        assert_eq!(score(&findings, &terms()).verdict, Verdict::Inconclusive, "{outcome:?}");
    }
}

#[test]
fn a_waiver_that_a_report_has_no_word_of_is_not_believed() {
    let honest = report(one_gate_fails(), vec![waiver(1, None)], 150);
    assert!(agrees(&honest));
    let touches: [(&str, Touch); 7] = [
        ("no such waiver", |report| report.waivers.clear()),
        ("it had expired", |report| report.waivers[0].expires_at = at(120)),
        ("judged for a later day", |report| report.as_of = Some(at(300))),
        ("it was revoked", |report| report.waivers[0].revoked_at = Some(at(110))),
        ("another speaks", |report| report.findings[8].waived.as_mut().expect("waived").owner = "bo".into()),
        ("a score with and without", |report| report.score_without_waived = None),
        ("a demand that is forgotten", |report| report.demands.fail_under = Some(100.0)),
    ];
    for (name, touch) in touches {
        let mut touched = honest.clone();
        touch(&mut touched);
        assert!(!agrees(&touched), "{name}");
    }
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let affected = prop::collection::vec((0..2_usize, 0..3_usize), 0..3);
    (0..3_usize, 0..8_usize, any::<bool>(), 0..7_usize, 1..50_u32, affected).prop_map(
        |(id, category, gate, outcome, weight, affected)| {
            let affected: Vec<(&str, &str)> = affected
                .iter()
                .map(|(resource, print)| (RESOURCES[*resource], ["x", "y", "z"][*print]))
                .collect();
            Finding {
                category: Category::ALL[category],
                severity: if gate { Severity::Blocker } else { Severity::Minor },
                weight,
                ..finding(IDS[id], ALL[outcome], &affected)
            }
        },
    )
}

fn any_waiver() -> impl Strategy<Value = Waiver> {
    let of = prop::option::of((0..2_usize, 0..3_usize));
    (1..99_u64, 0..3_usize, of, 50..150_i64, 120..260_i64, any::<bool>()).prop_map(
        |(id, check, of, added, expires, revoked)| {
            let of = of.map(|(resource, print)| (RESOURCES[resource], ["x", "y", "z"][print]));
            Waiver {
                check: IDS[check].into(),
                added_at: at(added),
                expires_at: at(expires),
                revoked_at: (revoked && id % 3 == 0).then(|| at(140)),
                ..waiver(id, of)
            }
        },
    )
}

proptest! {
    #[test]
    fn a_waiver_never_changes_a_score_and_never_makes_ready_of_what_is_unmeasured_or_under_the_bar(
        findings in prop::collection::vec(any_finding(), 0..25),
        waivers in prop::collection::vec(any_waiver(), 0..8),
        partial: bool, bar in 0.0..100.0_f64,
    ) {
        let terms = Terms { categories: vec![], bar, partial, checklist: false };
        let before = score(&findings, &terms);
        let mut waived = findings.clone();
        apply(&mut waived, &waivers, at(150));
        let after = score(&waived, &terms);
        prop_assert_eq!(&before.categories, &after.categories);
        prop_assert_eq!((before.score, before.coverage), (after.score, after.coverage));
        let held = matches!(after.verdict, Verdict::Ready | Verdict::Partial);
        prop_assert!(!held || after.score.low >= bar);
        let binding = |f: &&Finding| f.severity == Severity::Blocker || partial;
        let unmeasured = waived.iter().filter(binding).any(|f| {
            matches!(f.outcome, Outcome::Error | Outcome::Timeout | Outcome::Skipped)
        });
        prop_assert!(!(held && unmeasured));
        for finding in &waived {
            prop_assert!(finding.waived.is_none() || matches!(finding.outcome, Outcome::Fail | Outcome::Warn));
        }
        if before.verdict != Verdict::NotReady {
            prop_assert_eq!(before.verdict, after.verdict, "a waiver lifts what failed and nothing else");
        }
    }

    #[test]
    fn more_waivers_never_make_it_worse_and_what_is_forged_on_the_unmeasured_helps_nothing(
        findings in prop::collection::vec(any_finding(), 1..25),
        waivers in prop::collection::vec(any_waiver(), 1..8),
        which: prop::sample::Index,
    ) {
        let verdict_of = |waivers: &[Waiver]| {
            let mut findings = findings.clone();
            apply(&mut findings, waivers, at(150));
            (findings.iter().filter(|f| f.waived.is_some()).count(), score(&findings, &terms()).verdict)
        };
        let (some, all) = (verdict_of(&waivers[1..]), verdict_of(&waivers));
        prop_assert!(all.0 >= some.0);
        prop_assert!(some.1 == all.1 || some.1 == Verdict::NotReady);
        let mut forged = findings.clone();
        let finding = which.get_mut(&mut forged);
        (finding.outcome, finding.severity) = (Outcome::Error, Severity::Blocker);
        finding.waived = Some(Waived { waiver: 1, owner: "m".into(), reason: "m".into(), expires_at: at(999) });
        prop_assert_ne!(score(&forged, &terms()).verdict, Verdict::Ready);
    }

    #[test]
    fn what_is_stored_with_waivers_recomputes_to_itself(
        findings in prop::collection::vec(any_finding(), 0..25),
        waivers in prop::collection::vec(any_waiver(), 0..8), second in 100..260_i64,
    ) {
        let text = serde_json::to_string(&report(findings, waivers, second)).expect("json");
        let back: Report = serde_json::from_str(&text).expect("the report back");
        prop_assert!(agrees(&back), "{text}");
    }
}
