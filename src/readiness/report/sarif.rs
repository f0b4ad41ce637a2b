//! SARIF 2.1.0. A rule for every check that ran; a result for each that did not pass, waived ones suppressed. Those
//! that passed are named in the run's properties: some consumers open an alert for every result, whatever its kind.
use super::facts::{command, facts};
use crate::{
    domain::{Affected, Finding, Outcome, Report, Severity, one_line, visible},
    readiness::Readiness,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, fmt::Write};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub fn render(report: &Report) -> String {
    let rules = rules(report);
    let index = |id: &str| rules.iter().position(|rule| rule["id"] == id);
    let results: Vec<Value> =
        report.findings.iter().filter(|f| f.is_trouble()).map(|f| result(report, f, index(&f.id))).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "agentctl", "version": visible(&report.version), "rules": rules } },
            // What is before the last slash is the same from run to run.
            "automationDetails": {
                "id": format!("agentctl/{}/{}/{}", command(report), one_line(&report.environment), report.run)
            },
            "invocations": [invocation(report)],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": properties(report),
        }],
    });
    format!("{log:#}\n")
}

/// One a check, in print order. What the program knows of a check is told with it; a declared one tells of itself.
fn rules(report: &Report) -> Vec<Value> {
    let known = Readiness::checks();
    let mut seen = BTreeSet::new();
    let once = report.findings.iter().filter(|finding| seen.insert(&finding.id));
    once.map(|finding| {
        let about = known.iter().find(|check| check.id == finding.id && !finding.declared);
        let (full, help) = match about {
            Some(check) => (
                check.why.clone(),
                format!("How it is measured: {}\n\nWhat to do when it fails: {}", check.how, check.fix),
            ),
            None => (finding.title.clone(), finding.hint.clone().unwrap_or_else(|| finding.title.clone())),
        };
        json!({
            "id": visible(&finding.id),
            "shortDescription": { "text": visible(&finding.title) },
            "fullDescription": { "text": visible(&full) },
            "help": { "text": visible(&help) },
            "defaultConfiguration": { "level": failing(finding.severity) },
            "properties": {
                "category": finding.category,
                "severity": finding.severity,
                "weight": finding.weight,
                "exercised": finding.exercised,
                "declared": finding.declared,
                "tags": ["readiness", finding.category],
            },
        })
    })
    .collect()
}

fn result(report: &Report, finding: &Finding, rule: Option<usize>) -> Value {
    let mut result = json!({
        "ruleId": visible(&finding.id),
        "level": level(finding),
        "message": { "text": message(finding) },
        "locations": locations(report, finding),
        "partialFingerprints": { "checkAndResource/v1": fingerprint(report, finding) },
        // Present on all or on none; an empty one says that it is known not to be suppressed.
        "suppressions": suppressions(finding),
        "properties": { "outcome": finding.outcome, "tookMs": finding.took_ms },
    });
    if let (Some(rule), Some(fields)) = (rule, result.as_object_mut()) {
        fields.insert("ruleIndex".into(), rule.into());
    }
    result
}

/// SARIF's own kind for what could not be decided goes with no level at all, and is then shown nowhere: so it is a
/// result like any other, and its text says what it is.
fn level(finding: &Finding) -> &'static str {
    match (finding.outcome, finding.severity) {
        (Outcome::Fail, severity) => failing(severity),
        (Outcome::Error | Outcome::Timeout | Outcome::Skipped, Severity::Blocker) => "error",
        _ => "warning",
    }
}

fn failing(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker | Severity::Major => "error",
        Severity::Minor => "warning",
    }
}

fn message(finding: &Finding) -> String {
    let Finding { title, summary, outcome, .. } = finding;
    let unmeasured =
        if outcome.is_measured() { String::new() } else { format!("unmeasured ({}): ", outcome.as_str()) };
    let mut text = format!("{unmeasured}{title}: {summary}");
    for line in &finding.evidence {
        let _ = write!(text, "\n· {line}");
    }
    if let Some(hint) = &finding.hint {
        let _ = write!(text, "\ntry: {hint}");
    }
    visible(&text)
}

/// Files where they are named, everything else by its name; without either, the check's place in the fleet.
fn locations(report: &Report, finding: &Finding) -> Vec<Value> {
    let mut places: Vec<Value> = Vec::new();
    for Affected { resource, .. } in &finding.affected {
        let place = match resource.strip_prefix("file/") {
            Some(path) => json!({ "physicalLocation": { "artifactLocation": { "uri": uri(path) } } }),
            None => logical(resource.clone()),
        };
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() {
        places.push(logical(format!("{}/{}/{}", report.environment, finding.category, finding.id)));
    }
    places
}

fn logical(name: String) -> Value {
    json!({ "logicalLocations": [{ "fullyQualifiedName": one_line(&name), "kind": "resource" }] })
}

/// A path as a URI: what is absolute with its scheme, the rest relative to where the reader stands.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// The same from run to run while the same check objects to the same things in the same environment.
fn fingerprint(report: &Report, finding: &Finding) -> String {
    let about: BTreeSet<(&str, &str)> =
        finding.affected.iter().map(|a| (a.resource.as_str(), a.fingerprint.as_str())).collect();
    let text = json!([report.environment, finding.id, about]).to_string();
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn suppressions(finding: &Finding) -> Vec<Value> {
    let of = |waived: &crate::domain::Waived| {
        json!({
            "kind": "external",
            "status": "accepted",
            "justification": visible(&waived.sentence()),
            "properties": {
                "waiver": waived.waiver,
                "owner": visible(&waived.owner),
                "reason": visible(&waived.reason),
                "expiresAt": waived.expires_at,
            },
        })
    };
    finding.waived.iter().map(of).collect()
}

/// The run itself worked, whatever it found; what holds it up besides its checks is told here.
fn invocation(report: &Report) -> Value {
    let note = |level: &str, text: String| json!({ "level": level, "message": { "text": visible(&text) } });
    let mut notes: Vec<Value> = report.reasons.iter().map(|reason| note("error", reason.clone())).collect();
    notes.extend(report.unmet.iter().map(|demand| note("error", format!("not met: {demand}"))));
    notes.extend(
        report
            .lapsed()
            .iter()
            .map(|w| note("warning", format!("no longer waived: {}", w.sentence(report.judged_at())))),
    );
    notes.extend(
        report
            .idle()
            .iter()
            .map(|w| note("note", format!("waived without need: {}", w.sentence(report.judged_at())))),
    );
    if let Some(baseline) = &report.baseline {
        let moved: Vec<String> =
            baseline.moves().iter().map(|(word, ids)| format!("; {word}: {}", ids.join(" "))).collect();
        notes.push(note("note", baseline.sentence() + &moved.concat()));
    }
    json!({
        "executionSuccessful": true,
        "startTimeUtc": report.started_at,
        "toolExecutionNotifications": notes,
    })
}

fn properties(report: &Report) -> Value {
    let named = |outcome: Outcome| -> Vec<String> {
        report.findings.iter().filter(|f| f.outcome == outcome).map(|f| visible(&f.id)).collect()
    };
    let mut all: Map<String, Value> =
        facts(report).into_iter().map(|(name, value)| (name.to_owned(), visible(&value).into())).collect();
    all.insert("passed".into(), named(Outcome::Pass).into());
    all.insert("notApplicable".into(), named(Outcome::NotApplicable).into());
    all.insert("notRun".into(), report.not_run.iter().map(|id| visible(id)).collect::<Vec<_>>().into());
    Value::Object(all)
}
