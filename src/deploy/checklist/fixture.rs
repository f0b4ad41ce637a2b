//! What the tests of the kinds share: a word, a fleet, an error group, a report. Compiled for tests only.
use super::{kind::Around, soak::Window};
use crate::domain::{
    AgentState, Attestation, Category, Demands, ErrorGroup, ErrorState, Finding, FleetSnapshot, Outcome,
    Principal, Report, RunId, Severity,
};
use crate::readiness::{Terms, score};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub fn around(item: &str) -> Around {
    let (since, until) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1));
    Around {
        item: item.into(),
        fingerprint: "ab".into(),
        release: None,
        backups: None,
        metrics: None,
        window: Window { since, until, is_first: false, soak: None },
    }
}

/// For the item of `around`, for an hour from 1970 on.
pub fn word() -> Attestation {
    Attestation {
        id: 1,
        item: "restore-read".into(),
        fingerprint: "ab".into(),
        environment: "staging".into(),
        release: None,
        by: "ana".into(),
        principal: Principal::user(1000),
        uid: 1000,
        note: "read aloud".into(),
        evidence: None,
        attested_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1),
        revoked_at: None,
    }
}

/// Name, replicas and the states of the instances that there are.
pub fn fleet(agents: &[(&str, u32, &[AgentState])]) -> FleetSnapshot {
    let agents = agents.iter().map(|(name, replicas, states)| {
        let instances: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(at, state)| {
                json!({"id": format!("{name}/{at}"), "state": state, "generation": 1, "restarts": 0, "separation": "none"})
            })
            .collect();
        let agent = json!({
            "name": name, "kind": "process", "tier": "core", "state": states.first().unwrap_or(&AgentState::Failed),
            "replicas": replicas, "instances": instances,
        });
        std::sync::Arc::new(serde_json::from_value(agent).expect("an agent"))
    });
    FleetSnapshot { agents: agents.collect(), ..FleetSnapshot::default() }
}

pub fn error(id: u64, state: ErrorState, opened_at: Timestamp) -> ErrorGroup {
    let group = json!({
        "id": id, "state": state, "message": "no such \u{1b}[2J table", "hint": null, "first_at": opened_at,
        "last_at": opened_at, "count": 3, "hours": [], "spike": null, "opened_at": opened_at, "assignee": null,
        "resolution": null, "ignored": null, "regressions": 0, "fingerprint": "1-00112233445566ff", "category": "database",
        "severity": "high", "kind": "internal", "operation": "probe", "agent": null, "retryable": false,
    });
    serde_json::from_value(group).expect("an error group")
}

/// One that holds: everything passed, or a gate failed.
pub fn report(ready: bool) -> Report {
    let findings: Vec<Finding> = Category::ALL
        .iter()
        .map(|category| Finding {
            id: format!("{}-001", category.letters()),
            title: "a check".into(),
            category: *category,
            severity: Severity::Blocker,
            weight: 1,
            outcome: if ready { Outcome::Pass } else { Outcome::Fail },
            summary: "so it is".into(),
            evidence: Vec::new(),
            hint: None,
            exercised: true,
            declared: false,
            affected: Vec::new(),
            waived: None,
            took_ms: 1.0,
        })
        .collect();
    let terms = Terms { categories: Vec::new(), bar: 85.0, partial: false, checklist: false };
    let scored = score(&findings, &terms);
    Report {
        schema_version: 1,
        run: RunId(7),
        environment: "staging".into(),
        started_at: Timestamp::UNIX_EPOCH,
        took_ms: 1.0,
        version: "0.1.0".into(),
        config_digest: "abc".into(),
        bar: 85.0,
        partial: false,
        verdict: scored.verdict,
        reasons: scored.reasons,
        score: scored.score,
        coverage: scored.coverage,
        categories: scored.categories,
        findings,
        not_run: Vec::new(),
        as_of: None,
        waivers: Vec::new(),
        score_without_waived: None,
        demands: Demands::default(),
        unmet: Vec::new(),
        baseline: None,
        checklist: None,
    }
}
