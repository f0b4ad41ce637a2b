//! Waivers asked for: what may be waived, by whom, for how long; and how those that there are stand.
use super::{Readiness, waiver};
use crate::{
    domain::{Act, Affected, Caller, Fault, FaultKind, Finding, Period, RunState, Standing, Waiver},
    store::Store,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Longer is no name of somebody who answers.
const LONGEST_OWNER: usize = 200;
const LONGEST_REASON: usize = 1_000;
/// How many reports are searched, newest first, for the last word on a check.
const REPORTS: u32 = 100;
const DAY: u64 = 86_400;
/// How many resources a hint names.
const NAMED: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverRequest {
    /// Of a check, whatever its case.
    pub check: String,
    /// One of those that the last report names; none is the whole check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    pub owner: String,
    pub reason: String,
    /// Either this or `expires_in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Period>,
}

/// A waiver and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverEntry {
    #[serde(flatten)]
    pub waiver: Waiver,
    pub standing: Standing,
}

impl Readiness {
    /// Keeps a waiver. Who added it is what the kernel says of the caller.
    pub async fn waive(&self, request: WaiverRequest, caller: &Caller, act: Act) -> Result<Waiver, Fault> {
        let parts = &self.inner.parts;
        if caller.agent.is_some() {
            return Err(Fault::new(FaultKind::Forbidden, "cannot add a waiver: no agent may"));
        }
        let owner = said("--owner", &request.owner, LONGEST_OWNER)?;
        let reason = said("--reason", &request.reason, LONGEST_REASON)?;
        let added_at = parts.clock.now();
        let settings = parts.settings.borrow().clone();
        let expires_at = expiry(&request, added_at, settings.readiness.waiver_max)?;
        let check = Self::explain(&settings.checks, &request.check)?.id;
        let affected = match request.resource {
            Some(named) => {
                let last = last_findings(&parts.store, &[&check]).await?;
                Some(affected(&check, &named, last.get(&check))?)
            }
            None => None,
        };
        let (resource, fingerprint) = affected.map(|a| (a.resource, a.fingerprint)).unzip();
        let waiver = Waiver {
            id: 0,
            check,
            resource,
            fingerprint,
            owner,
            reason,
            expires_at,
            added_at,
            added_by: who(caller),
            revoked_at: None,
        };
        let added = parts.store.add_waiver(act, waiver).await?;
        tracing::info!(waiver = added.id, check = added.check, uid = caller.identity.uid, "waiver added");
        Ok(added)
    }

    /// Ends a waiver before its time.
    pub async fn revoke(&self, id: u64, caller: &Caller, act: Act) -> Result<Waiver, Fault> {
        let revoked = self.inner.parts.store.revoke_waiver(act, id, who(caller)).await?;
        let revoked = revoked.ok_or_else(|| {
            Fault::not_found(format!("cannot find waiver {id}"))
                .hint("`agentctl waiver list --all` shows them")
        })?;
        tracing::info!(waiver = id, uid = caller.identity.uid, "waiver revoked");
        Ok(revoked)
    }

    /// Those in force, or all that are kept; each held against the last report of its check.
    pub async fn waivers(&self, all: bool) -> Result<Vec<WaiverEntry>, Fault> {
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let mut waivers = parts.store.waivers((!all).then_some(now)).await?;
        waivers.retain(|waiver| all || waiver.is_in_force(now));
        let of_resources = waivers.iter().filter(|waiver| waiver.resource.is_some());
        let ids: Vec<&str> = of_resources.map(|waiver| waiver.check.as_str()).collect();
        let findings = last_findings(&parts.store, &ids).await?;
        let entries = waivers.into_iter().map(|waiver| {
            let last = findings.get(&waiver.check);
            let void = last.is_some_and(|finding| waiver::is_void(&waiver, finding));
            let standing = match () {
                () if waiver.revoked_at.is_some() => Standing::Revoked,
                () if !waiver.is_in_force(now) => Standing::Expired,
                () if void => Standing::Void,
                () => Standing::InForce,
            };
            WaiverEntry { waiver, standing }
        });
        Ok(entries.collect())
    }
}

/// The newest finding of each of these checks that a kept report has.
async fn last_findings(store: &Store, ids: &[&str]) -> Result<BTreeMap<String, Finding>, Fault> {
    let mut wanted: BTreeSet<&str> = ids.iter().copied().collect();
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let runs = store.runs(REPORTS).await?;
    for run in runs.iter().filter(|run| run.state == RunState::Finished) {
        let Some(report) = store.report(run.run).await? else { continue };
        for finding in report.findings {
            if wanted.remove(finding.id.as_str()) {
                found.insert(finding.id.clone(), finding);
            }
        }
        if wanted.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Text that somebody wrote on purpose, on one line.
fn said(flag: &str, text: &str, longest: usize) -> Result<String, Fault> {
    let text = text.trim();
    let wrong = |why: String| Err(Fault::usage(format!("cannot add a waiver: {why}")));
    if text.is_empty() {
        return wrong(format!("{flag} is blank, and somebody must answer for it"));
    }
    if text.chars().count() > longest {
        return wrong(format!("{flag} is longer than {longest} characters"));
    }
    if text.chars().any(char::is_control) {
        return wrong(format!("{flag} has control characters in it"));
    }
    Ok(text.to_owned())
}

fn expiry(request: &WaiverRequest, now: Timestamp, longest: Period) -> Result<Timestamp, Fault> {
    let after = |period: Period| {
        let period = SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
        now.checked_add(period).unwrap_or(Timestamp::MAX)
    };
    let most = match longest.0.as_secs() {
        seconds if seconds.is_multiple_of(DAY) => format!("{} days", seconds / DAY),
        _ => longest.to_string(),
    };
    let hint = format!("--expires takes a date like 2027-01-31 or a time like 14d, at most {most} ahead");
    let asked = match (request.expires_at, request.expires_in) {
        (Some(at), None) => at,
        (None, Some(period)) => after(period),
        _ => return Err(Fault::usage("cannot add a waiver: it must expire, and once").hint(hint)),
    };
    if asked <= now {
        return Err(Fault::usage("cannot add a waiver that has expired already").hint(hint));
    }
    if asked > after(longest) {
        let day = asked.strftime("%Y-%m-%d");
        return Err(
            Fault::usage(format!("cannot add a waiver until {day}: that is too far ahead")).hint(hint)
        );
    }
    Ok(asked)
}

/// The resource as the last report has it, with what was found there.
fn affected(check: &str, resource: &str, finding: Option<&Finding>) -> Result<Affected, Fault> {
    let named = finding.map_or(&[][..], |finding| &finding.affected);
    if let Some(affected) = named.iter().find(|affected| affected.resource == resource) {
        return Ok(affected.clone());
    }
    let names: Vec<&str> = named.iter().take(NAMED).map(|affected| affected.resource.as_str()).collect();
    let hint = match (finding, named.len().saturating_sub(NAMED)) {
        (None, _) => format!("no report has {check} yet: `agentctl validate --only {check}`"),
        (Some(_), _) if names.is_empty() => {
            "it names none: without --resource the whole check is waived".into()
        }
        (Some(_), 0) => format!("it names {}", names.join(", ")),
        (Some(_), more) => format!("it names {} and {more} more", names.join(", ")),
    };
    Err(Fault::not_found(format!(
        "cannot waive {check} for `{}`: the last report of it names no such resource",
        resource.escape_debug()
    ))
    .hint(hint))
}

fn who(caller: &Caller) -> String {
    format!("uid {}", caller.identity.uid)
}

#[cfg(test)]
#[path = "waiving_tests.rs"]
mod tests;
