//! Approvals: asked for, given and used through the daemon's own gate, over scratch fleets; and whether the fleet that
//! runs can get one at all.
mod agent;
mod apart;
mod exact;
mod person;
mod reach;
#[cfg(test)]
mod sabotage;
mod stage;

#[cfg(test)]
use crate::readiness::checks::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "AU-040",
        title: "no agent gives an approval or changes policy",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "an agent that can approve what it proposes is bounded by nothing",
        how: "the daemon's own router, on scratch, is asked by the uid and pid of a scratch agent's process to give, deny and withdraw an approval, to do what needs one, to reload and to stop; each must be forbidden and change nothing, and the same from a person must go through; where agents have no uid of their own, nobody may get an approval at all",
        fix: "this build takes agents for people: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| agent::never(evidence).boxed(),
    },
    Check {
        id: "AU-041",
        title: "an approval is for one exact action, once",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 3,
        why: "a yes that fits another request is a yes to everything",
        how: "the daemon's own router, on scratch: an action without an approval, with one for another request, of another asker, used before and lapsed must each be refused and have no effect; approved, it must go through once, also when the daemon was restarted in between",
        fix: "this build does not hold approvals to what was approved: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| exact::once(evidence).boxed(),
    },
    Check {
        id: "AU-042",
        title: "nobody approves what they ask for, or what nobody asked for",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 2,
        why: "one's own yes is no second look; a yes to nothing that is answered with success proves that none is looked at",
        how: "the daemon's own router, on scratch: a yes to an unknown number must not be found, a yes of the asker's own uid must be refused, a yes after a no must conflict, and each must have no effect; somebody else's must go through",
        fix: "this build does not tell two people apart: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| person::another(evidence).boxed(),
    },
    Check {
        id: "AU-043",
        title: "where nothing separates an agent from the operator, no approval can be had",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 2,
        why: "an agent with the operator's uid can say yes as the operator, and nobody could tell",
        how: "the daemon's own router, over a scratch fleet with an agent of the daemon's own user: what needs an approval must be refused and none be asked for; without that agent it must be had",
        fix: "this build trusts goodwill: do not run it; `agentctl version`, then report it",
        exercised: true,
        quiet: false,
        run: |evidence| apart::refused(evidence).boxed(),
    },
    Check {
        id: "AU-044",
        title: "what waits for an approval can get one here",
        category: Category::Authentication,
        severity: Severity::Blocker,
        weight: 1,
        why: "a control that nobody can pass is switched off in the first night that it is in the way",
        how: "where [approvals] requires any: the kernel's word on what separates the agents that there are, and whether anybody beside the asker could give one; a lack is a warning in development and fails elsewhere",
        fix: "run agentd as root so that agents get a uid each, and name a second person in [access]; or require no approval",
        exercised: false,
        quiet: false,
        run: |evidence| reach::within_reach(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[Saboteur] =
    &[agent::SABOTEUR, exact::SABOTEUR, person::SABOTEUR, apart::SABOTEUR, reach::SABOTEUR];
