//! Error handling: what happens when things fail, exercised against a local server that fails as it is told to.
mod alarms;
mod counting;
mod crashes;
mod refusals;
mod returning;

#[cfg(test)]
use super::Saboteur;
use crate::{
    domain::{Category, Severity},
    readiness::Check,
};
use futures_util::FutureExt;

pub const CHECKS: &[Check] = &[
    Check {
        id: "EH-020",
        title: "a failed request is recorded, with who asked, what for, and no secret",
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 4,
        why: "a failure that nobody wrote down is found by a customer",
        how: "asks the daemon's own routes on a scratch fleet for what they must refuse, a planted key among it: each refusal \
              must be one occurrence with its category, operation, client and the correlation id of its answer, and the key nowhere",
        fix: "see `agentctl error list --all` and `agentctl daemon logs`; a daemon that fails this must not be trusted with secrets",
        exercised: true,
        quiet: false,
        run: |evidence| refusals::recorded(evidence).boxed(),
    },
    Check {
        id: "EH-021",
        title: "an agent's crash is recorded with its class, and not what it printed of its secrets",
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 4,
        why: "what an agent prints as it dies goes into reports and tickets, and often holds a connection string",
        how: "lets a scratch agent die of a database error while it prints a password that a shape tells and a secret of its \
              manifest that none does: the crash must be one occurrence, in the right category, without either",
        fix: "give secrets to agents by reference (`env:`, `file:`, `exec:`), so that agentd knows what to leave out",
        exercised: true,
        quiet: false,
        run: |evidence| crashes::recorded(evidence).boxed(),
    },
    Check {
        id: "EH-022",
        title: "fifty failures of one cause are fifty occurrences of one group, and other causes are other groups",
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 3,
        why: "a count that is wrong, or a group that holds two causes, sends people after the wrong thing",
        how: "records fifty failures that differ in numbers, addresses, ids and quotes and five of other causes, on a scratch \
              store: one group of fifty, five of one, and only the newest occurrences kept",
        fix: "report it with `agentctl error show ID -o json`",
        exercised: true,
        quiet: false,
        run: |evidence| counting::fifty(evidence).boxed(),
    },
    Check {
        id: "EH-023",
        title: "a resolved failure that returns has regressed, and an ignored one stays ignored",
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 3,
        why: "what was said to be mended and is not must come back by itself",
        how: "resolves a group on a scratch store and lets it fail again: regressed; ignores it until three more: ignored \
              after two, open after three",
        fix: "report it with `agentctl error show ID -o json`",
        exercised: true,
        quiet: false,
        run: |evidence| returning::regressed(evidence).boxed(),
    },
    Check {
        id: "EH-024",
        title: "a flood of failures is counted to the last one, in bounded memory",
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 2,
        why: "an outage fails thousands of times a second, just when the machine has nothing to spare",
        how: "records 10,000 failures of 700 different causes at once on a scratch store that keeps 100 groups: all are \
              counted, what does not fit in one group that says so",
        fix: "look at `commit` in `agentctl status -o json`: the disk may be too slow",
        exercised: true,
        quiet: false,
        run: |evidence| counting::flood(evidence).boxed(),
    },
    Check {
        id: "EH-025",
        title: "recording neither holds up nor fails whoever records, even with no store",
        category: Category::ErrorHandling,
        severity: Severity::Blocker,
        weight: 2,
        why: "a failure that cannot be written down must not become a second one",
        how: "records 500 failures over a scratch store that has been closed: the slowest call must be short, and the \
              count of what was lost exact",
        fix: "see `agentctl daemon logs`",
        exercised: true,
        quiet: false,
        run: |evidence| counting::closed(evidence).boxed(),
    },
    Check {
        id: "EH-026",
        title: "no grave error spikes or has come back",
        category: Category::ErrorHandling,
        severity: Severity::Major,
        weight: 2,
        why: "a fleet that fails more than it used to, or as it did before it was mended, is not ready to ship",
        how: "reads the error groups of this fleet: a critical one that spikes or regressed fails, another one warns",
        fix: "`agentctl error list`, then `agentctl error show ID`; `agentctl error resolve ID` when it is mended",
        exercised: false,
        quiet: false,
        run: |evidence| alarms::quiet(evidence).boxed(),
    },
];

#[cfg(test)]
pub const SABOTEURS: &[&[Saboteur]] =
    &[counting::SABOTEURS, &[alarms::SABOTEUR, crashes::SABOTEUR, refusals::SABOTEUR, returning::SABOTEUR]];
