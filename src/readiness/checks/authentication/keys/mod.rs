//! Keys and sessions: shown right, wrong, late and stolen to the daemon's own router; and those that are in force.
mod agents;
#[cfg(test)]
mod desk;
mod inventory;
#[cfg(test)]
mod sabotage;
mod scene;
mod sessions;
mod shown;
mod stored;

#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "AU-001",
        title: "the right key opens and a wrong one does not",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "a key that is not looked at closely is no key",
        how: "the daemon's own router over a scratch store is shown a key, then the same one with another's secret, with an id that was never made, cut, with one character changed, its public part alone, and nothing: all must be refused with one answer, each with its kind in the audit trail and no secret there, and the right one must still open, also for a daemon started anew",
        fix: "this build does not know its keys: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| shown::told_apart(evidence).boxed(),
    },
    Check {
        id: "AU-002",
        title: "a key that expired, was replaced or revoked opens nothing",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "who takes a key away must know that it is gone",
        how: "scratch keys are made, rotated with an overlap and revoked through the daemon's own router; each must be good before, the revoked one refused within a second, and in a router whose clock is an hour ahead on the same store the expired and the replaced one too, but neither the successor nor one whose time is not up",
        fix: "this build goes on taking keys that are over: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| shown::over(evidence).boxed(),
    },
    Check {
        id: "AU-003",
        title: "a session ends when it should",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "a session that outlives its key or its owner's presence is a key that nobody knows of",
        how: "scratch sessions at the daemon's own router must be good one minute before they idle and before their time is up, and refused one minute after (its clock set ahead on the same store, each bound alone); one too many must end the oldest; a session that is revoked, logged out of, or opened with a key that is revoked must be refused within a second; none may open another",
        fix: "this build keeps sessions that are over: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| sessions::end(evidence).boxed(),
    },
    Check {
        id: "AU-004",
        title: "nothing stored opens anything",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "backups are read by more people than databases are",
        how: "scratch keys and sessions are made, shown right and shown wrong; then every byte of what the scratch daemon stored (database, WAL, copies) is searched: the SHA-256 of each must be found, and the secret of none",
        fix: "this build stores secrets: revoke every key, do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| stored::hashes_only(evidence).boxed(),
    },
    Check {
        id: "AU-005",
        title: "an agent's key makes nobody more than an agent",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "an agent that can make itself a key has no limits",
        how: "a scratch agent's key is shown to the daemon's own router, by a process that would be admin without it: making, listing and revoking keys, opening and ending sessions and reporting for another agent must be refused, reporting for itself not; no key may be made that gives an agent another role; an operator's key may not make keys, and an admin's may",
        fix: "this build lets agents in as operators: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| agents::only_report(evidence).boxed(),
    },
    Check {
        id: "AU-006",
        title: "keys are fresh, in use and will expire",
        category: Category::Authentication,
        severity: Severity::Major,
        weight: 1,
        why: "a key that nobody misses is found by somebody else",
        how: "each key in force is held against keys.max_age, keys.unused_after and an end of its own",
        fix: "`agentctl auth key rotate` what is old, `agentctl auth key revoke` what is unused",
        exercised: false,
        quiet: false,
        run: |evidence| inventory::kept_fresh(evidence).boxed(),
    },
    Check {
        id: "AU-007",
        title: "no key may do more than it needs",
        category: Category::Authentication,
        severity: Severity::Major,
        weight: 1,
        why: "a key lies in files and environments, and what it may do, whoever reads it may do",
        how: "keys in force that are operator or admin here, system in the applications, or see all clients without a role to do anything for them",
        fix: "make a narrower key (`agentctl auth key create --role --clients`), then revoke the wide one",
        exercised: false,
        quiet: false,
        run: |evidence| inventory::no_wider(evidence).boxed(),
    },
    Check {
        id: "AU-008",
        title: "every key is of a principal that somebody means",
        category: Category::Authentication,
        severity: Severity::Major,
        weight: 1,
        why: "the key of an agent that is gone, or of service:test, is good all the same",
        how: "keys in force of agents that are not in the manifest, of names that come with a manual (admin, default, demo, test …), and more than three of one principal, rotations aside",
        fix: "`agentctl auth key revoke` what the evidence names",
        exercised: false,
        quiet: false,
        run: |evidence| inventory::meant(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] = sabotage::SABOTEURS;
