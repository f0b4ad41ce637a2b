//! For tests: one report with something of everything, hostile text included, and any report at all.
use super::{
    Affected, Category, CategoryScore, Comparison, Demands, FailOn, Finding, Interval, Outcome, Report,
    RunId, Severity, Verdict, Waived, Waiver,
};
use jiff::Timestamp;
use proptest::prelude::*;

/// What an agent prints to break out of every format at once.
pub const HOSTILE: &str = "\x1b[2J\x1b]0;owned\x07\0<script>alert(1)</script> ]]> &amp; \"'`` ``` | **x** [y](http://z)\r\n::error title=forged::100%25 %0A::set-output\n##[add-mask]x\n</td></system-out><!-- --> @everyone \u{202e}txt\u{fffe}\u{ffff}";

pub fn finding(id: &str, category: Category, severity: Severity, outcome: Outcome) -> Finding {
    Finding {
        id: id.into(),
        title: format!("the control of {id} holds"),
        category,
        severity,
        weight: 2,
        outcome,
        summary: format!("it was seen to {}", outcome.as_str()),
        evidence: vec![format!("held: {id} at 12.5 ms")],
        hint: (!matches!(outcome, Outcome::Pass | Outcome::NotApplicable)).then(|| format!("mend {id}")),
        exercised: severity == Severity::Blocker,
        declared: false,
        affected: Vec::new(),
        waived: None,
        took_ms: 12.5,
    }
}

/// Passed, failed, waived, unmeasured, hostile, declared; waivers in force, idle, lapsed and revoked; a baseline and a
/// demand that is not met. Its numbers are made up: it is there to be shown.
pub fn rich() -> Report {
    use Category::{
        AgentOperations, Authentication, Configuration, Database, ErrorHandling, HealthMonitoring,
        Performance, Security,
    };
    use Severity::{Blocker, Major, Minor};
    let mut findings = vec![
        finding("EH-001", ErrorHandling, Blocker, Outcome::Pass),
        finding("AU-004", Authentication, Minor, Outcome::Warn),
        finding("DB-001", Database, Blocker, Outcome::Pass),
        finding("DB-003", Database, Blocker, Outcome::Fail),
        finding("APP-001", Database, Major, Outcome::Pass),
        finding("HM-002", HealthMonitoring, Blocker, Outcome::Timeout),
        finding("HM-003", HealthMonitoring, Major, Outcome::NotApplicable),
        finding("CF-002", Configuration, Major, Outcome::Fail),
        finding("AO-001", AgentOperations, Blocker, Outcome::Error),
        finding("PE-001", Performance, Minor, Outcome::Skipped),
        finding("SE-002", Security, Blocker, Outcome::Fail),
    ];
    let of = |findings: &mut Vec<Finding>, id: &str, change: &dyn Fn(&mut Finding)| {
        findings.iter_mut().filter(|finding| finding.id == id).for_each(change);
    };
    of(&mut findings, "DB-003", &|f| {
        f.summary = format!("the database said {HOSTILE}");
        f.evidence = vec![HOSTILE.into(), "BROKEN: the second line is whole".into()];
    });
    of(&mut findings, "APP-001", &|f| {
        f.declared = true;
        f.title = "GET /api/v2/bookings answers".into();
    });
    of(&mut findings, "CF-002", &|f| {
        f.affected =
            vec![Affected { resource: "file//etc/agent d/agentd.toml".into(), fingerprint: "ab12".into() }];
    });
    of(&mut findings, "SE-002", &|f| {
        f.affected = vec![Affected { resource: "secret/STRIPE_KEY".into(), fingerprint: "9f".into() }];
        f.waived = Some(Waived {
            waiver: 1,
            owner: "Ada <ada@example.org>".into(),
            reason: "the key is rotated on the 1st | see #12".into(),
            expires_at: at(40),
        });
    });
    Report {
        schema_version: 1,
        run: RunId(12),
        environment: "staging".into(),
        started_at: at(0),
        took_ms: 6543.2,
        version: "0.1.0".into(),
        config_digest: "0123456789abcdef0123456789abcdef".into(),
        bar: 85.0,
        partial: true,
        verdict: Verdict::NotReady,
        reasons: vec![
            format!("gate DB-003 failed: the control of DB-003 holds: {HOSTILE}"),
            "gate AO-001 is unmeasured (error): the control of AO-001 holds: it was seen to error".into(),
        ],
        score: Interval { low: 41.25, high: 66.25 },
        coverage: 0.7625,
        categories: Category::ALL
            .iter()
            .zip(WEIGHTS)
            .map(|(c, weight)| scored(*c, weight, &findings))
            .collect(),
        findings,
        not_run: vec!["SE-009".into(), "SE-010".into()],
        as_of: Some(at(30)),
        waivers: vec![waiver(1, "SE-002", 40), waiver(2, "DB-004", 10), revoked(3), waiver(4, "CF-009", 50)],
        score_without_waived: Some(Interval { low: 43.0, high: 68.0 }),
        demands: Demands { fail_under: Some(90.0), fail_on: Some(FailOn::Regressed) },
        unmet: vec!["the score is 41.25 at least, under the 90 that was asked for".into()],
        checklist: None,
        baseline: Some(Comparison {
            against: "run 11".into(),
            change: -4.5,
            new: vec!["CF-002".into()],
            regressed: vec!["DB-003".into()],
            improved: vec!["EH-001".into()],
            gone: vec!["AU-009".into()],
        }),
    }
}

