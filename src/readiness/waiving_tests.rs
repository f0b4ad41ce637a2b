//! Waivers through the service: what is refused, and what a waiver does to a real run.
use super::*;
use crate::{
    domain::{Demands, FailOn, Interval, Report, Role, RunId, Verdict},
    readiness::{
        Baseline, RunRequest, agrees,
        service_fixture::{Bench, bench, caller, somebody},
    },
    store::act,
};

fn ask(check: &str) -> WaiverRequest {
    WaiverRequest {
        check: check.into(),
        resource: None,
        owner: " ana ".into(),
        reason: "mended next week".into(),
        expires_at: None,
        expires_in: Some(Period::secs(14 * 86400)),
    }
}

/// What fails when the manifest on disk is another, and enough beside it that its points are not missed.
fn enough() -> RunRequest {
    let only = ["CF-001", "CF-002", "CF-003", "CF-004", "DB-001"].map(String::from).to_vec();
    RunRequest { only, ..RunRequest::default() }
}

impl Bench {
    /// With the manifest on disk not the one that runs.
    async fn broken() -> Self {
        let bench = bench().await;
        *bench.on_disk.lock().expect("whole") = "other";
        bench
    }

    /// A report that somebody else's run left: one finding, about these.
    async fn kept(&self, id: &str, affected: &[(&str, &str)]) -> RunId {
        let mut report =
            self.report(RunRequest { only: vec!["CF-002".into()], ..RunRequest::default() }).await;
        report.run = self.store.begin_run(act(), "dev".into(), false).await.expect("begun");
        report.partial = false;
        report.findings[0].id = id.into();
        let named = |(resource, fingerprint): &(&str, &str)| Affected {
            resource: (*resource).into(),
            fingerprint: (*fingerprint).into(),
        };
        report.findings[0].affected = affected.iter().map(named).collect();
        let run = report.run;
        self.store.finish_run(act(), report).await.expect("kept");
        run
    }

