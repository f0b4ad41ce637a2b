//! Quotas, rates and penalties, asked for through the daemon's own router by scratch principals.
mod bounds;
mod exact;
#[cfg(test)]
mod metered;
mod outlives;
mod paced;
mod patient;
mod scene;

#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "AU-030",
        title: "a quota is exact under 32 callers at once",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "a quota that two callers can pass at the same moment is a suggestion",
        how: "32 callers at once ask the daemon's own router over a scratch fleet for more than their principal has: exactly its quota must be served, each answer must say what is left, the rest be refused with 429 and a time to come back; another principal must be served, and so must a look by the one that has nothing left",
        fix: "this build does not count what it serves: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| exact::exact(evidence).boxed(),
    },
    Check {
        id: "AU-031",
        title: "a quota outlives a crash",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 2,
        why: "who can have the daemon restarted would have a quota for each restart",
        how: "a scratch daemon serves a part of a quota and ends without a goodbye, between two blocks and within one; the next one over the same store must serve what is left, never more than the quota in all, and less than it by one block at most",
        fix: "this build forgets what it served: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| outlives::outlives(evidence).boxed(),
    },
    Check {
        id: "AU-032",
        title: "a rate per second refuses a burst and recovers",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 2,
        why: "one client in a loop takes the daemon from all the others",
        how: "a scratch principal asks the daemon's own router three times its burst at once: no more may be served than the burst and what its rate allows in that time, the rest refused with 429; after the time that the refusal names it must be served again",
        fix: "this build does not limit who asks too fast: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| paced::paced(evidence).boxed(),
    },
    Check {
        id: "AU-033",
        title: "a source that shows wrong keys is made to wait, and no other",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 2,
        why: "guessing must get slower with each guess, and one who guesses must not lock others out",
        how: "one uid shows the daemon's own router wrong keys until it is refused unlooked, for longer the second time; meanwhile a key of another uid must be looked at, and the first must still be known by the socket when it shows none",
        fix: "this build lets anybody guess: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| patient::patient(evidence).boxed(),
    },
    Check {
        id: "AU-034",
        title: "every agent and every service is bounded",
        category: Category::Authentication,
        severity: Severity::Major,
        weight: 1,
        why: "one principal without a bound can take all there is from the others",
        how: "the quotas in force are worked out for each agent of the manifest, for each principal that it names, and for services: each must have a quota of an hour and a rate; an agent's should be 1,000 to 10,000 an hour",
        fix: "set per_hour and per_second above 0 under [quotas.agents], [quotas.services] or [quotas.principals]",
        exercised: false,
        quiet: false,
        run: |evidence| async { bounds::bounded(&evidence.settings) }.boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] =
    &[bounds::SABOTEUR, exact::SABOTEUR, outlives::SABOTEUR, paced::SABOTEUR, patient::SABOTEUR];
