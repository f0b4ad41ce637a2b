//! One run from its first check to its report: runs, judges, keeps. Or is called off, and leaves nothing.
use super::{
    Evidence, Ground, ReadinessParts, compare, demands, engine,
    proof::blocking,
    request::{Against, SCHEMA, cancelled},
    score,
    select::Selection,
    service::Run,
    waiver,
};
use crate::{
    domain::{Event, EventKind, Fault, FaultCategory, FaultKind, Finding, Report, Waiver},
    errors::Failure,
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// How long scratch copies may take to be gone after the last check.
pub const CLEARING: Duration = Duration::from_secs(15);
/// A waiver that lapsed is shown so long, so that nobody wonders why its gate is back.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

pub fn scratch(parts: &ReadinessParts) -> Ground {
    Ground::new(parts.paths.state_dir.join("scratch"), parts.clock.clone())
}

/// The report is in the store before anybody is told that the run is finished.
pub async fn conduct(
    parts: &ReadinessParts,
    run: &Arc<Run>,
    selection: Selection,
    against: Option<Against>,
) -> Result<Report, Fault> {
    let (started_at, started) = (parts.clock.now(), Instant::now());
    let ground = scratch(parts);
    let judged_at = run.as_of.unwrap_or(started_at);
    let evidence = Evidence::new(parts, ground.clone(), Some(judged_at));
    let (settings, config_digest) = (evidence.settings.clone(), evidence.config_digest.clone());
    // The ground is clear when nobody holds the evidence any more.
    let findings = tokio::select! {
        findings = ask(run, &selection, evidence) => findings,
        () = run.cancel.cancelled() => return Err(call_off(parts, run, &ground).await),
    };
    if !ground.close(CLEARING).await {
        tracing::error!(run = run.id.0, "scratch copies are still not gone; the next start removes them");
        still_there(parts);
    }
    // As they are now, so that one revoked meanwhile speaks for nothing.
    // None speaks for an item of the checklist: an attestation does, or nothing.
    let waivers = match &run.checklist {
        None => parts.store.waivers(started_at.checked_sub(REMEMBERED).ok()).await?,
        Some(_) => Vec::new(),
    };
    let mut report = judge(run, selection, findings, waivers, judged_at);
    report.environment.clone_from(&settings.environment);
    report.config_digest = config_digest;
    report.started_at = started_at;
    if let Some(Against { report: earlier, name }) = against {
        let mut comparison = compare::compare(&earlier, &report);
        comparison.against = name.unwrap_or(comparison.against);
        report.baseline = Some(comparison);
    }
    report.unmet = demands::unmet_by(&report);
    report.took_ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    // From here on it is too late to call it off.
    parts.store.finish_run(run.act.clone(), report.clone()).await?;
    let text = format!(
        "{} {}: {}, {:.2} to {:.2} of 100",
        report.subject(),
        report.run,
        report.verdict_word(),
        report.score.low,
        report.score.high
    );
    record(parts, text).await;
    Ok(report)
}

async fn ask(run: &Arc<Run>, selection: &Selection, evidence: Evidence) -> Vec<Finding> {
    let evidence = Arc::new(evidence);
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
    findings
}

/// The checks have been dropped by now; what they stood on goes, and then the place is free.
async fn call_off(parts: &ReadinessParts, run: &Run, ground: &Ground) -> Fault {
    if !ground.close(CLEARING).await {
        tracing::error!(run = run.id.0, "scratch copies of a cancelled validation are still not gone");
        still_there(parts);
    }
    // What a thread that cannot be cancelled made after its check was gone.
    let rest = ground.clone();
    match blocking(move || rest.sweep().map_err(|error| Fault::internal(error.to_string()))).await {
        Ok(_) => _ = ground.close(Duration::ZERO).await,
        Err(error) => tracing::warn!(%error, "cannot remove scratch copies of a cancelled validation"),
    }
    // Who called it off; nobody but `cancel` does.
    let by = run.called_off.get().unwrap_or(&run.act).clone();
    if let Err(error) = parts.store.cancel_run(by, run.act.clone(), run.id).await {
        return error.into();
    }
    record(parts, format!("validation {}: cancelled", run.id)).await;
    cancelled(run.id)
}

/// What the findings and waivers amount to, on that day; where and when it was is for the caller to say.
fn judge(
    run: &Run,
    selection: Selection,
    mut findings: Vec<Finding>,
    waivers: Vec<Waiver>,
    judged_at: Timestamp,
) -> Report {
    waiver::apply(&mut findings, &waivers, judged_at);
    waiver::tell_of_void(&mut findings, &waivers, judged_at);
    let scored = score::score(&findings, &selection.terms);
    Report {
        schema_version: SCHEMA,
        run: run.id,
        environment: String::new(),
        started_at: judged_at,
        took_ms: 0.0,
        version: env!("CARGO_PKG_VERSION").into(),
        config_digest: String::new(),
        bar: selection.terms.bar,
        partial: selection.terms.partial,
        verdict: scored.verdict,
        reasons: scored.reasons,
        score: scored.score,
        coverage: scored.coverage,
        categories: scored.categories,
        findings,
        not_run: selection.not_run.clone(),
        as_of: run.as_of,
        waivers,
        score_without_waived: scored.without_waived,
        demands: run.demands,
        unmet: Vec::new(),
        baseline: None,
        checklist: run.checklist.clone(),
    }
}

fn still_there(parts: &ReadinessParts) {
    let fault = Fault::new(FaultKind::Timeout, "cannot clear the scratch ground of a validation in time")
        .category(FaultCategory::Resource);
    parts.errors.record(Failure::new("validation", fault));
}

async fn record(parts: &ReadinessParts, text: String) {
    let at = parts.clock.now();
    let event = Event { seq: 0, at, kind: EventKind::ValidationFinished, instance: None, text };
    if let Err(error) = parts.store.record_event(event).await {
        tracing::warn!(%error, "cannot record that a validation finished");
        parts.errors.record(Failure::new("event", error.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Affected, Category, Demands, Outcome, RunId, Severity, Verdict},
        readiness::{Terms, service::Log},
    };
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    fn finding(id: &str, outcome: Outcome, weight: u32, mode: &str) -> Finding {
        Finding {
            id: id.into(),
            title: "a check".into(),
            category: Category::Security,
            severity: Severity::Blocker,
            weight,
            outcome,
            summary: "because".into(),
            evidence: Vec::new(),
            hint: None,
            exercised: true,
            declared: false,
            affected: vec![Affected { resource: "file//a".into(), fingerprint: mode.into() }],
            waived: None,
            took_ms: 1.0,
        }
    }

    /// What a run amounts to whose gate fails over a file of this mode, waived when its mode was 0666.
    fn judged(mode: &str) -> Report {
        let now = Timestamp::from_second(1_700_000_000).expect("a time");
        let run = Run {
            id: RunId(1),
            total: 2,
            as_of: None,
            demands: Demands::default(),
            checklist: None,
            uid: 0,
            act: crate::store::act(),
            called_off: std::sync::OnceLock::new(),
            cancel: CancellationToken::new(),
            log: watch::Sender::new(Log::default()),
        };
        let categories = Category::ALL.iter().map(|c| (*c, 10.0, *c == Category::Security)).collect();
        let terms = Terms { categories, bar: 85.0, partial: true, checklist: false };
        let waiver = Waiver {
            id: 3,
            check: "SE-001".into(),
            resource: Some("file//a".into()),
            fingerprint: Some("0666".into()),
            owner: "ana".into(),
            reason: "known".into(),
            expires_at: now + SignedDuration::from_hours(1),
            added_at: now - SignedDuration::from_hours(1),
            added_by: "uid 0".into(),
            revoked_at: None,
        };
        let findings =
            vec![finding("SE-001", Outcome::Fail, 1, mode), finding("SE-005", Outcome::Pass, 19, "")];
        judge(&run, Selection { checks: vec![], not_run: vec![], terms }, findings, vec![waiver], now)
    }

    #[test]
    fn a_waiver_of_what_has_changed_lifts_nothing_and_the_report_says_why() {
        let same = judged("0666");
        assert_eq!((same.verdict, same.findings[0].waived.is_some()), (Verdict::Partial, true));
        assert!(same.findings[0].evidence.is_empty() && score::agrees(&same));
        let changed = judged("0777");
        assert_eq!((changed.verdict, changed.findings[0].waived.is_some()), (Verdict::NotReady, false));
        let said = changed.findings[0].evidence.concat();
        assert!(said.contains("waiver 3 of ana is void: what it was for has changed"), "{said}");
        assert!(changed.findings[1].evidence.is_empty() && score::agrees(&changed));
    }
}