    async fn refused(&self, request: WaiverRequest) -> Fault {
        let fault = self.readiness.waive(request.clone(), &caller(), act()).await.expect_err("a refusal");
        assert!(fault.message.starts_with("cannot"), "{fault}");
        assert_eq!(self.store.waivers(None).await.expect("read"), [], "{request:?} was kept");
        fault
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waived_gate_holds_nothing_up_until_it_expires_or_is_revoked() {
    let bench = Bench::broken().await;
    let before = bench.report(enough()).await;
    assert_eq!(before.verdict, Verdict::NotReady, "{:?}", before.reasons);
    let added = bench.readiness.waive(ask("cf-001"), &caller(), act()).await.expect("added");
    assert_eq!(
        (added.check.as_str(), added.owner.as_str(), added.added_by.as_str()),
        ("CF-001", "ana", "uid 1000")
    );

    let waived = bench.report(enough()).await;
    assert_eq!(waived.verdict, Verdict::Partial, "{:?}", waived.reasons);
    assert_eq!((waived.score, waived.coverage), (before.score, before.coverage), "a waiver earned points");
    assert_eq!(waived.score_without_waived, Some(Interval { low: 100.0, high: 100.0 }));
    assert_eq!(waived.waivers, std::slice::from_ref(&added));
    let speaking = |report: &Report| {
        let finding = report.findings.iter().find(|finding| finding.id == "CF-001").expect("it ran");
        finding.waived.as_ref().map(|waived| waived.waiver)
    };
    assert_eq!(speaking(&waived), Some(added.id));
    assert!(agrees(&waived) && agrees(&before));

    let later =
        RunRequest { as_of: added.expires_at.checked_add(SignedDuration::from_secs(1)).ok(), ..enough() };
    let lapsed = bench.report(later).await;
    assert_eq!((lapsed.verdict, lapsed.score_without_waived), (Verdict::NotReady, None));
    assert_eq!(lapsed.waivers, std::slice::from_ref(&added), "nobody could tell why the gate is back");
    assert!(agrees(&lapsed));

    bench.readiness.revoke(added.id, &caller(), act()).await.expect("revoked");
    let after = bench.report(enough()).await;
    assert_eq!(after.verdict, Verdict::NotReady);
    assert!(after.waivers[0].revoked_at.is_some() && speaking(&after).is_none());
    assert!(agrees(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unmeasured_stays_so_whatever_is_waived() {
    let bench = bench().await;
    // Nothing here answers on a door, so that this gate cannot be measured.
    let only = || RunRequest { only: vec!["SE-004".into()], ..RunRequest::default() };
    let before = bench.report(only()).await;
    assert_eq!(before.verdict, Verdict::Inconclusive, "{before:?}");
    bench.readiness.waive(ask("SE-004"), &caller(), act()).await.expect("added");
    let after = bench.report(only()).await;
    assert_eq!((after.verdict, after.score), (Verdict::Inconclusive, before.score));
    assert!(after.findings[0].waived.is_none());
}

#[tokio::test]
async fn a_waiver_that_nobody_should_add_is_refused_with_what_to_do() {
    let bench = bench().await;
    let at = |second: i64| Some(Timestamp::now() + SignedDuration::from_secs(second));
    let day = 86_400;
    let table: Vec<(&str, WaiverRequest, &str)> = vec![
        ("a blank owner", WaiverRequest { owner: " \t".into(), ..ask("CF-001") }, "--owner is blank"),
        ("a blank reason", WaiverRequest { reason: String::new(), ..ask("CF-001") }, "--reason is blank"),
        ("a novel", WaiverRequest { reason: "x".repeat(1_001), ..ask("CF-001") }, "longer than"),
        ("an escape", WaiverRequest { owner: "a\u{1b}[2J".into(), ..ask("CF-001") }, "control characters"),
        ("no end", WaiverRequest { expires_in: None, ..ask("CF-001") }, "must expire"),
        ("two ends", WaiverRequest { expires_at: at(day), ..ask("CF-001") }, "must expire"),
        (
            "yesterday",
            WaiverRequest { expires_at: at(-day), expires_in: None, ..ask("CF-001") },
            "expired already",
        ),
        ("at once", WaiverRequest { expires_in: Some(Period::secs(0)), ..ask("CF-001") }, "expired already"),
        (
            "for ever",
            WaiverRequest { expires_in: Some(Period(std::time::Duration::MAX)), ..ask("CF-001") },
            "too far ahead",
        ),
        (
            "366 days",
            WaiverRequest { expires_at: at(366 * day), expires_in: None, ..ask("CF-001") },
            "too far",
        ),
    ];
    for (name, request, why) in table {
        let fault = bench.refused(request).await;
        assert_eq!(fault.kind, FaultKind::Usage, "{name}: {fault}");
        assert!(fault.message.contains(why), "{name}: {fault}");
        assert!(
            !why.contains("far") || fault.hint.is_some_and(|hint| hint.contains("at most 365 days")),
            "{name}"
        );
    }
    let fault = bench.refused(ask("CF-01")).await;
    assert!(fault.hint.is_some_and(|hint| hint.contains("CF-001")), "no nearest name");
    assert_eq!(bench.refused(ask("database")).await.kind, FaultKind::NotFound, "a category is no check");
    let agent = somebody(61_200, Role::Agent);
    let fault = bench.readiness.waive(ask("CF-001"), &agent, act()).await.expect_err("an agent");
    assert_eq!(fault.kind, FaultKind::Forbidden);
    assert_eq!(
        bench.readiness.revoke(7, &caller(), act()).await.expect_err("there is none").kind,
        FaultKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_waived_as_the_last_report_found_it_and_void_when_it_changed() {
    let bench = bench().await;
    let of = |resource: &str| WaiverRequest { resource: Some(resource.into()), ..ask("SE-001") };
    let fault = bench.refused(of("file//a")).await;
    assert!(fault.kind == FaultKind::NotFound && fault.hint.is_some_and(|h| h.contains("--only SE-001")));
    bench.kept("SE-001", &[("file//a", "0644"), ("file//b", "0666")]).await;
    bench.kept("SE-001", &[("file//a", "0666"), ("file//b", "0666")]).await;
    let fault = bench.refused(of("file//c")).await;
    assert!(fault.hint.is_some_and(|hint| hint.contains("file//a, file//b")), "it does not say which");

    let added = bench.readiness.waive(of("file//a"), &caller(), act()).await.expect("added");
    assert_eq!(added.fingerprint.as_deref(), Some("0666"), "not of the last report");
    let standing = async || bench.readiness.waivers(true).await.expect("listed")[0].standing;
    assert_eq!(standing().await, Standing::InForce);
    bench.kept("SE-001", &[("file//a", "0777")]).await;
    assert_eq!(standing().await, Standing::Void);
    bench.readiness.revoke(added.id, &caller(), act()).await.expect("revoked");
    assert_eq!(standing().await, Standing::Revoked);
    assert_eq!(bench.readiness.waivers(false).await.expect("listed"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn demands_make_a_run_stricter_and_are_kept_with_it() {
    let bench = Bench::broken().await;
    let demands = Demands { fail_under: Some(99.5), fail_on: Some(FailOn::Fail) };
    let report = bench.report(RunRequest { demands, ..enough() }).await;
    assert_eq!((report.demands, report.unmet.len()), (demands, 2), "{:?}", report.unmet);
    assert!(report.unmet[1].ends_with("CF-001") && agrees(&report), "{:?}", report.unmet);
    bench.readiness.waive(ask("CF-001"), &caller(), act()).await.expect("added");
    let report = bench.report(RunRequest { demands, ..enough() }).await;
    assert_eq!(report.unmet.len(), 1, "a waiver adds no score: {:?}", report.unmet);
    let mut forgetful: Report = report;
    forgetful.unmet.clear();
    assert!(!agrees(&forgetful));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_or_worse_is_told_against_the_baseline_that_was_asked_for() {
    let bench = bench().await;
    let demands = Demands { fail_under: None, fail_on: Some(FailOn::New) };
    let start = async |request: RunRequest| bench.readiness.start(request, &caller(), act()).await;
    let fault = start(RunRequest { demands, ..enough() }).await.expect_err("nothing to compare with");
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
    let fault = start(RunRequest { baseline: Some(Baseline::Run(RunId(77))), ..enough() }).await;
    assert_eq!(fault.expect_err("there is none").kind, FaultKind::NotFound);

    let sound = bench.report(enough()).await;
    let fault = start(RunRequest { demands, ..enough() }).await.expect_err("a partial run is no baseline");
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
    *bench.on_disk.lock().expect("whole") = "other";
    let against = |baseline| RunRequest { demands, baseline: Some(baseline), ..enough() };
    let worse = bench.report(against(Baseline::Run(sound.run))).await;
    assert_eq!(worse.unmet, ["--fail-on new: CF-001"]);
    assert!(
        worse.baseline.as_ref().is_some_and(|b| b.against == format!("run {}", sound.run)) && agrees(&worse)
    );

    let file =
        |report: &Report| Baseline::Report { name: "main.json".into(), report: Box::new(report.clone()) };
    let same = bench.report(against(file(&worse))).await;
    assert_eq!((same.unmet.len(), same.baseline.expect("compared").against.as_str()), (0, "main.json"));
    let mut newer = sound;
    newer.schema_version = 2;
    assert_eq!(start(against(file(&newer))).await.expect_err("of another shape").kind, FaultKind::Usage);
}
