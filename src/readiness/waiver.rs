//! What waivers amount to: which of them speak for which findings, and which are void. Pure, and from nothing that is
//! not in a report, so that whoever reads one can do it again.
use crate::domain::{Affected, Finding, Outcome, Report, Waived, Waiver};
use jiff::Timestamp;
use std::cmp::Reverse;

/// The moment that a report's waivers are held against.
pub fn judged_at(report: &Report) -> Timestamp {
    report.as_of.unwrap_or(report.started_at)
}

/// Says of each finding which waiver speaks for it, whatever it said before. One speaks for what failed or warned
/// alone: what is unmeasured stays so. One of a resource speaks only together with those of every other resource that
/// the finding names, each of what was found there now.
pub fn apply(findings: &mut [Finding], waivers: &[Waiver], at: Timestamp) {
    let in_force: Vec<&Waiver> = waivers.iter().filter(|waiver| waiver.is_in_force(at)).collect();
    for finding in findings {
        finding.waived = speaking(finding, &in_force).map(|waiver| Waived {
            waiver: waiver.id,
            owner: waiver.owner.clone(),
            reason: waiver.reason.clone(),
            expires_at: waiver.expires_at,
        });
    }
}

/// Do a report's findings say of their waivers what its waivers amount to?
pub fn agree(report: &Report) -> bool {
    let mut again = report.findings.clone();
    apply(&mut again, &report.waivers, judged_at(report));
    again.iter().zip(&report.findings).all(|(again, said)| again.waived == said.waived)
}

/// Tells in the evidence of a finding which waivers were for something that has changed since.
pub fn tell_of_void(findings: &mut [Finding], waivers: &[Waiver], at: Timestamp) {
    for finding in findings {
        let void = waivers.iter().filter(|waiver| waiver.is_in_force(at) && is_void(waiver, finding));
        let told: Vec<String> = void.map(void_line).collect();
        finding.evidence.extend(told);
    }
}

/// Was it for what this finding names, as it was before?
pub fn is_void(waiver: &Waiver, finding: &Finding) -> bool {
    let Some(resource) = waiver.resource.as_deref().filter(|_| waiver.check == finding.id) else {
        return false;
    };
    let mut named = finding.affected.iter().filter(|affected| affected.resource == resource).peekable();
    named.peek().is_some() && named.all(|affected| !is_for(waiver, affected))
}

fn void_line(waiver: &Waiver) -> String {
    let resource = waiver.resource.as_deref().unwrap_or_default();
    format!("waiver {} of {} is void: what it was for has changed: {resource}", waiver.id, waiver.owner)
}

fn speaking<'a>(finding: &Finding, in_force: &[&'a Waiver]) -> Option<&'a Waiver> {
    if !matches!(finding.outcome, Outcome::Fail | Outcome::Warn) {
        return None;
    }
    let mine = || in_force.iter().copied().filter(|waiver| waiver.check == finding.id);
    let lasting = |waiver: &&Waiver| (waiver.expires_at, Reverse(waiver.id));
    let whole = mine().filter(|waiver| waiver.resource.is_none()).max_by_key(lasting);
    let one_each: Option<Vec<&Waiver>> = finding
        .affected
        .iter()
        .map(|affected| mine().filter(|waiver| is_for(waiver, affected)).max_by_key(lasting))
        .collect();
    // Together they last as long as the first of them to lapse.
    let together =
        one_each.and_then(|each| each.into_iter().min_by_key(|waiver| (waiver.expires_at, waiver.id)));
    whole.into_iter().chain(together).max_by_key(lasting)
}

fn is_for(waiver: &Waiver, affected: &Affected) -> bool {
    waiver.resource.as_deref() == Some(&affected.resource)
        && waiver.fingerprint.as_deref() == Some(&affected.fingerprint)
}

#[cfg(test)]
#[path = "waiver_tests.rs"]
mod tests;