/// Whatever the types allow and JSON can say.
pub fn any_report() -> impl Strategy<Value = Report> {
    let text = prop_oneof![Just(HOSTILE.to_owned()), any::<String>(), "[ -~]{0,40}"];
    let findings = proptest::collection::vec(any_finding(), 0..12);
    // As the scorer rounds them: what has no more than 15 digits is read as it was written.
    let end = || (0..=100_000_000_u32).prop_map(|millionths| f64::from(millionths) / 1e6);
    let ends = (end(), end());
    (findings, proptest::collection::vec(text, 6), ends, any::<(bool, bool, bool, u64)>(), -1e11..1e11_f64)
        .prop_map(|(findings, text, (low, high), (partial, lapsed, compared, run), seconds)| {
            let mut report = rich();
            #[expect(clippy::cast_possible_truncation, reason = "any moment will do")]
            let moment = Timestamp::from_second(seconds as i64).unwrap_or(Timestamp::UNIX_EPOCH);
            let [environment, version, config_digest, reason, not_run, unmet] =
                <[String; 6]>::try_from(text).unwrap_or_default();
            report.categories = Category::ALL.iter().map(|c| scored(*c, 5.0, &findings)).collect();
            report.baseline = report.baseline.filter(|_| compared);
            report.as_of = lapsed.then_some(moment);
            Report {
                run: RunId(run),
                environment,
                started_at: moment,
                version,
                config_digest,
                partial,
                reasons: vec![reason],
                score: Interval { low: low.min(high), high: low.max(high) },
                findings,
                not_run: vec![not_run],
                unmet: vec![unmet],
                ..report
            }
        })
}

fn any_finding() -> impl Strategy<Value = Finding> {
    use proptest::sample::select;
    let outcomes = vec![
        Outcome::Pass,
        Outcome::Warn,
        Outcome::Fail,
        Outcome::Error,
        Outcome::Timeout,
        Outcome::Skipped,
        Outcome::NotApplicable,
    ];
    let text = || prop_oneof![Just(HOSTILE.to_owned()), any::<String>(), "[ -~]{0,40}"];
    (
        (text(), text(), text(), proptest::collection::vec(text(), 0..4), proptest::option::of(text())),
        select(Category::ALL.to_vec()),
        select(vec![Severity::Blocker, Severity::Major, Severity::Minor]),
        select(outcomes),
        (any::<bool>(), text(), (0..1_000_000_000_u32).prop_map(|micros| f64::from(micros) / 1e3)),
    )
        .prop_map(|((id, title, summary, evidence, hint), category, severity, outcome, more)| {
            let (waived, other, took_ms) = more;
            Finding {
                title,
                summary,
                evidence,
                hint,
                declared: waived,
                affected: vec![Affected { resource: format!("file/{other}"), fingerprint: other.clone() }],
                waived: waived.then(|| Waived {
                    waiver: 1,
                    owner: other.clone(),
                    reason: other,
                    expires_at: at(1),
                }),
                took_ms,
                ..finding(&id, category, severity, outcome)
            }
        })
}

const WEIGHTS: [f64; 8] = [20.0, 20.0, 15.0, 15.0, 10.0, 10.0, 5.0, 5.0];

fn scored(category: Category, weight: f64, findings: &[Finding]) -> CategoryScore {
    let mine = || findings.iter().filter(|finding| finding.category == category);
    let checks = u32::try_from(mine().count()).unwrap_or(u32::MAX);
    let passed = u32::try_from(mine().filter(|f| f.outcome == Outcome::Pass).count()).unwrap_or(u32::MAX);
    let score = (checks > 0).then_some(Interval { low: 50.0, high: 75.0 });
    CategoryScore { category, weight, score, coverage: 0.5, checks, passed, asked: true }
}

fn waiver(id: u64, check: &str, days: i64) -> Waiver {
    Waiver {
        id,
        check: check.into(),
        resource: None,
        fingerprint: None,
        owner: "Ada <ada@example.org>".into(),
        reason: "the key is rotated on the 1st | see #12".into(),
        expires_at: at(days),
        added_at: at(-1),
        added_by: "uid 1000".into(),
        revoked_at: None,
    }
}

fn revoked(id: u64) -> Waiver {
    Waiver { revoked_at: Some(at(2)), ..waiver(id, "AU-001", 60) }
}

/// So many days after the start.
fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap_or(Timestamp::UNIX_EPOCH)
}
